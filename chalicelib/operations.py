"""Operations: what a person may do to the running service, each by its name. `make operate` calls them.

The parameters of an operation's function are its arguments, in camelCase.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.notifications import bounces
from chalicelib.payments import flags, stripe_events
from chalicelib.payments.gateway import PaymentRefused
from chalicelib.platform.messaging import poison, queues
from chalicelib.platform.messaging.queues import Queue
from chalicelib.platform.observability import logs
from chalicelib.platform.times import rfc3339
from chalicelib.wiring import Wiring

_MAX_TEXT = 500


class NotPossible(Exception):
    """The operation cannot be run like this. Nothing has changed."""


class Address(str):
    """An e-mail address, which is not logged."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run of an operation."""

    wiring: Wiring
    why: str
    dry_run: bool
    now: datetime
    keep_going: Callable[[], bool]

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction, which a dry run rolls back."""
        with self.wiring.database.transaction() as connection:
            yield connection
            if self.dry_run:
                connection.rollback()


_OPERATIONS: dict[str, Callable[..., Any]] = {}


def _operation(function: Callable[..., Any]) -> Callable[..., Any]:
    _OPERATIONS[function.__name__.replace("_", "-")] = function
    return function


@_operation
def list_flags(call: Call) -> Any:
    """List the payments and refunds that need a person."""
    with call.transaction() as connection:
        return flags.list_flags(connection)


@_operation
def settle_flag(call: Call, *, booking_id: UUID, flag: str) -> Any:
    """Clear the flag of a payment."""
    with call.transaction() as connection:
        _require(flags.settle_flag(connection, booking_id, flag, call.now), "the payment has no such flag")


@_operation
def retry_refund(call: Call, *, refund_id: UUID) -> Any:
    """Let the reconciler make a refund again, within a minute."""
    with call.transaction() as connection:
        _require(flags.retry_refund(connection, refund_id, call.now), "no such refund waits")


@_operation
def record_refund(call: Call, *, refund_id: UUID) -> Any:
    """Record that a refund was paid back past Stripe."""
    with call.transaction() as connection:
        _require(flags.record_refund(connection, refund_id, call.now), "no such refund waits")


@_operation
def list_foreign_payments(call: Call) -> Any:
    """List payments of the last 90 days at Stripe that are for no booking, such as after a restore."""
    with call.transaction() as connection:
        return stripe_events.list_foreign_payments(connection)


@_operation
def replay_stripe_event(call: Call, *, stripe_event_id: str) -> Any:
    """Fetch an event of the last 30 days from Stripe and apply it, even if it was applied before."""
    settings = call.wiring.settings
    try:
        event = stripe_events.parse_object(call.wiring.payments.get_event(stripe_event_id))
    except PaymentRefused as error:
        raise NotPossible(f"Stripe: {error.code}") from error
    if call.dry_run:
        return {"type": event.type}
    with call.transaction() as connection:
        outcome = stripe_events.replay(connection, event, livemode=settings.stripe_livemode, now=call.now)
    return {"type": event.type, "outcome": outcome}


@_operation
def lift_suppression(call: Call, *, address: Address) -> Any:
    """Let e-mails go again to an address that bounced or complained."""
    with call.transaction() as connection:
        _require(bounces.lift(connection, address), "the address is not suppressed")


@_operation
def outbox_state(call: Call) -> Any:
    """Count the domain events that wait in each lane, and show the oldest."""
    with call.transaction() as connection:
        return poison.by_lane(connection)


@_operation
def show_domain_event(call: Call, *, domain_event_id: UUID) -> Any:
    """Show a domain event that waits in the outbox."""
    with call.transaction() as connection:
        found = poison.find(connection, domain_event_id)
    _require(found, "no such domain event waits")
    return found


@_operation
def skip_domain_event(call: Call, *, domain_event_id: UUID) -> Any:
    """Take a domain event that SNS refuses out of the outbox. It is kept for 30 days, with `WHY`."""
    with call.transaction() as connection:
        skipped = poison.skip(connection, domain_event_id, reason=call.why, now=call.now)
        _require(skipped, "no such domain event waits")


@_operation
def put_back_domain_event(call: Call, *, domain_event_id: UUID) -> Any:
    """Put a skipped domain event back at the end of its lane."""
    with call.transaction() as connection:
        _require(poison.put_back(connection, domain_event_id), "no such domain event was skipped")


@_operation
def dead_letters(call: Call, *, queue: Queue) -> Any:
    """Count the dead letters of a queue, and show some of them."""
    count, shown = call.wiring.queues.dead_letters(queue)
    return {
        "waiting": count,
        "some": [{"messageId": one.message_id, "sentAt": one.sent_at, **_origin(one.body)} for one in shown],
    }


@_operation
def redrive(call: Call, *, queue: Queue) -> Any:
    """Move the dead letters of one queue back to it."""
    if call.dry_run:
        return {"moved": call.wiring.queues.dead_letters(queue)[0]}
    return {"moved": call.wiring.queues.redrive(queue, keep_going=call.keep_going)}


def run(wiring: Wiring, request: Mapping[str, Any], *, keep_going: Callable[[], bool]) -> dict[str, Any]:
    """Run an operation: `{operation, arguments, who, why, dryRun}`. Return `{result}`, or `{error}`.

    Each run is one line of the log, without e-mail addresses.
    """
    name, dry_run = request.get("operation"), request.get("dryRun") is True
    line: dict[str, object] = {
        "operation": name,
        "who": request.get("who"),
        "why": request.get("why"),
        "dryRun": dry_run,
    }
    try:
        function = _find(name)
        arguments = _arguments(function, request.get("arguments") or {})
        line["arguments"] = json.dumps(_loggable(arguments), default=_plain)
        call = Call(
            wiring=wiring,
            why=_reason(request),
            dry_run=dry_run,
            now=datetime.now(UTC),
            keep_going=keep_going,
        )
        result = function(call, **arguments)
    except NotPossible as error:
        logs.warning("operation", **line, outcome=f"refused: {error}")
        return {"error": str(error), "operations": describe()}
    except Exception:
        logs.exception("operation", **line, outcome="failed")
        raise
    logs.info("operation", **line, outcome="dry run" if dry_run else "done")
    done = "would be done" if dry_run else "done"
    return {"result": json.loads(json.dumps(done if result is None else result, default=_plain))}


def describe() -> dict[str, dict[str, Any]]:
    """Return the arguments of each operation, and what it does."""
    return {
        name: {
            "arguments": [_camel_case(argument) for argument in _parameters(function)],
            "does": (inspect.getdoc(function) or "").splitlines()[0],
        }
        for name, function in _OPERATIONS.items()
    }


def _parameters(function: Callable[..., Any]) -> dict[str, type]:
    """Return the types of an operation's arguments by their names, without the call."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return {parameter.name: parameter.annotation for parameter in parameters}


