"""Domain events through SNS: one topic, with the type as an attribute for filters."""

import json
from collections.abc import Sequence
from uuid import UUID

import boto3

from chalicelib.adapters.aws import CONFIG, MAX_BATCH_SIZE, translate_errors
from chalicelib.platform.messaging.ports import DomainEvent


class SnsPublisher:
    """Publishes to one topic."""

    def __init__(self, topic_arn: str) -> None:
        self._sns = boto3.client("sns", config=CONFIG)
        self._topic = topic_arn

    def publish(self, domain_events: Sequence[DomainEvent]) -> set[UUID]:
        failed: set[UUID] = set()
        for start in range(0, len(domain_events), MAX_BATCH_SIZE):
            batch = domain_events[start : start + MAX_BATCH_SIZE]
            with translate_errors("SNS"):
                response = self._sns.publish_batch(
                    TopicArn=self._topic,
                    PublishBatchRequestEntries=[
                        {
                            "Id": str(domain_event.domain_event_id),
                            "Message": json.dumps(domain_event.as_message(), separators=(",", ":")),
                            "MessageAttributes": {
                                "type": {"DataType": "String", "StringValue": domain_event.type}
                            },
                        }
                        for domain_event in batch
                    ],
                )
            failed.update(UUID(entry["Id"]) for entry in response.get("Failed", []))
        return failed
