"""Currencies: their decimals, the least and the most that Stripe charges (docs.stripe.com/currencies)."""

from infra.local.stripe.errors import Refused

# The least amount of a charge, in the currency's smallest unit.
LEAST = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "clp": 500, "cop": 200000,
    "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 1000000, "inr": 50,
    "jpy": 50, "krw": 100, "kwd": 200, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 3000,
    "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "tnd": 500, "try": 1500, "twd": 1500,
    "usd": 50, "vnd": 12000, "zar": 1000,
}  # fmt: skip
MOST = 99_999_999
_DECIMALS = {"clp": 0, "jpy": 0, "krw": 0, "vnd": 0, "kwd": 3, "tnd": 3}


def shown(amount: int, currency: str) -> str:
    """Return an amount as people write it, such as 12.50 EUR."""
    decimals = _DECIMALS.get(currency, 2)
    return f"{amount / 10**decimals:,.{decimals}f} {currency.upper()}"


def check_currency(currency: str) -> str:
    """Return it in lower case. Raises Refused."""
    if currency.lower() not in LEAST:
        raise Refused(
            400,
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {', '.join(LEAST)}",
            param="currency",
        )
    return currency.lower()


def check_amount(amount: int, currency: str) -> None:
    """Refuse what cannot be charged. Raises Refused."""
    if amount < 1:
        raise Refused(
            400,
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="amount",
        )
    if amount < LEAST[currency]:
        least = shown(LEAST[currency], currency)
        raise Refused(400, f"Amount must be at least {least}", code="amount_too_small", param="amount")
    if amount > MOST:
        most = shown(MOST, currency)
        raise Refused(400, f"Amount must be no more than {most}", code="amount_too_large", param="amount")
