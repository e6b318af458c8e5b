"""Prices that Stripe can charge: docs.stripe.com/currencies, as of 2026."""

from chalicelib.platform.money import decimals

_UNSUPPORTED = frozenset(
    {"bhd", "btn", "cup", "ern", "ghs", "iqd", "irr", "kpw", "lyd", "mga", "mru", "rub", "sdg", "ssp"}
    | {"svc", "syp", "tmt", "ves", "zwg"}
)
"""Stripe does not charge these, except mga, whose minor units at Stripe are not those of ISO 4217."""

_IN_HUNDREDTHS = frozenset({"isk", "ugx"})
"""Without decimals in ISO 4217, but with two at Stripe."""

_MIN_CHARGE = {
    "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "clp": 500, "cop": 200_000,
    "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17_500, "idr": 1_000_000, "inr": 50,
    "jpy": 50, "krw": 100, "kwd": 200, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 3000,
    "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "tnd": 500, "try": 1500, "twd": 1500,
    "usd": 50, "vnd": 12_000, "zar": 1000,
}  # fmt: skip
"""In minor units. The minimum of any other currency depends on the currency of the Stripe account, which the
app does not know."""

_MAX_CHARGE = {"idr": 10**12 - 1, "cop": 10**10 - 1, "inr": 10**9 - 1}
_MAX_OTHER_CHARGE = 10**8 - 1
"""In Stripe's units: 12, 10, 9 and 8 digits. Cards allow more, but not each method of payment is a card."""

MAX_PRICE = max(_MAX_CHARGE.values())
"""The highest price in any currency, in minor units."""


def stripe_units(currency: str) -> int:
    """Return how many of Stripe's units are one minor unit of ISO 4217."""
    return 100 if currency in _IN_HUNDREDTHS else 1


def min_charge(currency: str) -> int:
    """Return the least amount above 0 that Stripe charges, in minor units."""
    return max(_MIN_CHARGE.get(currency, 1), charge_step(currency))


def max_charge(currency: str) -> int:
    """Return the largest amount that Stripe charges, in minor units."""
    maximum = _MAX_CHARGE.get(currency, _MAX_OTHER_CHARGE) // stripe_units(currency)
    return maximum - maximum % charge_step(currency)


def charge_step(currency: str) -> int:
    """Return the number of minor units of which an amount must be a multiple."""
    return 10 if decimals(currency) == 3 else 1  # noqa: PLR2004


def violation(price: int, currency: str) -> str | None:
    """Return why Stripe cannot charge a price above 0, as words that follow "price", or None if it can."""
    if currency in _UNSUPPORTED:
        return f"must be 0: payments in {currency} are not supported"
    if price < (minimum := min_charge(currency)):
        return f"must be 0 or at least {minimum} minor units of {currency}, the minimum charge"
    if price > (maximum := max_charge(currency)):
        return f"must be at most {maximum} minor units of {currency}, the maximum charge"
    if price % charge_step(currency):
        return f"must end in 0: in {currency} the third decimal cannot be charged"
    return None
