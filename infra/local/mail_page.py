"""Shows the e-mails of a mailbox in a browser on this machine."""

import contextlib
import functools
import re
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.local.letter import Letter, take_apart
from infra.local.mail import Mailbox
from infra.local.server import Listener

HOST = "127.0.0.1"
OURS = {"127.0.0.1", "localhost"}
PER_PAGE = 50

# What an e-mail holds is a stranger's: it runs nothing, loads nothing, and its links open elsewhere.
SANDBOX = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
OWN = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'"

_LETTER = re.compile(r"/(?P<name>[^/]+)(/(?P<part>raw|html|attachments/(?P<index>[0-9]{1,4})))?")
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
)


class Handler(BaseHTTPRequestHandler):
    """Answers one request; `GET` is all there is."""

    timeout = 10  # seconds that a connection may be silent

    def __init__(
        self, request: Any, client_address: tuple[str, int], server: BaseServer, *, mailbox: Mailbox
    ) -> None:
        self._mailbox = mailbox
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        # A page elsewhere can have its own name lead to this machine, and then read what is here.
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in OURS:
            self._answer("This is for this machine only.", HTTPStatus.FORBIDDEN)
            return
        where = urlsplit(self.path)
        if where.path == "/":
            self._list(parse_qs(where.query).get("before", [""])[0])
            return
        found = _LETTER.fullmatch(where.path)
        name = unquote(found["name"]) if found else ""
        message = self._mailbox.read(name)
        if found is None or message is None:
            self._answer("There is no such e-mail.", HTTPStatus.NOT_FOUND)
        elif found["part"] == "raw":
            self._hand_out(message, f"{name}.eml")
        elif found["index"]:
            self._attachment(take_apart(message), int(found["index"]))
        elif found["part"] == "html":
            self._html(take_apart(message))
        else:
            page = _templates.get_template("letter.html")
            self._page(page.render(letter=take_apart(message), name=name))

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def version_string(self) -> str:
        return "event-booking"

    def _list(self, before: str) -> None:
        names = [name for name in self._mailbox.names() if not before or name < before]
        entries = [
            {"name": name, "letter": take_apart(message)}
            for name in names[:PER_PAGE]
            if (message := self._mailbox.read(name)) is not None
        ]
        page = _templates.get_template("list.html")
        rest = names[PER_PAGE - 1] if len(names) > PER_PAGE else None
        self._page(page.render(entries=entries, newest=not before, before=rest))

    def _html(self, letter: Letter) -> None:
        self._page(f'<base target="_blank">{letter.html}', SANDBOX)

    def _attachment(self, letter: Letter, index: int) -> None:
        if index < len(letter.attachments):
            attachment = letter.attachments[index]
            self._hand_out(attachment.content, attachment.name)
        else:
            self._answer("There is no such attachment.", HTTPStatus.NOT_FOUND)

    def _page(self, html: str, policy: str = OWN) -> None:
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy,
        }
        self._send(HTTPStatus.OK, headers, html.encode())

    def _hand_out(self, content: bytes, name: str) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": SANDBOX,
        }
        self._send(HTTPStatus.OK, headers, content)

    def _answer(self, text: str, status: HTTPStatus) -> None:
        self._send(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the browser has gone
            self.wfile.write(body)


@contextlib.contextmanager
def serving(mailbox: Mailbox, port: int = 0) -> Iterator[str]:
    """Show the mailbox while a block runs, which gets the page's address. Raises OSError."""
    server = Listener((HOST, port), functools.partial(Handler, mailbox=mailbox))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="mail page", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
