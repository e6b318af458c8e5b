"""Prices: which currencies there are, and how little or much of each can be charged."""

# ISO 4217, the codes of money in circulation.
_ISO_4217 = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd btn bwp byn bzd
    cad cdf chf clp cny cop crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd
    gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf kpw krw kwd kyd kzt
    lak lbp lkr lrd lsl lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr mzn nad ngn nio nok npr
    nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sdg sek sgd shp sle sos srd ssp
    stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah ugx usd uyu uzs ves vnd vuv wst xaf xcd xof
    xpf yer zar zmw
"""
CURRENCIES = frozenset(_ISO_4217.split())

_UNSUPPORTED = frozenset(
    {"bhd", "btn", "cup", "ern", "ghs", "iqd", "irr", "kpw", "lyd", "mga", "mru", "rub", "sdg", "ssp"}
    | {"svc", "syp", "tmt", "ves"}
)
"""Money that Stripe does not take, or, the ariary, counts in other units than ISO 4217."""

_LAST_DECIMAL_ZERO = frozenset({"jod", "kwd", "omr", "tnd"})
"""Three decimals, of which the last must be 0 (docs.stripe.com/currencies, "Three-decimal currencies")."""

_MIN_AMOUNTS = {
    "aed": 200,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "inr": 50,
    "jpy": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
}
"""The least that Stripe charges, in minor units (docs.stripe.com/currencies, "Minimum and maximum charge
amounts"). Of other currencies it is what comes to as much in the currency of the account, which is not
known here."""

_MAX_AMOUNTS = {"isk": 999_999, "ugx": 999_999}
"""Stripe counts these in hundredths, and an amount has eight digits there."""


def violation(price: int, currency: str) -> str | None:
    """Why a price above 0 cannot be charged, in words that go on after "price"; None if it can be."""
    if currency in _UNSUPPORTED:
        return f"must be 0: payments in {currency} cannot be taken"
    least = _MIN_AMOUNTS.get(currency, 1)
    if price < least:
        return f"must be 0 or at least {least} minor units of {currency}, the least that can be charged"
    most = _MAX_AMOUNTS.get(currency, price)
    if price > most:
        return f"must be at most {most} minor units of {currency}, the most that can be charged"
    if currency in _LAST_DECIMAL_ZERO and price % 10:
        return f"must end in 0: in {currency} the third decimal cannot be charged"
    return None
