"""Response body of /webhooks/stripe."""

from typing import Annotated

from msgspec import Meta, Struct


class WebhookResult(Struct, kw_only=True):
    """That an event is recorded for good."""

    outcome: Annotated[str, Meta(description="What came of it, in one word.", examples=["confirmed"])]
