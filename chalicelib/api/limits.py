"""The rate limits of requests. docs/abuse.md says what each of them is for."""

from uuid import UUID

from chalicelib.platform.http.request import Request
from chalicelib.platform.throttle import Charge, client_of, mailbox_of


def failed_login(request: Request, email: str) -> list[Charge]:
    """A login, which is counted before the password is checked and given back if it succeeds.

    Counting afterwards would let concurrent guesses pass the check together.
    """
    client, mailbox = client_of(request.client_address), email.strip().lower()
    return [
        Charge("login_failures", f"{client}\n{mailbox}"),
        Charge("login_failures_per_client", client),
        failed_login_anywhere(email),
    ]


def failed_login_anywhere(email: str) -> Charge:
    return Charge("login_failures_per_address", email.strip().lower())


def failed_password(user_id: UUID) -> list[Charge]:
    """A check of the current password, given back if it is right."""
    return [Charge("password_failures_per_account", str(user_id))]


def password_work(request: Request) -> list[Charge]:
    """Hashing or verifying one password."""
    return [Charge("password_hashes_per_client", client_of(request.client_address))]


def registration(request: Request) -> list[Charge]:
    return [Charge("registrations_per_client", client_of(request.client_address))]


def account_emails(request: Request, email: str) -> list[Charge]:
    """An e-mail that anyone can have sent to any address."""
    return [
        Charge("account_emails_per_address", mailbox_of(email)),
        Charge("account_emails_per_client", client_of(request.client_address)),
    ]


def publication(host_id: UUID) -> list[Charge]:
    """An event that is published, which notifies the host's followers."""
    return [Charge("publications_per_host", str(host_id))]


def event_change(host_id: UUID) -> list[Charge]:
    """A change of an event that others are notified about."""
    return [Charge("event_changes_per_host", str(host_id))]


def box_office_email(host_id: UUID, email: str) -> list[Charge]:
    """The tickets that a host has sent to a customer of the box office."""
    return [
        Charge("box_office_emails_per_host", str(host_id)),
        Charge("box_office_emails_per_address", mailbox_of(email)),
    ]


def wrong_code(request: Request) -> list[Charge]:
    """An order or quote with a code, counted before the code is checked and given back unless it is wrong."""
    return [
        Charge("wrong_codes_per_account", str(request.require_caller().user_id)),
        Charge("wrong_codes_per_client", client_of(request.client_address)),
    ]


def transfer(request: Request, email: str) -> list[Charge]:
    """An offer of a ticket, which sends an e-mail to an address that may be a stranger's."""
    return [
        Charge("transfers_per_account", str(request.require_caller().user_id)),
        Charge("transfers_per_address", mailbox_of(email)),
        Charge("transfers_per_client", client_of(request.client_address)),
    ]


def reissue(ticket_id: UUID) -> list[Charge]:
    """A new code of a ticket, which sends e-mails."""
    return [Charge("reissues_per_ticket", str(ticket_id))]
