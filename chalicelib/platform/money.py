"""Money: amounts are whole minor units of a currency."""

_CODES = """
    aed afn all amd aoa ars aud awg azn bam bbd bdt bhd bif bmd bnd bob brl bsd btn bwp byn bzd
    cad cdf chf clp cny cop crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd
    gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf kpw krw kwd kyd kzt
    lak lbp lkr lrd lsl lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr mzn nad ngn nio nok npr
    nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sdg sek sgd shp sle sos srd ssp
    stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah ugx usd uyu uzs ves vnd vuv wst xaf xcd xcg xof
    xpf yer zar zmw zwg
"""
CURRENCIES = frozenset(_CODES.split())
"""The lower-case ISO 4217 codes of the currencies in circulation, without funds, metals and test codes.

As of 2026-01-01, when bgn ended; ang ended on 2025-07-01 in favour of xcg.
"""

_WITHOUT_MINOR_UNITS = frozenset(
    {
        *("bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw"),
        *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
    }
)
_IN_THOUSANDTHS = frozenset({"bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"})


def decimals(currency: str) -> int:
    """Return the number of decimal digits (ISO 4217) of a currency, whose code is in lower case."""
    if currency in _WITHOUT_MINOR_UNITS:
        return 0
    return 3 if currency in _IN_THOUSANDTHS else 2


def format_amount(amount: int, currency: str) -> str:
    """Format an amount of minor units, at least 0, for people: 2500 `eur` is EUR 25.00."""
    digits = decimals(currency)
    major, minor = divmod(amount, 10**digits)
    fraction = f".{minor:0{digits}}" if digits else ""
    return f"{currency.upper()} {major:,}{fraction}"
