"""The mailbox and the page that shows it."""

import json
from collections.abc import Iterator
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from chalicelib.adapters.ses import SesMailer
from chalicelib.platform.settings import Settings
from infra.local import mail_page
from infra.local.mailbox import Mailbox, moto_emails, saving
from infra.local.server import serving
from tests.infra.local.conftest import Cloud, becomes_true

SCRIPT = "<script>alert(1)</script>"


def email(
    subject: str = "Your booking is confirmed", to: str = "ada@example.com", *, script: str = ""
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Event booking <no-reply@example.com>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Sat, 01 May 2027 18:30:00 +0000"
    message.set_content(f"In plain words.{script}")
    message.add_alternative(f"<p>In <b>bold</b> words.</p>{script}", subtype="html")
    return message


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "mail")


@pytest.fixture
def page(mailbox: Mailbox) -> Iterator[str]:
    with serving(mail_page.mail_page(mailbox)) as address:
        yield address


def get(page: str, path: str = "/", host: str | None = None) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(urlsplit(page).netloc, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    try:
        return response, response.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.mark.usefixtures("cloud")
def test_sent_emails_are_saved_unchanged_up_to_a_stop(mailbox: Mailbox, tmp_path: Path) -> None:
    mailer = SesMailer(Settings.mail_sender)
    recipients: list[str] = []
    with saving(mailbox, moto_emails, recipients.append):
        first = email("First", "Ada <ada@example.com>").as_bytes()
        mailer.send("ada@example.com", first)
        assert becomes_true(lambda: len(recipients) == 1)
        for i in range(5):
            mailer.send("bob@example.com", email(f"Number {i}", "bob@example.com").as_bytes())
    assert recipients == ["ada@example.com"] + ["bob@example.com"] * 5
    reopened = Mailbox(tmp_path / "mail")  # as in the next run
    assert [name.partition("-")[2] for name in reopened.names()] == [
        *["bob@example.com"] * 5,
        "ada@example.com",
    ]
    assert reopened.read(reopened.names()[-1]) == first


def test_saved_emails_are_deleted_in_moto(cloud: Cloud, mailbox: Mailbox) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - slow to import
    from moto.ses.models import ses_backends  # noqa: PLC0415

    region = cloud.ses.meta.region_name
    with saving(mailbox, moto_emails):
        SesMailer(Settings.mail_sender).send("ada@example.com", email().as_bytes())
    assert len(mailbox.names()) == 1
    assert ses_backends[DEFAULT_ACCOUNT_ID][region].sent_messages == []


@pytest.mark.usefixtures("cloud")
def test_emails_wait_while_the_folder_is_missing(
    mailbox: Mailbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mail").rename(tmp_path / "away")
    with saving(mailbox, moto_emails):
        SesMailer(Settings.mail_sender).send("ada@example.com", email().as_bytes())
        assert becomes_true(lambda: "E-mails cannot be saved" in capfd.readouterr().err)
        (tmp_path / "away").rename(tmp_path / "mail")
        assert becomes_true(lambda: len(mailbox.names()) == 1)


@pytest.mark.parametrize("recipient", ["../../etc/passwd", "a/b@example.com", "ü ö@example.com", "x" * 300])
def test_no_address_writes_outside_the_folder(mailbox: Mailbox, tmp_path: Path, recipient: str) -> None:
    name = mailbox.save(b"Subject: x\r\n\r\n", recipient)
    assert mailbox.names() == [name]
    assert {path.parent for path in tmp_path.rglob("*.eml")} == {tmp_path / "mail"}
    assert mailbox.read(f"../mail/{name}") is None


def test_the_folder_is_private(mailbox: Mailbox, tmp_path: Path) -> None:
    assert mailbox.names() == []
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700


def test_the_list_shows_the_newest_first_and_escapes(mailbox: Mailbox, page: str) -> None:
    assert "No e-mails yet." in get(page)[1]
    mailbox.save(email("An old one").as_bytes(), "ada@example.com")
    name = mailbox.save(email(f"A new {SCRIPT}", f'"{SCRIPT}" <b@example.com>').as_bytes(), "b@example.com")
    response, text = get(page)
    assert response.status == 200
    assert text.index("A new") < text.index("An old one")
    assert SCRIPT not in text
    assert f'href="/{quote(name)}"' in text
    assert SCRIPT not in get(page, f"/{quote(name)}")[1]


def test_an_email_is_shown_as_text_and_in_a_sandbox(mailbox: Mailbox, page: str) -> None:
    message = email(to="Ada <ada@example.com>", script=SCRIPT)
    name = quote(mailbox.save(message.as_bytes(), "ada@example.com"))
    _, text = get(page, f"/{name}")
    for shown in (
        "Your booking is confirmed",
        "Ada &lt;ada@example.com&gt;",
        "Event booking &lt;no-reply@example.com&gt;",
        "Sat, 01 May 2027 18:30:00 +0000",
        "In plain words.&lt;script&gt;",
        f'<iframe sandbox="allow-popups allow-popups-to-escape-sandbox" src="/{name}/html"',
    ):
        assert shown in text
    assert SCRIPT not in text
    response, html = get(page, f"/{name}/html")
    assert "<p>In <b>bold</b> words.</p>" in html
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy


def test_attachments_and_the_email_can_be_downloaded(mailbox: Mailbox, page: str) -> None:
    message = email()
    message.add_attachment("BEGIN:VCALENDAR", subtype="calendar", filename='a "b".ics')
    name = quote(mailbox.save(message.as_bytes(), "ada@example.com"))
    assert f'href="/{name}/attachments/0">a &#34;b&#34;.ics</a>' in get(page, f"/{name}")[1]
    response, content = get(page, f"/{name}/attachments/0")
    assert content.strip() == "BEGIN:VCALENDAR"
    assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%22b%22.ics"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert get(page, f"/{name}/raw")[1] == message.as_string()
    assert get(page, f"/{name}/attachments/1")[0].status == 404


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no header at all",
        b"Subject: =?utf-8?b?/////?=\r\nDate: never\r\nTo: <<@,\r\n\r\nx",
        b"Content-Type: text/html; charset=klingon\r\n\r\n\xff\xfe",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n",
    ],
)
def test_a_malformed_email_is_shown(mailbox: Mailbox, page: str, message: bytes) -> None:
    name = quote(mailbox.save(message, "ada@example.com"))
    for path in ("/", f"/{name}", f"/{name}/html", f"/{name}/raw"):
        assert get(page, path)[0].status == 200


def test_a_long_list_has_pages(mailbox: Mailbox, page: str) -> None:
    for i in range(mail_page.PAGE_SIZE + 2):
        mailbox.save(email(f"Number {i}.").as_bytes(), "ada@example.com")
    first = get(page)[1]
    assert "Number 0." not in first
    older = first.partition('<a href="/?before=')[2].partition('"')[0]
    second = get(page, f"/?before={older}")[1]
    assert [f"Number {i}." in second for i in range(3)] == [True, True, False]
    assert "before=" not in second


@pytest.mark.parametrize("path", ["/nothing", "/../mail", "/%2e%2e%2fx", "/20270501T183000.000000Z-a/raw"])
def test_an_unknown_path_is_not_found(page: str, path: str) -> None:
    assert get(page, path)[0].status == 404


def test_another_host_name_is_refused(mailbox: Mailbox, page: str) -> None:
    mailbox.save(email().as_bytes(), "ada@example.com")
    port = urlsplit(page).port
    assert get(page, host=f"localhost:{port}")[0].status == 200
    response, text = get(page, host=f"evil.example:{port}")
    assert response.status == 403
    assert json.dumps("Your booking is confirmed") not in text
