"""Passwords: hashing, and the same password typed in different ways."""

import subprocess
import sys
import unicodedata

import pytest

from chalicelib.platform import security
from chalicelib.wiring import Wiring
from tests.concurrency import run_concurrently

_CONCURRENT_FIRST_USES = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from chalicelib.platform import security

start = Barrier(8)

def first_use(_):
    start.wait()
    return security.password_matches("a password", None)

with ThreadPoolExecutor(8) as pool:
    assert list(pool.map(first_use, range(8))) == [False] * 8
"""


def test_concurrent_first_uses_in_a_process_succeed() -> None:
    for _ in range(3):
        subprocess.run([sys.executable, "-W", "ignore", "-c", _CONCURRENT_FIRST_USES], check=True)  # noqa: S603 (this interpreter)


def test_concurrent_first_uses_of_an_adapter_make_one(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    made = run_concurrently([lambda: wiring.mailer] * 8)

    assert len({id(mailer) for mailer in made}) == 1


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        (unicodedata.normalize("NFC", "Zürich-Café"), unicodedata.normalize("NFD", "Zürich-Café")),
        (unicodedata.normalize("NFD", "Zürich-Café"), unicodedata.normalize("NFC", "Zürich-Café")),
        ("correct horse battery", "correct\u00a0horse\u3000battery"),
        ("\u212bngström", "\u00c5ngström"),
    ],
    ids=["composed", "decomposed", "spaces", "same character"],
)
def test_a_password_typed_on_another_keyboard_matches(registered: str, typed: str) -> None:
    assert security.password_matches(typed, security.hash_password(registered))


@pytest.mark.parametrize(
    "typed", ["CORRECT horse", "correct horse ", " correct horse", "correct  horse", "correcthorse"]
)
def test_case_and_number_of_spaces_count(typed: str) -> None:
    assert not security.password_matches(typed, security.hash_password("correct horse"))
