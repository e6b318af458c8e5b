"""Webhooks: signatures, retries, order and faults."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
import stripe
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.server import QuietHandler, running
from infra.stripe_fake.webhooks import Endpoint, sign
from tests.infra.stripe_fake.conftest import SECRET, Recorder, eventually

PAID = ["charge.succeeded", "payment_intent.succeeded", "charge.updated"]


@contextmanager
def shop(recorder: Recorder) -> Iterator[Endpoint]:
    """An endpoint that receives webhooks over HTTP."""

    @Request.application
    def respond(request: Request) -> Response:
        status = recorder(request.get_data(), request.headers["Stripe-Signature"])
        return Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    server = make_server("127.0.0.1", 0, respond, threaded=True, request_handler=QuietHandler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.port}/webhooks/stripe", (SECRET,))
    finally:
        server.shutdown()
        thread.join()


def states(fake: StripeFake) -> list[str]:
    return [delivery.state for delivery in fake.deliveries()]


def test_webhooks_are_sent_in_the_background(recorder: Recorder) -> None:
    with shop(recorder) as endpoint, running(endpoints=[endpoint]) as fake:
        fake.confirm(fake.create(1250)["id"])
        assert eventually(lambda: states(fake) == ["delivered"] * 4)
    assert sorted(recorder.types) == sorted(["payment_intent.created", *PAID])


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_refused_webhook_is_retried(recorder: Recorder, status: int) -> None:
    recorder.statuses = [status]
    with shop(recorder) as endpoint, running(endpoints=[endpoint]) as fake:
        fake.create(1250)
        assert eventually(lambda: states(fake) == ["delivered"])
        assert fake.deliveries()[0].attempts == 2
    assert recorder.events[0].id == recorder.events[1].id


def test_a_webhook_waits_for_an_endpoint_that_is_down() -> None:
    with socket.socket() as unused, running() as fake:
        unused.bind(("127.0.0.1", 0))  # without listening
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        fake.add_endpoint(Endpoint(url, (SECRET,)))
        fake.create(1250)
        assert eventually(lambda: fake.deliveries()[0].attempts > 0)
        assert "refused" in fake.deliveries()[0].outcome
        assert fake.waiting() == [fake.events()[0]["id"]]


def test_retries_end_after_twelve_attempts(fake: StripeFake, recorder: Recorder) -> None:
    fake.create(1250)
    recorder.statuses = [500] * 100
    while fake.waiting():
        assert fake.deliver_all() == [500]
    (delivery,) = fake.deliveries()
    assert (delivery.state, delivery.attempts, delivery.outcome) == ("failed", 12, "500")


def test_the_package_accepts_the_signature() -> None:
    body = b'{"id": "evt_1", "object": "event", "type": "payment_intent.created"}'
    now = int(time.time())
    construct = stripe.Webhook.construct_event
    assert construct(body, sign(body, [SECRET], now), SECRET).id == "evt_1"
    assert construct(body, sign(body, ["whsec_old", SECRET], now), SECRET).id == "evt_1"
    for wrong in (
        sign(body, ["whsec_other"], now),
        sign(body, [SECRET], now - 301),
        sign(b"{}", [SECRET], now),
    ):
        with pytest.raises(stripe.SignatureVerificationError):
            construct(body, wrong, SECRET)


def test_a_caller_drops_repeats_and_reorders(fake: StripeFake, recorder: Recorder) -> None:
    fake.confirm(fake.create(1250)["id"])
    created, succeeded, *rest = fake.waiting()
    assert len(rest) == 2
    fake.drop(created)
    assert fake.deliver(succeeded) == [200]
    assert fake.deliver(succeeded) == [200]
    assert fake.deliver_all("reversed") == [200, 200]
    assert [event.id for event in recorder.events] == [succeeded, succeeded, *rest[::-1]]
    assert fake.waiting() == []
    assert fake.deliver(created) == [200]  # as from the dashboard


def test_dropped_webhooks_never_arrive(fake: StripeFake, recorder: Recorder) -> None:
    fake.faults.drop = 2
    fake.confirm(fake.create(1250)["id"])
    fake.deliver_all()
    assert recorder.types == PAID[1:]
    assert states(fake) == ["delivered", "delivered", "dropped", "dropped"]


def test_a_webhook_can_arrive_several_times(fake: StripeFake, recorder: Recorder) -> None:
    fake.faults.duplicate = 2
    fake.create(1250)
    fake.deliver_all()
    assert recorder.types == ["payment_intent.created"] * 3
    assert len({event.id for event in recorder.events}) == 1


def test_webhooks_can_be_shuffled(fake: StripeFake, recorder: Recorder) -> None:
    for _ in range(30):
        fake.create(1250)
    fake.deliver_all("shuffled")
    made = [event["id"] for event in fake.events()]
    assert [event.id for event in recorder.events] != made
    assert sorted(event.id for event in recorder.events) == sorted(made)


def test_webhooks_can_be_delayed(recorder: Recorder) -> None:
    with running(endpoints=[recorder.endpoint]) as fake:
        fake.faults.delay = 0.5
        start = time.monotonic()
        fake.create(1250)
        assert eventually(lambda: recorder.types == ["payment_intent.created"])
        assert time.monotonic() - start >= 0.5


def test_debits_and_refunds_settle_in_the_background(recorder: Recorder) -> None:
    with running(endpoints=[recorder.endpoint]) as fake:
        fake.faults.settles_after = 0.0
        intent = fake.create(1250)["id"]
        fake.confirm(intent, "pm_usBankAccount_success")
        assert eventually(lambda: fake.intent(intent)["status"] == "succeeded")
        intent = fake.create(1250)["id"]
        fake.confirm(intent, "pm_card_refundFail")
        fake.refund(intent)
        assert eventually(lambda: fake.refunds(intent)[0]["status"] == "failed")
        assert eventually(lambda: "refund.failed" in recorder.types)


def test_an_exception_of_the_receiver_is_raised(fake: StripeFake) -> None:
    def fail(_: bytes, __: str) -> int:
        raise ZeroDivisionError

    fake.add_endpoint(Endpoint("recorder", (SECRET,), send=fail))
    for _ in range(2):
        fake.create(1250)
    with pytest.raises(ZeroDivisionError):
        fake.deliver_all()
    assert len(fake.waiting()) == 2
