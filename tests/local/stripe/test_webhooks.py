"""The promises of webhooks: signed, again until they are taken, and wrong in each way that is asked for."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
import stripe

from infra.local.server import Listener
from infra.local.stripe.server import running
from infra.local.stripe.stand_in import StandIn
from infra.local.stripe.webhooks import Endpoint, body_of, sign
from tests.local.conftest import becomes_true
from tests.local.stripe.conftest import SECRET, Recorder

PAID = ["charge.succeeded", "payment_intent.succeeded", "charge.updated"]


@contextmanager
def shop(recorder: Recorder) -> Iterator[str]:
    """Take webhooks over HTTP as an app does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = recorder(body, self.headers["Stripe-Signature"])
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = Listener(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/webhooks/stripe"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_webhooks_come_signed_by_themselves(recorder: Recorder) -> None:
    with shop(recorder) as url, running(endpoints=[Endpoint(url, (SECRET,))]) as stand_in:
        stand_in.confirm(stand_in.create(1250)["id"])
        stand_in.idle()
        assert sorted(recorder.types) == sorted(["payment_intent.created", *PAID])
        assert {delivery.state for delivery in stand_in.deliveries()} == {"done"}
        assert stand_in.events()[0]["pending_webhooks"] == 0


@pytest.mark.parametrize("answer", [500, 404, 302])
def test_a_webhook_that_is_not_taken_comes_again(recorder: Recorder, answer: int) -> None:
    recorder.responses = [answer]
    with shop(recorder) as url, running(endpoints=[Endpoint(url, (SECRET,))]) as stand_in:
        stand_in.create(1250)
        stand_in.idle()
        assert recorder.got[0].id == recorder.got[1].id
        (delivery,) = stand_in.deliveries()
        assert [outcome for _, outcome in delivery.attempts] == [str(answer), "200"]


def test_a_webhook_waits_for_who_is_not_there_and_survives_a_restart(
    recorder: Recorder, tmp_path: Path
) -> None:
    with socket.socket() as taken, contextlib.ExitStack() as stack:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        stand_in = stack.enter_context(running(state=tmp_path, endpoints=[Endpoint(nobody, (SECRET,))]))
        stand_in.create(1250)
        assert becomes_true(lambda: bool(stand_in.deliveries()[0].attempts))
        (event,) = stand_in.waiting()
        assert stand_in.events()[0]["pending_webhooks"] == 1
    with running(state=tmp_path, endpoints=[Endpoint(nobody, (SECRET,), send=recorder)]) as stand_in:
        stand_in.idle()
        assert [got.id for got in recorder.got] == [event]
        assert len(stand_in.intents()) == 1


def test_what_was_under_way_when_it_was_killed_comes_again(recorder: Recorder, tmp_path: Path) -> None:
    def dies(_: bytes, __: str) -> int:
        raise KeyboardInterrupt

    with running(
        state=tmp_path, endpoints=[Endpoint("recorder", (SECRET,), send=dies)], background=False
    ) as stand_in:
        stand_in.create(1250)
        with pytest.raises(KeyboardInterrupt):
            stand_in.deliver_all()
        assert stand_in.deliveries()[0].state == "sending"
    with running(state=tmp_path, endpoints=[recorder.endpoint], background=False) as stand_in:
        assert stand_in.deliver_all() == [200]


def test_an_endpoint_that_is_gone_may_come_back(tmp_path: Path, recorder: Recorder) -> None:
    with running(state=tmp_path, endpoints=[recorder.endpoint], background=False) as stand_in:
        stand_in.create(1250)
    with running(state=tmp_path, background=False) as stand_in:
        assert stand_in.deliver_all() == [0]
        stand_in.add_endpoint(recorder.endpoint)
        assert stand_in.deliver_all() == [200]


def test_it_is_given_up_after_many_attempts(stand_in: StandIn, recorder: Recorder) -> None:
    stand_in.create(1250)
    recorder.responses = [500] * 100
    while stand_in.waiting():
        assert stand_in.deliver_all() == [500]
    (delivery,) = stand_in.deliveries()
    assert (delivery.state, len(delivery.attempts)) == ("failed", 12)


def test_the_signature_is_as_the_package_checks_it() -> None:
    body = body_of({"id": "evt_1", "object": "event", "type": "payment_intent.created"})
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


def test_an_endpoint_gets_the_types_that_it_wants(recorder: Recorder) -> None:
    wanted = Endpoint("recorder", (SECRET,), events=("payment_intent.succeeded",), send=recorder)
    with running(background=False) as stand_in:
        stand_in.create(1250)
        stand_in.add_endpoint(wanted)
        stand_in.confirm(stand_in.create(1250)["id"])
        stand_in.deliver_all()
    assert recorder.types == ["payment_intent.succeeded"]


def test_without_a_background_the_test_delivers_drops_repeats_and_reorders(
    stand_in: StandIn, recorder: Recorder
) -> None:
    stand_in.confirm(stand_in.create(1250)["id"])
    created, succeeded, *rest = stand_in.waiting()
    assert len(rest) == 2
    stand_in.drop(created)
    assert stand_in.deliver(succeeded) == [200]
    assert stand_in.deliver(succeeded) == [200]
    assert stand_in.deliver_all("reversed") == [200, 200]
    assert [event.id for event in recorder.got] == [succeeded, succeeded, *rest[::-1]]
    assert stand_in.waiting() == []
    assert stand_in.deliver(created) == [200]  # the dashboard can send it again


def test_a_dropped_webhook_never_comes(stand_in: StandIn, recorder: Recorder) -> None:
    stand_in.switches.drop = 2
    stand_in.confirm(stand_in.create(1250)["id"])
    stand_in.deliver_all()
    assert recorder.types == PAID[1:]
    assert [delivery.state for delivery in stand_in.deliveries()] == ["done", "done", "dropped", "dropped"]


def test_a_webhook_can_come_several_times(stand_in: StandIn, recorder: Recorder) -> None:
    stand_in.switches.duplicate = 2
    stand_in.create(1250)
    stand_in.deliver_all()
    assert recorder.types == ["payment_intent.created"] * 3
    assert len({event.id for event in recorder.got}) == 1


def test_webhooks_can_be_shuffled(stand_in: StandIn, recorder: Recorder) -> None:
    for _ in range(30):
        stand_in.create(1250)
    stand_in.deliver_all("shuffled")
    made = [event["id"] for event in stand_in.events()]
    assert [event.id for event in recorder.got] != made
    assert sorted(event.id for event in recorder.got) == sorted(made)


def test_held_webhooks_wait_and_come_when_they_are_let_go(recorder: Recorder) -> None:
    with running(endpoints=[recorder.endpoint]) as stand_in:
        stand_in.switches.hold = True
        stand_in.confirm(stand_in.create(1250)["id"])
        with pytest.raises(TimeoutError):
            stand_in.idle(timeout=0.1)
        stand_in.deliver_all("reversed")
        assert recorder.types == [*PAID[::-1], "payment_intent.created"]
        stand_in.create(1250)
        stand_in.switches.hold = False
        stand_in.idle()
        assert len(recorder.got) == 5


def test_what_settles_later_does_so_by_itself(recorder: Recorder) -> None:
    with running(endpoints=[recorder.endpoint]) as stand_in:
        stand_in.switches.settles_after = 0.0
        intent = stand_in.create(1250)["id"]
        stand_in.confirm(intent, "pm_usBankAccount_success")
        stand_in.idle()
        assert stand_in.intent(intent)["status"] == "succeeded"
        stand_in.confirm(other := stand_in.create(1250)["id"], "pm_card_refundFail")
        stand_in.refund(other)
        stand_in.idle()
        assert stand_in.refunds(other)[0]["status"] == "failed"
        assert "refund.failed" in recorder.types


def test_a_broken_receiver_shows_itself_and_loses_nothing(stand_in: StandIn) -> None:
    def breaks(_: bytes, __: str) -> int:
        raise ZeroDivisionError

    stand_in.add_endpoint(Endpoint("recorder", (SECRET,), send=breaks))
    for _ in range(2):
        stand_in.create(1250)
    with pytest.raises(ZeroDivisionError):
        stand_in.deliver_all()
    assert len(stand_in.waiting()) == 2
