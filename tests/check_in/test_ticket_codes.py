"""Ticket codes: what they look like, and which are genuine."""

from uuid import UUID

import pytest

from chalicelib.check_in.ticket_codes import LENGTH, TicketCodes, TicketVersion

OLD, NEW = b"the former key" * 3, b"the current key" * 3
CODES = TicketCodes((NEW,))
TICKET = TicketVersion(UUID("019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"), 1)


def test_a_code_names_its_ticket_and_serial() -> None:
    code = CODES.make(TICKET)

    assert CODES.read(code) == TICKET
    assert len(code) == LENGTH
    assert set(code) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def test_codes_of_two_serials_differ() -> None:
    codes = {CODES.make(TICKET._replace(serial=serial)) for serial in range(1, 100)}

    assert len(codes) == 99


def test_case_spaces_and_hyphens_do_not_matter() -> None:
    code = CODES.make(TICKET)

    assert CODES.read(f" {code[:5].lower()}-{code[5:]} ") == TICKET


def test_no_other_text_is_a_code() -> None:
    code = CODES.make(TICKET)
    others = {code[:index] + other + code[index + 1 :] for index in range(LENGTH) for other in "A7"} - {code}

    assert [other for other in others if CODES.read(other)] == []


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "A",
        "A" * LENGTH,
        CODES.make(TICKET)[:-1],
        CODES.make(TICKET) * 2,
        CODES.make(TICKET) + "=",
        "x" * 10_000,
        "\x00" * LENGTH,
        "Ä" * LENGTH,
        "\udcff" * LENGTH,
    ],
)
def test_other_texts_are_no_codes(bad: str) -> None:
    assert CODES.read(bad) is None


def test_codes_of_the_former_key_stay_valid() -> None:
    rotated = TicketCodes((NEW, OLD))
    former = TicketCodes((OLD,)).make(TICKET)

    assert rotated.read(former) == TICKET
    assert CODES.read(former) is None
    assert rotated.make(TICKET) == CODES.make(TICKET)
    assert len(set(rotated.hashes(TICKET))) == 2


def test_sets_of_keys_have_different_fingerprints() -> None:
    sets = [(NEW,), (OLD,), (NEW, OLD), (OLD, NEW)]

    assert len({TicketCodes(keys).fingerprint for keys in sets}) == len(sets)


def test_only_placeholders_are_filled_in() -> None:
    row = f'{{"code":"{TICKET.ticket_id}/1","holderName":"\\"code\\":\\"{TICKET.ticket_id}/1\\""}}'

    filled = CODES.fill_in(row)

    assert filled.startswith(f'{{"code":"{CODES.make(TICKET)}",')
    assert filled.count(CODES.make(TICKET)) == 1
