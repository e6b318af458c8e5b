"""Mailboxes in settings: an address, alone or with a display name."""

import re

_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>|(?P<bare>[^<>\s]*)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.IGNORECASE)


def normalize(text: str) -> str:
    """Return a mailbox with the display name quoted and the domain in ASCII, as `parseaddr` reads it.

    Raises:
        ValueError: It is not a mailbox that mail servers take. The message continues the name of the setting.
    """
    found = _MAILBOX.fullmatch(text.strip())
    if found is None or _CONTROL.search(text):
        raise ValueError("must be one address, or a name and one address: Jazz Club <no-reply@example.com>")
    address = _address((found["address"] if found["bare"] is None else found["bare"]).strip())
    name = (found["name"] or "").strip()
    quoted = _QUOTED.fullmatch(name)
    name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}" <{address}>' if name else address


def _address(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_domain = ""
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain):
        raise ValueError("must have a valid address; the part before the @ must be ASCII")
    return f"{local}@{ascii_domain}"
