"""Stands in for the mailbox simulator of SES, whose addresses cause a bounce or a complaint."""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chalicelib.platform.times import rfc3339

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient

_SIMULATED = re.compile(r"(bounce|complaint)(\+[^@]*)?@simulator\.amazonses\.com", re.IGNORECASE)


class Simulator:
    """Publishes SES's notifications to a topic (Amazon SES Developer Guide, "Using the mailbox simulator").

    moto publishes notifications only for a domain, and always with the same recipient.
    """

    def __init__(self, sns: "SNSClient", topic_arn: str) -> None:
        self._sns = sns
        self._topic = topic_arn

    def react(self, recipient: str) -> None:
        """Publish a bounce or a complaint if an e-mail went to one of the simulator's addresses."""
        found = _SIMULATED.fullmatch(recipient)
        if found:
            make = _bounce if found[1].lower() == "bounce" else _complaint
            time = rfc3339(datetime.now(UTC), "milliseconds")
            report = {
                **make(recipient, time),
                "mail": {
                    "timestamp": time,
                    "messageId": str(uuid4()),
                    "destination": [recipient],
                },
            }
            self._sns.publish(TopicArn=self._topic, Message=json.dumps(report))


def _bounce(recipient: str, time: str) -> dict[str, Any]:
    return {
        "notificationType": "Bounce",
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [
                {
                    "emailAddress": recipient,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ],
            "timestamp": time,
            "feedbackId": str(uuid4()),
        },
    }


def _complaint(recipient: str, time: str) -> dict[str, Any]:
    return {
        "notificationType": "Complaint",
        "complaint": {
            "complainedRecipients": [{"emailAddress": recipient}],
            "complaintFeedbackType": "abuse",
            "timestamp": time,
            "feedbackId": str(uuid4()),
        },
    }
