"""Everything around the API: customers who pay, banks, the dashboard and webhooks."""

from collections.abc import Mapping

from infra.stripe_fake import disputes, payment_intents, refunds, settlement, test_cards
from infra.stripe_fake.dispatcher import Dispatcher, Order
from infra.stripe_fake.errors import Json
from infra.stripe_fake.faults import Faults
from infra.stripe_fake.store import Store
from infra.stripe_fake.webhooks import Delivery, Endpoint


class StripeFake:
    """A running fake. Its methods raise ApiError where Stripe responds with an error."""

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher

    @property
    def url(self) -> str:
        """The address of the API and the pages, without a slash at the end."""
        return self._store.base_url

    @property
    def faults(self) -> Faults:
        return self._store.faults

    def pay_url(self, intent: str) -> str:
        """Return the address of the page to pay on."""
        return f"{self.url}{payment_intents.page_path('pay', self.intent(intent))}"

    # Payments

    def create(self, amount: int, currency: str = "eur", metadata: Mapping[str, str] | None = None) -> Json:
        """Create a PaymentIntent, as another program with the same Stripe account does."""
        with self._store.transaction():
            return payment_intents.create(self._store, amount, currency, metadata=dict(metadata or {}))

    def intent(self, intent: str) -> Json:
        return self._store.get("payment_intent", intent)

    def intents(self, limit: int = -1) -> list[Json]:
        """Return the PaymentIntents, the newest first; all of them without a limit."""
        return self._store.find("payment_intent", limit=limit)

    def charge(self, intent: str) -> Json:
        """Return the charge that paid a PaymentIntent."""
        return refunds.charge_of(self._store, self.intent(intent))

    def confirm(self, intent: str, method: str = "pm_card_visa") -> Json:
        """Pay with a test payment method, given by its name or number."""
        with self._store.transaction():
            return payment_intents.confirm(self._store, self.intent(intent), test_cards.find(method))

    def authenticate(self, intent: str, *, passed: bool = True) -> Json:
        """End 3-D Secure."""
        with self._store.transaction():
            return payment_intents.authenticate(self._store, self.intent(intent), passed=passed)

    def settle(self, object_id: str, *, succeed: bool | None = None) -> Json:
        """Settle a bank debit or a refund: as its test method does, unless told."""
        with self._store.transaction():
            return settlement.settle(self._store, object_id, succeed=succeed)

    def cancel(self, intent: str) -> Json:
        with self._store.transaction():
            return payment_intents.cancel(self._store, self.intent(intent))

    def refund(self, intent: str, amount: int | None = None) -> Json:
        """Refund an amount from the dashboard, or the rest if None."""
        with self._store.transaction():
            return refunds.create(self._store, self.intent(intent), amount, {})

    def refunds(self, intent: str) -> list[Json]:
        return self._store.find("refund", payment_intent=intent)

    def dispute(self, intent: str, reason: str = "fraudulent", amount: int | None = None) -> Json:
        """Dispute an amount of the charge, as the card holder does, or the whole if None."""
        with self._store.transaction():
            return disputes.create(self._store, self.charge(intent), reason, amount)

    def disputes(self, intent: str) -> list[Json]:
        return self._store.find("dispute", payment_intent=intent)

    def settle_dispute(self, dispute: str, *, won: bool) -> Json:
        with self._store.transaction():
            return disputes.close(self._store, self._store.get("dispute", dispute), won=won)

    # Webhooks

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Send later events to an endpoint. It replaces one with the same URL."""
        with self._store.lock:
            self._store.endpoints[endpoint.url] = endpoint

    def events(self, *types: str) -> list[Json]:
        """Return the events, the oldest first; of all types if none is given."""
        return [event for event in self._store.find("event")[::-1] if not types or event["type"] in types]

    def waiting(self) -> list[str]:
        """Return the ids of the events that wait for their delivery, the oldest first."""
        return list(dict.fromkeys(delivery.event["id"] for delivery in self._dispatcher.waiting()))

    def deliver(self, event: str) -> list[int]:
        """Send an event now, once more if it was sent before.

        Return the status from each endpoint, 0 without a response.
        """
        return self._dispatcher.deliver(self._store.get("event", event))

    def deliver_all(self, order: Order = "ordered") -> list[int]:
        """Send all waiting events, one after the other in this thread. Return the statuses."""
        return self._dispatcher.deliver_all(order)

    def drop(self, event: str) -> None:
        """Lose an event that waits for its delivery."""
        for delivery in self._dispatcher.waiting():
            if delivery.event["id"] == event:
                delivery.state = "dropped"

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries, the newest first."""
        return self._store.deliveries[::-1]
