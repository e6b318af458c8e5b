"""Facts through SNS: one topic, the type as an attribute to filter by."""

import json
from collections.abc import Sequence
from uuid import UUID

import boto3

from chalicelib.adapters.calls import AT_ONCE, CONFIG, reaching
from chalicelib.ports import Fact


class SnsPublisher:
    """Publishes to one topic."""

    def __init__(self, topic_arn: str) -> None:
        self._sns = boto3.client("sns", config=CONFIG)
        self._topic = topic_arn

    def publish(self, facts: Sequence[Fact]) -> set[UUID]:
        failed: set[UUID] = set()
        for start in range(0, len(facts), AT_ONCE):
            part = facts[start : start + AT_ONCE]
            with reaching("SNS"):
                answer = self._sns.publish_batch(
                    TopicArn=self._topic,
                    PublishBatchRequestEntries=[
                        {
                            "Id": str(fact.fact_id),
                            "Message": json.dumps(fact.as_message(), separators=(",", ":")),
                            "MessageAttributes": {"type": {"DataType": "String", "StringValue": fact.type}},
                        }
                        for fact in part
                    ],
                )
            failed.update(UUID(entry["Id"]) for entry in answer.get("Failed", []))
        return failed
