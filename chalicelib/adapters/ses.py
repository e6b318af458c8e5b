"""E-mail through SES, by version 1 of its API, which moto and LocalStack have too."""

import boto3
from botocore.exceptions import ClientError

from chalicelib.adapters.aws import CONFIG, translate_errors
from chalicelib.notifications.mailer import AddressRefused


class SesMailer:
    """Sends from one address, which must be verified in SES."""

    def __init__(self, sender: str) -> None:
        self._ses = boto3.client("ses", config=CONFIG)
        self._sender = sender

    def send(self, address: str, message: bytes) -> None:
        with translate_errors("SES"):
            try:
                self._ses.send_raw_email(
                    Source=self._sender, Destinations=[address], RawMessage={"Data": message}
                )
            except ClientError as error:
                # MessageRejected is retried: the cause may be an unverified sender, which can be fixed.
                if error.response["Error"]["Code"] == "InvalidParameterValue":
                    raise AddressRefused(str(error)) from error
                raise
