"""Headers of an e-mail: no name and no title can break out of theirs."""

import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.notifications import mime

ATTACKS = [
    "a\r\nBcc: victim@example.com",
    "a\nBcc: victim@example.com",
    "a\r\n\r\n<script>alert(1)</script>",
    "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g",
    "=?utf-8?q?a=0d=0aBcc:_victim=40example.com?=",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbUBleGFtcGxlLmNvbQ==?=",
    'a" <victim@example.com>, "b',
    "victim@example.com, a",
    "<victim@example.com>",
    "a (comment) ; b: c\\",
    'quoted "word" ' * 14,
    "x" * 200,
    "É, " * 66,
]

texts = st.text(st.characters(codec="utf-8"), max_size=200) | st.sampled_from(ATTACKS)


def packed(name: str, title: str) -> bytes:
    return mime.pack(
        {
            "To": mime.mailbox("To", name, "ada@example.com"),
            "Subject": mime.unstructured("Subject", title),
            "Message-ID": "<1@example.com>",
        },
        text="text",
        html="<p>text</p>",
    )


def decoded(message: Message, name: str) -> str:
    unfolded = re.sub(r"\r\n(?=[ \t])", "", message[name])
    return str(make_header(decode_header(unfolded)))


@settings(deadline=None)
@given(name=texts, title=texts)
def test_no_text_adds_a_header_or_an_address(name: str, title: str) -> None:
    raw = packed(name, title)

    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    assert sorted(message.keys()) == ["Content-Type", "MIME-Version", "Message-ID", "Subject", "To"]
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.com"]
    assert message.get_body(("plain",)) is not None


@settings(deadline=None)
@given(name=texts, title=texts)
def test_text_arrives_without_its_control_characters(name: str, title: str) -> None:
    message = email.message_from_bytes(packed(name, title))

    if "=?" not in title:  # text that looks encoded is encoded again, and decoders differ on that
        assert decoded(message, "Subject") == mime.one_line(title)
    if mime.one_line(name) and "=?" not in name:
        assert decoded(message, "To") == f"{mime.one_line(name)} <ada@example.com>"


@settings(deadline=None)
@given(name=texts, title=texts)
def test_headers_are_ascii_in_short_lines(name: str, title: str) -> None:
    head, _, _ = packed(name, title).partition(b"\r\n\r\n")

    assert head.isascii()
    assert max(len(line) for line in head.split(b"\r\n")) <= 998
    assert not re.search(rb"[^\r]\n|\r[^\n]|[\0\x0b\x0c\x1c-\x1e]", head)


def test_text_that_looks_encoded_is_not_decoded() -> None:
    title = "=?utf-8?q?hidden?="

    message = email.message_from_bytes(packed("Ada", title))

    assert decoded(message, "Subject") == title


@pytest.mark.parametrize("name", ["Ada Lovelace", "O'Brien", "Anne-Marie"])
def test_a_plain_name_needs_no_encoding(name: str) -> None:
    assert mime.mailbox("To", name, "ada@example.com") == f"{name} <ada@example.com>"


def test_an_address_without_a_name_has_no_brackets() -> None:
    assert mime.mailbox("To", " \n", "ada@example.com") == "ada@example.com"


def test_lines_keep_only_their_line_breaks() -> None:
    assert mime.lines("one\r\ntwo\rthree\n\x1b[31mfour\u2028five\0") == "one\ntwo\nthree\n [31mfour five"


@pytest.mark.parametrize("text", ["مرحبا بالعالم", "👨\u200d👩\u200d👧 🎷", "ｶﾞ\u3000日本語", "Zo\u0308e"])
def test_any_script_and_joined_emoji_survive(text: str) -> None:
    assert decoded(email.message_from_bytes(packed(text, text)), "Subject") == text
    assert decoded(email.message_from_bytes(packed(text, text)), "To") == f"{text} <ada@example.com>"