def _arguments(function: Callable[..., Any], given: Any) -> dict[str, Any]:
    wanted = {_camel_case(name): (name, kind) for name, kind in _parameters(function).items()}
    if not isinstance(given, dict) or given.keys() != wanted.keys():
        raise NotPossible(f"the arguments must be: {', '.join(wanted) or 'none'}")
    return {name: _parsed(member, kind, given[member]) for member, (name, kind) in wanted.items()}


def _parsed(member: str, kind: type, value: Any) -> Any:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise NotPossible(f"{member} must be a text")
    if kind is Queue:
        found = [queue for queue in queues.QUEUES if queue.name == value]
        if not found:
            raise NotPossible(f"{member} must be one of {', '.join(queue.name for queue in queues.QUEUES)}")
        return found[0]
    try:
        return kind(value)
    except ValueError as error:
        raise NotPossible(f"{member} must be a {kind.__name__}") from error


def _find(name: object) -> Callable[..., Any]:
    function = _OPERATIONS.get(str(name))
    if function is None:
        raise NotPossible("no such operation")
    return function


def _reason(request: Mapping[str, Any]) -> str:
    """Return why an operation is run, and check that it says who runs it."""
    for member in ("who", "why"):
        text = request.get(member)
        if not isinstance(text, str) or not text.strip() or len(text) > _MAX_TEXT:
            raise NotPossible(f"say {member}")
    if "@" in request["who"]:
        raise NotPossible("who must be a name, because the log has no e-mail addresses")
    return str(request["why"])


def _require(done: object, otherwise: str) -> None:
    if not done:
        raise NotPossible(otherwise)


def _loggable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _camel_case(name): "[address]" if isinstance(value, Address) else value
        for name, value in arguments.items()
    }


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value, "milliseconds")
    return value.name if isinstance(value, Queue) else str(value)


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _origin(body: str) -> dict[str, Any]:
    """Return what a message says of its domain event, without the body of that."""
    try:
        message = json.loads(body)
        event = message.get("domainEvent", message)
        return {name: event.get(name) for name in ("id", "type", "subject", "time", "requestId")}
    except (ValueError, AttributeError):
        return {}
