"""Reports about refunds: apply what Stripe says of refunds, also of those that were made in its dashboard.

Webhooks, responses and the reconciler may call these functions in any order, any number of times.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from chalicelib.payments import refund_states
from chalicelib.payments.balances import (
    AMOUNT_DIFFERS,
    flag_for_review,
    left,
    lost,
    rebalance,
    returned,
    update_payment,
)
from chalicelib.payments.gateway import Refund
from chalicelib.payments.locks import lock_booking, lock_places_then_booking
from chalicelib.payments.models import PARTLY_REFUNDED
from chalicelib.payments.refund_states import REFUND_FAILED
from chalicelib.payments.settlement import FOREIGN, Effect, Outcome, booking_of_intent
from chalicelib.payments.stripe_objects import RefundedTotal

HAS_ARRIVED = frozenset({"paid", "partly_refunded", "refund_pending"})
"""The statuses of a payment whose refunds at Stripe can be checked."""


def apply_refund(connection: Connection, reported: Refund, now: datetime) -> Effect:
    """Apply the state of one refund. It may be out of date, unless it has Stripe's id of a refund here."""
    booking_id = booking_of_intent(connection, reported.intent_id)
    if booking_id is None:
        return FOREIGN
    payment = lock_places_then_booking(connection, booking_id)
    refund = refund_states.find(connection, booking_id, reported)
    if refund is None:
        return _apply_dashboard_refund(connection, payment, reported, now), booking_id
    return _apply_own_refund(connection, payment, refund, reported, now), booking_id


def _apply_own_refund(
    connection: Connection, payment: Row[Any], refund: Row[Any], reported: Refund, now: datetime
) -> Outcome:
    is_known = refund.stripe_refund_id == reported.stripe_refund_id
    if not is_known and not _is_expected(payment, refund, reported):
        return "no-change"
    if reported.status == "failed":
        return _apply_failure(connection, payment, refund, now)
    if refund.status == "refunded":
        return "no-change"
    refund_states.accept(connection, refund, reported, now)
    if reported.status == "pending":
        rebalance(connection, payment, now)
        return "refunding"
    rebalance(connection, payment, now, refunded_amount=payment.refunded_amount + refund.amount)
    return "refunded"


def _is_expected(payment: Row[Any], refund: Row[Any], reported: Refund) -> bool:
    """Whether this is the present attempt of a refund whose acceptance is not recorded yet.

    The report of an attempt's creation may arrive after the report of its failure.
    """
    return bool(
        refund.stripe_refund_id is None
        and reported.attempt == refund.attempt
        and (reported.amount, reported.currency) == (refund.amount, payment.currency)
    )


def _apply_failure(connection: Connection, payment: Row[Any], refund: Row[Any], now: datetime) -> Outcome:
    """Count a failed attempt, even after success: a bank may return the money days later."""
    if refund.status == "covered":
        return "no-change"
    is_last = refund_states.fail(connection, refund, "failed", now)
    taken_back = refund.amount if refund.status == "refunded" else 0
    rebalance(connection, payment, now, refunded_amount=max(0, payment.refunded_amount - taken_back))
    return "flagged" if is_last else "refund-failed"


def _apply_dashboard_refund(
    connection: Connection, payment: Row[Any], reported: Refund, now: datetime
) -> Outcome:
    """Flag a refund that was made in Stripe's dashboard and that a bank has returned.

    The reconciler then asks Stripe how much has gone back. Successful ones are in the refunded total.
    """
    if reported.refund_id is not None or reported.status != "failed":
        return "no-change"
    if payment.status in HAS_ARRIVED:
        update_payment(connection, payment, now, next_check_at=now)
    elif payment.status != "refunded":
        return "no-change"
    flag_for_review(connection, payment.booking_id, REFUND_FAILED)
    return "flagged"


def apply_refunded_total(connection: Connection, total: RefundedTotal, now: datetime) -> Effect:
    """Apply the refunded total of a payment, of which a part may have been refunded in Stripe's dashboard.

    If everything has gone back, the booking is cancelled, even if the report of the payment arrives later. A
    part is recorded and flagged, and the booking stays. The total may be out of date, or include a refund
    whose acceptance is not recorded yet: then the reconciler asks Stripe for the refunds.
    """
    booking_id = booking_of_intent(connection, total.intent_id) if total.intent_id else None
    if booking_id is None:
        return FOREIGN
    payment = lock_places_then_booking(connection, booking_id)
    if total.currency != payment.currency or total.amount < 0:
        flag_for_review(connection, booking_id, AMOUNT_DIFFERS)
        return "flagged", booking_id
    pending = [one for one in refund_states.all_of(connection, booking_id) if one.status == "pending"]
    accepted = sum(one.amount for one in pending if not refund_states.waits(one))
    if total.amount <= payment.refunded_amount + accepted:
        return "no-change", booking_id
    if any(map(refund_states.waits, pending)):
        update_payment(connection, payment, now, next_check_at=now)
        return "no-change", booking_id
    after = rebalance(connection, payment, now, refunded_amount=total.amount - accepted)
    if returned(after) >= after.amount:
        return "refunded", booking_id
    if after.status in HAS_ARRIVED:
        update_payment(connection, after, now, next_check_at=now)
    flag_part(connection, after)
    return "partly-refunded", booking_id


