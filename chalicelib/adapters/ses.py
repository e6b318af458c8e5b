"""E-mail through SES, by version 1 of its API, which moto and LocalStack have too."""

import re
from email.utils import parseaddr

import boto3
from botocore.exceptions import ClientError

from chalicelib.adapters.aws import CONFIG, translate_errors
from chalicelib.notifications.mailer import AddressRefused, EmailRefused

_REFUSALS = {"InvalidParameterValue", "MessageRejected"}
"""SES's codes for an e-mail that it does not take. The other codes are about the account or the service."""


class SesMailer:
    """Sends from one address, which must be verified in SES."""

    def __init__(self, sender: str) -> None:
        self._ses = boto3.client("ses", config=CONFIG)
        _, self._sender = parseaddr(sender)

    def send(self, address: str, message: bytes) -> None:
        with translate_errors("SES"):
            try:
                # The name of the sender is in the From header of the message.
                self._ses.send_raw_email(
                    Source=self._sender, Destinations=[address], RawMessage={"Data": message}
                )
            except ClientError as error:
                code, reason = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
                if code not in _REFUSALS:
                    raise
                # A refusal of the sender is about all e-mails, and is fixed in the settings or in SES.
                if _names(reason, address) and not _names(reason, self._sender):
                    raise AddressRefused(code) from error
                raise EmailRefused(f"{code}: {_without(reason, address, self._sender)}") from error


def _names(reason: str, address: str) -> bool:
    return address.lower() in reason.lower()


def _without(reason: str, address: str, sender: str) -> str:
    """The reason for the log, which has no addresses."""
    for known, name in ((address, "the recipient"), (sender, "the sender")):
        reason = re.sub(re.escape(known), name, reason, flags=re.IGNORECASE)
    return reason
