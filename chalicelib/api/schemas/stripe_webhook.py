"""Response body of /webhooks/stripe."""

from typing import Annotated

from msgspec import Meta, Struct


class WebhookResult(Struct, kw_only=True):
    """The result of an event."""

    outcome: Annotated[str, Meta(description="The effect of the event, in one word.", examples=["confirmed"])]
