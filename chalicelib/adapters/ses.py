"""E-mail through SES (version 1 of its API, which the free stand-ins have too)."""

import boto3
from botocore.exceptions import ClientError

from chalicelib.adapters.transient import CONFIG, reaching
from chalicelib.notifications.mailer import AddressRefused


class SesMailer:
    """Sends from one address, which is verified with SES."""

    def __init__(self, sender: str) -> None:
        self._ses = boto3.client("ses", config=CONFIG)
        self._sender = sender

    def send(self, address: str, message: bytes) -> None:
        with reaching("SES"):
            try:
                self._ses.send_raw_email(
                    Source=self._sender, Destinations=[address], RawMessage={"Data": message}
                )
            except ClientError as error:
                # Not MessageRejected: that may be a sender that is not verified, which can be mended.
                if error.response["Error"]["Code"] == "InvalidParameterValue":
                    raise AddressRefused(str(error)) from error
                raise
