"""What a test, or the page for people, does with the stand-in besides calling its API."""

from collections.abc import Mapping

from infra.local.stripe import disputes, endings, payments, refunds, shapes
from infra.local.stripe.account import Account, Page
from infra.local.stripe.errors import Json
from infra.local.stripe.methods import Method, named, numbered
from infra.local.stripe.money import check_amount, check_currency
from infra.local.stripe.switches import Switches
from infra.local.stripe.webhooks import Delivery, Endpoint, Order, Postman

MANY = 10**9


class StandIn:
    """Stripe's other side: who pays, the bank, the dashboard. Its methods raise Refused as the API does."""

    def __init__(self, account: Account, switches: Switches, postman: Postman) -> None:
        self._account = account
        self._postman = postman
        self.switches = switches

    @property
    def url(self) -> str:
        """The address of the API and of the pages, without a slash at its end."""
        return self._account.base

    def pay_url(self, intent: str) -> str:
        """Return the page where a person pays, by the id or the client secret of a PaymentIntent."""
        identity = intent.partition("_secret_")[0]
        secret = self.intent(identity)["client_secret"]
        return f"{self.url}/pay/{identity}?client_secret={secret}"

    # What happens to payments.

    def create(self, amount: int, currency: str = "eur", metadata: Mapping[str, str] | None = None) -> Json:
        """Make a PaymentIntent as another system of the same account would."""
        check_amount(amount, check_currency(currency))
        intent = shapes.payment_intent(amount, currency.lower()) | {"metadata": dict(metadata or {})}
        with self._account.changing():
            return payments.create(self._account, intent)

    def intent(self, identity: str) -> Json:
        return self._account.get("payment_intent", identity)

    def intents(self, limit: int = MANY) -> list[Json]:
        """Return the PaymentIntents, the newest first."""
        return self._account.all("payment_intent", Page(limit))[0]

    def charge(self, intent: str) -> Json:
        """Return the charge that paid a PaymentIntent."""
        return refunds.charge_of(self._account, self.intent(intent))

    def confirm(self, intent: str, method: str = "pm_card_visa") -> Json:
        """Pay as a browser does, with a test payment method or a card's number."""
        with self._account.changing():
            return payments.confirm(self._account, self.intent(intent), method_of(method))

    def authenticate(self, intent: str, *, passed: bool = True) -> Json:
        """End 3-D Secure."""
        with self._account.changing():
            return payments.authenticate(self._account, self.intent(intent), passed=passed)

    def settle(self, identity: str, *, well: bool | None = None) -> Json:
        """End a bank debit or a refund that is under way, as its payment method says unless told how."""
        return endings.end(self._account, identity, well=well)

    def cancel(self, intent: str) -> Json:
        with self._account.changing():
            return payments.cancel(self._account, self.intent(intent), "requested_by_customer")

    def refund(self, intent: str, amount: int | None = None) -> Json:
        """Give money back from Stripe's dashboard, all that is left unless an amount is given."""
        with self._account.changing():
            charge = self.charge(intent)
            return refunds.create(self._account, charge, amount, "requested_by_customer", {})

    def refunds(self, intent: str) -> list[Json]:
        return self._account.all("refund", Page(MANY, parent=intent))[0]

    def dispute(self, intent: str, reason: str = "fraudulent") -> Json:
        """Have the card's holder dispute the charge."""
        with self._account.changing():
            return disputes.open_one(self._account, self.charge(intent), reason)

    def disputes(self, intent: str) -> list[Json]:
        return self._account.all("dispute", Page(MANY, parent=intent))[0]

    def settle_dispute(self, dispute: str, *, won: bool) -> Json:
        with self._account.changing():
            return disputes.end(self._account, self._account.get("dispute", dispute), won=won)

    # What is told of it.

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Tell an endpoint of what happens from now on; it takes the place of one with the same address."""
        self._postman.add(endpoint)

    def events(self, *kinds: str) -> list[Json]:
        """Return the events, of these types if any are given, the oldest first."""
        return self._account.all("event", Page(MANY, tags=kinds))[0][::-1]

    def waiting(self) -> list[str]:
        """Return the ids of the events that wait for their delivery, the oldest first."""
        return self._postman.waiting()

    def deliver(self, event: str) -> list[int]:
        """Send an event now, again if it was, and return what each endpoint answers, 0 for nothing."""
        return self._postman.deliver(event)

    def deliver_all(self, order: Order = "kept") -> list[int]:
        """Send all that waits, one after the other in this thread, and return the answers."""
        return self._postman.deliver_all(order)

    def drop(self, event: str) -> None:
        """Lose an event that waits for its delivery."""
        self._postman.drop(event)

    def deliveries(self, limit: int = MANY) -> list[Delivery]:
        """Return the deliveries with their attempts, the newest first."""
        return self._postman.deliveries(limit)

    def idle(self, timeout: float = 30.0) -> None:
        """Wait until nothing is to be delivered or settled. Raises TimeoutError."""
        self._postman.idle(timeout)


def method_of(text: str) -> Method:
    """Return the payment method of this name or number. Raises Refused."""
    return named(text) if text.startswith("pm_") else numbered(text)