def flag_part(connection: Connection, payment: Row[Any]) -> None:
    """Flag a payment of which a part has gone back, if it is open what happens to the rest."""
    if payment.flag is None and left(payment) > 0:
        flag_for_review(connection, payment.booking_id, PARTLY_REFUNDED)


def apply_listed(
    connection: Connection, payment: Row[Any], listed: Collection[Refund], now: datetime
) -> None:
    """Apply the list of all refunds of a payment, which must be current. The places must be locked.

    Refunds made in Stripe's dashboard count first for refunds of the same amount that wait here, if those
    have failed for good or if too little is left for them. The others that wait are reduced to what is left.
    """
    booking_id = payment.booking_id
    if any(refund.currency != payment.currency or refund.amount <= 0 for refund in listed):
        update_payment(connection, payment, now, next_check_at=None)
        flag_for_review(connection, booking_id, AMOUNT_DIFFERS)
        return
    own = refund_states.all_of(connection, booking_id)
    known = max(0, payment.refunded_amount - _sum(one for one in own if one.status == "refunded"))
    in_dashboard = _without_own(connection, own, listed, now)
    grown = _sum(in_dashboard) - known
    for refund in filter(refund_states.waits, refund_states.all_of(connection, booking_id)):
        same = next((one for one in in_dashboard if one.amount == refund.amount <= grown), None)
        if same is not None and (refund.flag is not None or _excess(connection, payment, in_dashboard) > 0):
            refund_states.accept(connection, refund, same, now)
            in_dashboard.remove(same)
            grown -= same.amount
    refunded = _sum(one for one in refund_states.all_of(connection, booking_id) if one.status == "refunded")
    refunded += _sum(in_dashboard)
    if payment.status == "refunded":
        refunded = max(refunded, payment.refunded_amount)
    update_payment(connection, payment, now, refunded_amount=refunded, next_check_at=None)
    refund_states.reduce_to_left(connection, lock_booking(connection, booking_id), now)
    after = rebalance(connection, payment, now)
    if grown > 0:
        flag_part(connection, after)
    elif returned(after) == 0 and after.flag == PARTLY_REFUNDED:
        update_payment(connection, after, now, flag=None)


def _without_own(
    connection: Connection, own: Sequence[Row[Any]], listed: Collection[Refund], now: datetime
) -> list[Refund]:
    """Apply the states of the refunds that were made here. Return those that were made in the dashboard."""
    others = list(listed)
    for refund in own:
        reported = _find_listed(refund, listed)
        if reported is None:
            continue
        others.remove(reported)
        if reported.status == "failed":
            refund_states.fail(connection, refund, "failed", now)
        elif refund.status != "refunded":
            refund_states.accept(connection, refund, reported, now, amount=reported.amount)
    return [one for one in others if one.status != "failed"]


def _find_listed(refund: Row[Any], listed: Collection[Refund]) -> Refund | None:
    """Find a refund in Stripe's list. If its acceptance is not recorded, it may be of any attempt."""
    if refund.stripe_refund_id is not None:
        return next((one for one in listed if one.stripe_refund_id == refund.stripe_refund_id), None)
    attempts = [
        one
        for one in listed
        if one.refund_id == refund.refund_id and (one.status != "failed" or one.attempt == refund.attempt)
    ]
    return min(attempts, key=lambda one: one.status == "failed", default=None)


def _excess(connection: Connection, payment: Row[Any], in_dashboard: Collection[Refund]) -> int:
    """Return by how much the refunds here and in the dashboard exceed what can go back."""
    own = _sum(one for one in refund_states.all_of(connection, payment.booking_id) if one.status != "covered")
    return own + _sum(in_dashboard) - (int(payment.amount) - lost(payment))


def _sum(counted: Iterable[Row[Any] | Refund]) -> int:
    return sum(one.amount for one in counted)
