"""Currencies with their decimals, minimum and maximum charge (docs.stripe.com/currencies)."""

from infra.stripe_fake.errors import invalid

# In the smallest unit of the currency.
MIN_CHARGE = {
    "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "clp": 500, "cop": 200000,
    "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 1000000, "inr": 50,
    "jpy": 50, "krw": 100, "kwd": 200, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 3000,
    "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "tnd": 500, "try": 1500, "twd": 1500,
    "usd": 50, "vnd": 12000, "zar": 1000,
}  # fmt: skip
MAX_CHARGE = {"idr": 999_999_999_999, "cop": 9_999_999_999, "inr": 999_999_999}
MAX_OTHER_CHARGE = 99_999_999
_DECIMALS = {"clp": 0, "jpy": 0, "krw": 0, "vnd": 0, "kwd": 3, "tnd": 3}


def format_amount(amount: int, currency: str) -> str:
    """Format an amount for people, such as 12.50 EUR."""
    decimals = _DECIMALS.get(currency, 2)
    return f"{amount / 10**decimals:,.{decimals}f} {currency.upper()}"


def check_charge(amount: int, currency: str) -> None:
    """Raise ApiError if Stripe would not charge this amount."""
    if currency not in MIN_CHARGE:
        known = ", ".join(MIN_CHARGE)
        raise invalid(f"Invalid currency: {currency}. Stripe currently supports: {known}", "currency")
    if amount < 1:
        text = "This value must be greater than or equal to 1."
        raise invalid(text, "amount", "parameter_invalid_integer")
    if amount < MIN_CHARGE[currency]:
        least = format_amount(MIN_CHARGE[currency], currency)
        raise invalid(f"Amount must be at least {least}", "amount", "amount_too_small")
    maximum = MAX_CHARGE.get(currency, MAX_OTHER_CHARGE)
    if amount > maximum:
        most = format_amount(maximum, currency)
        raise invalid(f"Amount must be no more than {most}", "amount", "amount_too_large")
