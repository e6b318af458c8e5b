"""Money is shown as people read it, to the last minor unit."""

import pytest

from chalicelib.platform import money


@pytest.mark.parametrize(
    ("amount", "currency", "says"),
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
def test_an_amount_is_shown_in_major_units_with_thousands_apart(
    amount: int, currency: str, says: str
) -> None:
    assert money.format_amount(amount, currency) == says


def test_an_amount_that_no_float_can_hold_is_shown_exactly() -> None:
    assert money.format_amount(9_007_199_254_740_993, "eur") == "EUR 90,071,992,547,409.93"


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("jpy", 0), ("isk", 0), ("ugx", 0), ("kwd", 3), ("tnd", 3), ("eur", 2), ("mga", 2)],
)
def test_the_digits_after_the_point_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert money.decimals(currency) == digits
