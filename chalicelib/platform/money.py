"""Money: whole minor units of a currency, and how people read them."""

_WITHOUT_MINOR_UNITS = frozenset(
    {
        *("bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw"),
        *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
    }
)
_IN_THOUSANDTHS = frozenset({"bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"})


def decimals(currency: str) -> int:
    """Digits after the point (ISO 4217) of a currency, which is named in lower case."""
    if currency in _WITHOUT_MINOR_UNITS:
        return 0
    return 3 if currency in _IN_THOUSANDTHS else 2


def format_amount(amount: int, currency: str) -> str:
    """An amount in minor units, not below zero, as people read it: 2500 of `eur` is EUR 25.00."""
    places = decimals(currency)
    whole, rest = divmod(amount, 10**places)
    after_the_point = f".{rest:0{places}}" if places else ""
    return f"{currency.upper()} {whole:,}{after_the_point}"
