"""Amounts are formatted in major units, exact to the minor unit."""

import pytest

from chalicelib.platform import money


@pytest.mark.parametrize(
    ("amount", "currency", "formatted"),
    [
        (2500, "eur", "EUR 25.00"),
        (2500, "jpy", "JPY 2,500"),
        (1250, "kwd", "KWD 1.250"),
        (125_000, "eur", "EUR 1,250.00"),
        (123_456_789, "usd", "USD 1,234,567.89"),
        (1_000_000, "krw", "KRW 1,000,000"),
        (0, "eur", "EUR 0.00"),
        (5, "eur", "EUR 0.05"),
        (5, "kwd", "KWD 0.005"),
        (99, "gbp", "GBP 0.99"),
    ],
)
def test_an_amount_has_major_units_and_separators(amount: int, currency: str, formatted: str) -> None:
    assert money.format_amount(amount, currency) == formatted


def test_a_large_amount_is_exact() -> None:
    assert money.format_amount(9_007_199_254_740_993, "eur") == "EUR 90,071,992,547,409.93"


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("jpy", 0), ("isk", 0), ("ugx", 0), ("kwd", 3), ("tnd", 3), ("eur", 2), ("mga", 2)],
)
def test_decimals_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert money.decimals(currency) == digits
