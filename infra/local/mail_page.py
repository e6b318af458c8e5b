"""Shows the e-mails of a mailbox in a browser on this machine."""

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.sansio.utils import host_is_trusted
from werkzeug.wrappers import Request, Response

from infra.local.email_parser import parse
from infra.local.mailbox import Mailbox

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOCAL_HOSTS = ["127.0.0.1", "localhost"]
PAGE_SIZE = 50

# An e-mail may hold content of strangers: it runs no script, loads nothing, and opens links in a new tab.
SANDBOX_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'"

_routes = Map(
    [
        Rule("/", endpoint="list"),
        Rule("/<name>", endpoint="email"),
        Rule("/<name>/html", endpoint="html"),
        Rule("/<name>/raw", endpoint="raw"),
        Rule("/<name>/attachments/<int:index>", endpoint="attachment"),
    ]
)
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
)


def mail_page(mailbox: Mailbox) -> "WSGIApplication":
    """Return a WSGI app that shows the mailbox."""

    def respond(request: Request) -> Response:
        # A website could let a name of its own lead to this machine, and then read these pages.
        if not host_is_trusted(request.host, LOCAL_HOSTS):
            raise Forbidden("These pages are for this machine only.")
        endpoint, arguments = _routes.bind_to_environ(request.environ).match()
        if endpoint == "list":
            return _list(mailbox, before=request.args.get("before", ""))
        return _show(mailbox, endpoint, **arguments)

    return Request.application(respond)


def _list(mailbox: Mailbox, before: str) -> Response:
    names = [name for name in mailbox.names() if not before or name < before]
    entries = [
        {"name": name, "email": parse(message)}
        for name in names[:PAGE_SIZE]
        if (message := mailbox.read(name)) is not None
    ]
    last = names[PAGE_SIZE - 1] if len(names) > PAGE_SIZE else None
    page = _templates.get_template("emails.html")
    return _page(page.render(entries=entries, newest=not before, before=last))


def _show(mailbox: Mailbox, part: str, name: str, index: int = 0) -> Response:
    message = mailbox.read(name)
    if message is None:
        raise NotFound("There is no such e-mail.")
    if part == "raw":
        return _download(message, f"{name}.eml")
    email = parse(message)
    if part == "html":
        return _page(f'<base target="_blank">{email.html}', SANDBOX_POLICY)
    if part == "email":
        return _page(_templates.get_template("email.html").render(email=email, name=name))
    if index >= len(email.attachments):
        raise NotFound("There is no such attachment.")
    return _download(email.attachments[index].content, email.attachments[index].name)


def _page(html: str, policy: str = PAGE_POLICY) -> Response:
    return _response(html.encode(), "text/html; charset=utf-8", policy)


def _download(content: bytes, name: str) -> Response:
    response = _response(content, "application/octet-stream", SANDBOX_POLICY)
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return response


def _response(content: bytes, content_type: str, policy: str) -> Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, HTTPStatus.OK, headers, content_type=content_type)
