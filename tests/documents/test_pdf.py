"""PDF tickets: what the pages say, that phones can scan them, and texts that are hard to print."""

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdfium2 import PdfDocument

from chalicelib.documents.pdf import tickets_pdf
from chalicelib.documents.printed_tickets import OrderLine, PrintedOrder
from tests.documents.examples import codes, pages, printed

FOOTNOTE = "stands for a character that cannot be printed"


def order(*lines: OrderLine, discount: int = 0) -> PrintedOrder:
    return PrintedOrder(lines=lines, discount=discount, currency="eur")


def test_a_page_says_what_the_ticket_is_for() -> None:
    [page] = pages(tickets_pdf([printed()]))

    for words in (
        "Jazz in the yard",
        "Saturday, 5 June 2027, 19:30 to 22:30 (Europe/Berlin)",
        "Kulturhof, Berlin",
        "Weekend ticket",
        "Ada Lovelace",
        "7KMPQR23",
        "1 of 2",
        "EUR 9.00",
        "2 x Weekend ticket, EUR 10.00 EUR 20.00",
        "Discount -EUR 2.00",
        "Total EUR 18.00",
    ):
        assert words in page
    assert FOOTNOTE not in page


def test_each_ticket_has_a_page_and_the_first_has_the_order() -> None:
    tickets = [printed(number=number) for number in (1, 2)]

    pdf = tickets_pdf(tickets)

    first, second = pages(pdf)
    assert "1 of 2" in first
    assert "2 of 2" in second
    assert "Total" in first
    assert "Total" not in second
    assert codes(pdf) == [ticket.code for ticket in tickets]


def test_a_holder_sees_no_order_and_a_free_ticket_is_free() -> None:
    [page] = pages(tickets_pdf([printed(order=None, price=0)]))

    assert "Total" not in page
    assert "Free" in page


def test_an_order_of_many_types_is_summed_up_at_its_end() -> None:
    lines = [OrderLine(name=f"Type {number} " + "W" * 90, quantity=2, unit_price=100) for number in range(50)]
    ticket = printed(title="W" * 200, venue="W" * 500, order=order(*lines, discount=1))

    [page] = pages(tickets_pdf([ticket]))

    assert "more tickets EUR" in page
    assert "Total EUR 99.99" in page
    assert codes(tickets_pdf([ticket])) == [ticket.code]


@pytest.mark.parametrize("text", ["演" * 200, "🎉" * 200, "W" * 200, "Ж " * 100, "é" * 200, "שלום" * 50])
def test_long_and_unprintable_texts_leave_the_code_readable(text: str) -> None:
    ticket = printed(title=text, venue=text, holder=text, ticket_type=text)

    pdf = tickets_pdf([ticket])

    assert codes(pdf) == [ticket.code]
    assert (FOOTNOTE in pages(pdf)[0]) == (text[0] in "演🎉ש")


def test_letters_of_other_alphabets_are_printed() -> None:
    words = "Žluťoučký kůň, Ζάππειο Μέγαρο, Съешь ещё этих"

    assert words in pages(tickets_pdf([printed(venue=words)]))[0]


def test_a_right_to_left_override_cannot_reverse_a_name() -> None:
    assert "gro.elpmaxe" in pages(tickets_pdf([printed(holder="\u202egro.elpmaxe\u202c")]))[0]


def test_tickets_for_a_stranger_have_no_words_of_others() -> None:
    [page] = pages(tickets_pdf([printed().without_words()]))

    assert "Your ticket" in page
    assert "2 x tickets, EUR 10.00" in page
    for words in ("Jazz", "Kulturhof", "Weekend", "Ada"):
        assert words not in page


def test_the_same_tickets_give_the_same_bytes() -> None:
    ticket = printed()

    assert tickets_pdf([ticket]) == tickets_pdf([ticket])


def test_the_metadata_name_nobody() -> None:
    with closing(PdfDocument(tickets_pdf([printed()]))) as document:
        metadata = document.get_metadata_dict(skip_empty=True)
        assert metadata.pop("Producer").startswith("ReportLab")
        assert set(metadata) == {"Title", "CreationDate", "ModDate"}
        assert metadata["Title"] == "Tickets"


def test_an_order_of_100_tickets_is_small() -> None:
    tickets = [printed(number=number, quantity=100) for number in range(1, 101)]

    pdf = tickets_pdf(tickets)

    assert len(pages(pdf)) == 100
    assert len(pdf) < 500_000


texts = st.text(max_size=200)


@given(texts, st.text(max_size=500), texts)
@settings(max_examples=25, deadline=None)
def test_no_text_breaks_a_page(title: str, venue: str, holder: str) -> None:
    assert len(pages(tickets_pdf([printed(title=title, venue=venue, holder=holder)]))) == 1
