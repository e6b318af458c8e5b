"""/webhooks/stripe: receive Stripe's events."""

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.stripe_webhook import WebhookResult
from chalicelib.payments import signatures, stripe_events
from chalicelib.payments.signatures import InvalidSignature
from chalicelib.payments.stripe_events import NotAnEvent
from chalicelib.platform.errors import ContentTooLarge
from chalicelib.platform.http.request import Request, Response, json_response
from chalicelib.platform.http.validation import MAX_BODY_BYTES
from chalicelib.platform.settings import BadSetting

routes = new_router("webhooks", "For Stripe only.")


@routes.post(
    "/webhooks/stripe",
    auth="none",
    responses={200: WebhookResult},
    errors=(InvalidSignature, NotAnEvent, ContentTooLarge),
    raw_body=True,
)
def receive_stripe_event(request: Request) -> Response:
    """Receive an event from Stripe, signed with the endpoint's secret. Redelivery changes nothing."""
    if len(request.raw_body) > MAX_BODY_BYTES:
        raise ContentTooLarge
    settings = request.settings
    if not settings.stripe_webhook_secrets:
        raise BadSetting("STRIPE_WEBHOOK_SECRETS is not set")
    signature = request.headers.get(signatures.HEADER)
    signatures.check(request.raw_body, signature, settings.stripe_webhook_secrets, request.now)
    event = stripe_events.parse(request.raw_body)
    outcome = stripe_events.receive(
        request.database, event, livemode=settings.stripe_livemode, now=request.now
    )
    return json_response(200, {"outcome": outcome or "duplicate"})
