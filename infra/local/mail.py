"""Keeps every e-mail that SES is given as a file, since nobody delivers it."""

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from infra.local.aws import REGION

LOOK_EVERY = 0.2
"""Seconds between looks at what was sent."""
LONGEST_RECIPIENT = 100
"""Characters of an address in a file's name; a file system takes 255 for the whole of it."""

_UNFIT = re.compile(r"[^A-Za-z0-9@._+-]")
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[A-Za-z0-9@._+-]+")


@dataclass(frozen=True)
class Sent:
    """An e-mail that SES was given."""

    message: bytes
    recipient: str
    forget: Callable[[], object]
    """Has whoever stands in for SES forget it."""


class Mailbox:
    """A folder of e-mails, one in a file, named by time and recipient."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Some of them let their reader into an account.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, message: bytes, recipient: str) -> str:
        """Save an e-mail, whole or not at all, and return its name."""
        fresh = self._folder / "being-written"
        fresh.write_bytes(message)
        while True:
            time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            name = f"{time}-{_UNFIT.sub('_', recipient)[:LONGEST_RECIPIENT]}"
            if not self._path(name).exists():
                fresh.rename(self._path(name))
                return name

    def names(self) -> list[str]:
        """Return the names of all e-mails, the newest first."""
        found = (path.stem for path in self._folder.glob("*.eml"))
        return sorted(filter(_NAME.fullmatch, found), reverse=True)

    def read(self, name: str) -> bytes | None:
        """Return an e-mail, or None if there is none of this name."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.eml"


@contextlib.contextmanager
def keeping(
    mailbox: Mailbox, sent: Callable[[], Iterable[Sent]], then: Callable[[str], object] = lambda _: None
) -> Iterator[None]:
    """Save what was sent while a block runs, and call `then` with each recipient's address."""
    stopping = threading.Event()
    thread = threading.Thread(
        target=_keep, args=(mailbox, sent, then, stopping), name="mail keeper", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def given_to_moto() -> Iterator[Sent]:
    """Return what moto's SES was given; raw e-mails are the only kind that the app sends."""
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - slow to import
    from moto.ses.models import RawMessage, ses_backends  # noqa: PLC0415

    sent = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
    for message in [one for one in sent if isinstance(one, RawMessage)]:
        # moto adds the addresses in the headers behind those that SES was given.
        yield Sent(message.raw_data.encode(), message.destinations[0], partial(sent.remove, message))


def _keep(
    mailbox: Mailbox,
    sent: Callable[[], Iterable[Sent]],
    then: Callable[[str], object],
    stopping: threading.Event,
) -> None:
    trouble = ""
    last = False
    while not last:
        last = stopping.wait(LOOK_EVERY)  # what was sent until then is still saved
        try:
            for one in sent():
                mailbox.save(one.message, one.recipient)
                one.forget()
                then(one.recipient)
            trouble = ""
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the keeping
            if repr(error) != trouble:
                trouble = repr(error)
                print(f"E-mails wait to be saved: {trouble}", file=sys.stderr, flush=True)
