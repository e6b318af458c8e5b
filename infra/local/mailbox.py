"""Saves every e-mail as a file. The stand-ins for SES do not deliver e-mails."""

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

POLL_INTERVAL = 0.2
"""Seconds between two checks for new e-mails."""
MAX_RECIPIENT_LENGTH = 100
"""Characters of an address in a file name, which may have 255."""

_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]")
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[A-Za-z0-9@._+-]+")


@dataclass(frozen=True)
class SentEmail:
    """An e-mail that the app gave to SES."""

    message: bytes
    recipient: str
    delete: Callable[[], object]
    """Deletes the e-mail in the stand-in for SES."""


class Mailbox:
    """A folder with one file for each e-mail, named by time and recipient."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # E-mails may contain tokens, so only the owner may read them.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, message: bytes, recipient: str) -> str:
        """Save an e-mail atomically and return its name."""
        new = self._folder / "being-written"
        new.write_bytes(message)
        while True:
            time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            name = f"{time}-{_UNSAFE.sub('_', recipient)[:MAX_RECIPIENT_LENGTH]}"
            if not self._path(name).exists():
                new.rename(self._path(name))
                return name

    def names(self) -> list[str]:
        """Return the names of all e-mails, the newest first."""
        found = (path.stem for path in self._folder.glob("*.eml"))
        return sorted(filter(_NAME.fullmatch, found), reverse=True)

    def read(self, name: str) -> bytes | None:
        """Return an e-mail, or None if the name is unknown."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.eml"


@contextlib.contextmanager
def saving(
    mailbox: Mailbox,
    sent_emails: Callable[[], Iterable[SentEmail]],
    on_saved: Callable[[str], object] = lambda _: None,
) -> Iterator[None]:
    """Save sent e-mails for a block, and call `on_saved` with the recipient of each."""
    stopping = threading.Event()
    thread = threading.Thread(
        target=_save_all, args=(mailbox, sent_emails, on_saved, stopping), name="mailbox", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def moto_emails() -> Iterator[SentEmail]:
    """Return the e-mails in moto's SES. The app sends only raw ones."""
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - slow to import
    from moto.ses.models import RawMessage, ses_backends  # noqa: PLC0415

    sent = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
    for message in [one for one in sent if isinstance(one, RawMessage)]:
        # moto appends the addresses in the headers to the destinations of the call.
        yield SentEmail(message.raw_data.encode(), message.destinations[0], partial(sent.remove, message))


def _save_all(
    mailbox: Mailbox,
    sent_emails: Callable[[], Iterable[SentEmail]],
    on_saved: Callable[[str], object],
    stopping: threading.Event,
) -> None:
    last_error = ""
    last = False
    while not last:
        last = stopping.wait(POLL_INTERVAL)  # after a stop, save the remaining e-mails
        try:
            for email in sent_emails():
                mailbox.save(email.message, email.recipient)
                email.delete()
                on_saved(email.recipient)
            last_error = ""
        except Exception as error:  # noqa: BLE001 - no error may end the loop
            if repr(error) != last_error:
                last_error = repr(error)
                print(f"E-mails cannot be saved yet: {last_error}", file=sys.stderr, flush=True)
