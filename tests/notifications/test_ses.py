"""What SES's refusals mean."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from chalicelib.adapters.ses import SesMailer
from chalicelib.notifications.mailer import AddressRefused, EmailRefused
from chalicelib.platform.errors import Unreachable

ADDRESS = "Ada@example.com"
SENDER = '"Kulturhof, Berlin" <no-reply@mail.example.com>'


@pytest.fixture
def mailer(monkeypatch: pytest.MonkeyPatch) -> SesMailer:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return SesMailer(SENDER)


@pytest.fixture
def ses(mailer: SesMailer) -> Iterator[Stubber]:
    client: Any = mailer._ses  # noqa: SLF001 (to answer in place of SES)
    with Stubber(client) as stubber:
        yield stubber


@pytest.mark.parametrize(
    ("code", "reason", "raised"),
    [
        ("InvalidParameterValue", "Illegal address: ada@example.com", AddressRefused),
        ("MessageRejected", "Email address is not verified: Ada@example.com", AddressRefused),
        ("InvalidParameterValue", "Local address contains control or whitespace", EmailRefused),
        ("InvalidParameterValue", "Missing final '@domain'", EmailRefused),
        ("MessageRejected", "Email address is not verified: no-reply@mail.example.com", EmailRefused),
        (
            "MessageRejected",
            "Email address is not verified: no-reply@mail.example.com, ada@example.com",
            EmailRefused,
        ),
        ("MessageRejected", "Email content is not valid", EmailRefused),
        ("MailFromDomainNotVerified", "ada@example.com", Unreachable),
        ("Throttling", "Maximum sending rate exceeded.", Unreachable),
        ("AccountSendingPausedException", "Sending is paused", Unreachable),
    ],
)
def test_only_a_refusal_that_names_the_recipient_is_final(
    mailer: SesMailer, ses: Stubber, code: str, reason: str, raised: type[Exception]
) -> None:
    ses.add_client_error("send_raw_email", code, reason)

    with pytest.raises(raised) as refused:
        mailer.send(ADDRESS, b"")

    assert isinstance(refused.value.__cause__, ClientError)
    if raised is not Unreachable:
        assert ADDRESS not in str(refused.value)


def test_a_refusal_says_whether_it_is_about_the_sender(mailer: SesMailer, ses: Stubber) -> None:
    reason = "Email address is not verified: No-Reply@mail.example.com, ada@example.com"
    ses.add_client_error("send_raw_email", "MessageRejected", reason)

    with pytest.raises(EmailRefused, match=r"is not verified: the sender, the recipient$"):
        mailer.send(ADDRESS, b"")


def test_the_envelope_has_the_address_of_the_sender_alone(mailer: SesMailer, ses: Stubber) -> None:
    ses.add_response(
        "send_raw_email",
        {"MessageId": "1"},
        {
            "Source": "no-reply@mail.example.com",
            "Destinations": [ADDRESS],
            "RawMessage": {"Data": b"message"},
        },
    )

    mailer.send(ADDRESS, b"message")

    ses.assert_no_pending_responses()
