"""QR codes: small enough to be scanned from afar, and readable."""

from chalicelib.check_in.ticket_codes import LENGTH
from chalicelib.documents import qr
from tests.documents.examples import printed, scan


def test_a_code_fits_into_29_modules() -> None:
    code = printed().code

    rows = qr.modules(code)

    assert len(code) == LENGTH
    assert {len(rows), *map(len, rows)} == {29}


def test_a_scanner_reads_the_image() -> None:
    code = printed().code

    assert scan(qr.png(code)) == [code]
