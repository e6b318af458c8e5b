-- Recount an event's places and money from their rows, and report differences.
--
-- A single statement, so that all figures come from one snapshot. `booked` is each booking with its payment.
WITH booked AS MATERIALIZED (
    SELECT b.booking_id, b.status, b.quantity, b.amount, b.currency, b.expires_at,
           p.status AS payment, p.amount AS charged, p.currency AS charged_in, p.kept_at, p.flag, p.dispute,
           p.disputed_amount, p.refunded_amount + CASE WHEN p.dispute = 'lost' THEN p.disputed_amount ELSE 0 END AS returned
    FROM bookings b LEFT JOIN payments p USING (booking_id)
    WHERE b.event_id = :event_id
), differing AS (
    SELECT booking_id, CASE
        WHEN amount > 0 AND payment IS NULL THEN 'payment-missing'
        WHEN amount <> coalesce(charged, 0) OR currency <> coalesce(charged_in, currency) THEN 'amount-differs'
        WHEN status = 'confirmed' AND amount > 0 AND payment NOT IN ('paid', 'partly_refunded') THEN 'confirmed-without-payment'
        WHEN status = 'pending' AND payment <> 'requires_payment' THEN 'pending-but-settled'
        WHEN status IN ('cancelled', 'expired') AND payment IN ('paid', 'partly_refunded') AND kept_at IS NULL
            THEN 'paid-without-place'
        WHEN returned > charged THEN 'over-refunded'
        WHEN payment = 'refunded' AND returned < charged THEN 'refund-differs'
        WHEN payment = 'partly_refunded' AND returned NOT BETWEEN 1 AND charged - 1 THEN 'refund-differs'
        WHEN payment = 'paid' AND returned <> 0 THEN 'refund-differs'
        WHEN payment = 'refund_pending' AND returned >= charged THEN 'refund-differs'
        ELSE flag
    END AS what
    FROM booked
)
SELECT json_build_object(
    'eventId', e.event_id,
    'checkedAt', CAST(:checked_at AS text),
    'places', json_build_object(
        'capacity', l.capacity,
        'taken', l.taken,
        'counted', (SELECT coalesce(sum(quantity), 0) FROM booked WHERE status IN ('pending', 'confirmed'))
    ),
    'bookings', (
        SELECT json_object_agg(s.status, coalesce(c.n, 0))
        FROM unnest(ARRAY['pending', 'confirmed', 'cancelled', 'expired']) AS s (status)
        LEFT JOIN (SELECT status, count(*) AS n FROM booked GROUP BY status) c USING (status)
    ),
    'money', (
        SELECT coalesce(json_agg(m ORDER BY m.currency), '[]')
        FROM (
            SELECT currency,
                coalesce(sum(charged) FILTER (WHERE payment NOT IN ('requires_payment', 'failed')), 0) AS received,
                coalesce(sum(returned), 0) AS refunded,
                coalesce(sum(charged - returned) FILTER (WHERE payment = 'refund_pending'), 0) AS "refundPending",
                coalesce(sum(charged - returned) FILTER (WHERE payment IN ('paid', 'partly_refunded')), 0) AS kept,
                coalesce(sum(charged - returned) FILTER (
                    WHERE payment IN ('paid', 'partly_refunded') AND kept_at IS NOT NULL
                ), 0) AS "keptOfCancelled",
                coalesce(sum(amount) FILTER (WHERE status = 'confirmed'), 0) AS confirmed,
                coalesce(sum(disputed_amount) FILTER (WHERE dispute = 'open'), 0) AS disputed
            FROM booked WHERE charged IS NOT NULL GROUP BY currency
        ) m
    ),
    'differences', (
        SELECT coalesce(json_agg(d ORDER BY d."bookingId" NULLS FIRST), '[]')
        FROM (
            SELECT NULL::uuid AS "bookingId", 'places' AS what
            WHERE l.taken <> (SELECT coalesce(sum(quantity), 0) FROM booked WHERE status IN ('pending', 'confirmed'))
            UNION ALL
            (SELECT booking_id, what FROM differing WHERE what IS NOT NULL ORDER BY booking_id LIMIT :max_differences)
        ) d
    )
)::text AS report, e.host_id, e.status
FROM events e JOIN places l USING (event_id)
WHERE e.event_id = :event_id AND e.deleted_at IS NULL
