-- Recount an event's places and money from their rows, and report differences.
--
-- A single statement, so that all figures come from one snapshot. `booked` is each booking with its payment, and with
-- what its tickets and its refunds add up to.
WITH of_event AS MATERIALIZED (
    SELECT booking_id, status, quantity, amount, currency, code_id, paid_by
    FROM bookings
    WHERE event_id = :event_id
), tickets_of_event AS MATERIALIZED (
    SELECT t.booking_id, t.ticket_type_id, t.status, t.price, t.refund_id, t.kept_at
    FROM of_event b JOIN tickets t USING (booking_id)
), ticket_sums AS (
    SELECT booking_id,
           sum(price) AS price,
           count(*) FILTER (WHERE status <> 'cancelled') AS live,
           bool_or(status = 'held') AS held,
           bool_or(status IN ('valid', 'used')) AS valid,
           bool_or(status <> 'cancelled' AND price > 0) AS live_and_priced,
           bool_or(status = 'cancelled' AND price > 0 AND refund_id IS NULL AND kept_at IS NULL) AS undecided,
           coalesce(sum(price) FILTER (WHERE kept_at IS NOT NULL), 0) AS kept
    FROM tickets_of_event GROUP BY booking_id
), refund_sums AS (
    SELECT r.booking_id,
           coalesce(sum(r.amount) FILTER (WHERE r.status = 'pending'), 0) AS pending,
           coalesce(sum(r.amount) FILTER (WHERE r.status = 'refunded'), 0) AS refunded,
           max(r.flag) AS flag
    FROM of_event b JOIN refunds r USING (booking_id) GROUP BY r.booking_id
), booked AS MATERIALIZED (
    SELECT b.booking_id, b.status, b.quantity, b.amount, b.currency, b.paid_by,
           t.price, coalesce(t.live, 0) AS live, coalesce(t.held, false) AS held, coalesce(t.valid, false) AS valid,
           t.live_and_priced, t.undecided, t.kept AS kept_price,
           p.status AS payment, p.amount AS charged, p.currency AS charged_in, p.dispute, p.disputed_amount,
           coalesce(p.flag, r.flag) AS flag, p.refunded_amount, coalesce(r.refunded, 0) AS refunded_here,
           coalesce(r.pending, 0) AS pending,
           p.refunded_amount + CASE WHEN p.dispute = 'lost' THEN p.disputed_amount ELSE 0 END AS returned
    FROM of_event b
    LEFT JOIN payments p USING (booking_id)
    LEFT JOIN ticket_sums t USING (booking_id)
    LEFT JOIN refund_sums r USING (booking_id)
), sums AS (
    SELECT booking_id, status, currency, amount, charged, payment, returned, dispute, disputed_amount, kept_price,
           payment NOT IN ('requires_payment', 'failed') AS arrived,
           greatest(0, least(pending, charged - returned)) AS due,
           greatest(0, charged - returned - pending) AS rest
    FROM booked WHERE charged IS NOT NULL
), pooled AS (
    SELECT ticket_type_id AS pool_id, count(*) AS counted
    FROM tickets_of_event WHERE status <> 'cancelled' GROUP BY ticket_type_id
    UNION ALL
    SELECT code_id, count(*)
    FROM of_event WHERE code_id IS NOT NULL AND status IN ('pending', 'confirmed') GROUP BY code_id
), counted AS (
    SELECT p.pool_id, p.kind, p.capacity, coalesce(p.taken, l.taken) AS taken, coalesce(c.counted, 0) AS counted,
           p.taken IS NOT NULL AS is_counted
    FROM pools p JOIN places l USING (event_id) LEFT JOIN pooled c USING (pool_id)
    WHERE p.event_id = :event_id
), differing AS (
    SELECT booking_id, CASE
        WHEN amount > 0 AND paid_by IS NULL AND payment IS NULL THEN 'payment-missing'
        WHEN paid_by IS NOT NULL AND payment IS NOT NULL OR paid_by = 'free' AND amount > 0 THEN 'amount-differs'
        WHEN paid_by IS NULL AND amount <> coalesce(charged, 0) OR currency <> coalesce(charged_in, currency) THEN 'amount-differs'
        WHEN price IS DISTINCT FROM amount THEN 'amount-differs'
        WHEN quantity <> live OR held > (status = 'pending') OR valid > (status = 'confirmed') THEN 'tickets-differ'
        WHEN status = 'confirmed' AND payment IN ('requires_payment', 'failed') THEN 'confirmed-without-payment'
        WHEN live_and_priced AND status = 'confirmed' AND returned >= charged THEN 'confirmed-without-payment'
        WHEN status = 'pending' AND payment <> 'requires_payment' THEN 'pending-but-settled'
        WHEN returned > charged THEN 'over-refunded'
        WHEN refunded_here > refunded_amount THEN 'refund-differs'
        WHEN payment NOT IN ('requires_payment', 'failed') AND payment <> CASE
            WHEN pending > 0 THEN 'refund_pending'
            WHEN returned >= charged THEN 'refunded'
            WHEN returned > 0 THEN 'partly_refunded'
            ELSE 'paid'
        END THEN 'refund-differs'
        WHEN flag IS NULL AND undecided AND payment NOT IN ('requires_payment', 'failed') AND charged > returned + pending
            THEN 'paid-without-place'
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
        'counted', (SELECT coalesce(sum(live), 0) FROM booked)
    ),
    'ticketTypes', (
        SELECT json_agg(
            json_strip_nulls(json_build_object(
                'ticketTypeId', t.ticket_type_id, 'name', t.name,
                'capacity', c.capacity, 'taken', c.taken, 'counted', c.counted
            ))
            ORDER BY t.ticket_type_id
        )
        FROM ticket_types t JOIN counted c ON c.pool_id = t.ticket_type_id
        WHERE t.event_id = :event_id
    ),
    'codes', (
        SELECT coalesce(
            json_agg(
                json_strip_nulls(json_build_object(
                    'codeId', k.code_id, 'code', k.code, 'maxUses', c.capacity, 'taken', c.taken, 'counted', c.counted
                ))
                ORDER BY k.code_id
            ),
            '[]'
        )
        FROM codes k JOIN counted c ON c.pool_id = k.code_id
        WHERE k.event_id = :event_id
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
                coalesce(sum(charged) FILTER (WHERE arrived), 0) AS received,
                coalesce(sum(returned) FILTER (WHERE arrived), 0) AS refunded,
                coalesce(sum(due) FILTER (WHERE arrived), 0) AS "refundPending",
                coalesce(sum(rest) FILTER (WHERE arrived), 0) AS kept,
                coalesce(sum(
                    CASE WHEN status = 'confirmed' THEN least(kept_price, rest) ELSE rest END
                ) FILTER (WHERE arrived AND kept_price > 0), 0) AS "keptOfCancelled",
                coalesce(sum(amount) FILTER (WHERE status = 'confirmed'), 0) AS confirmed,
                coalesce(sum(disputed_amount) FILTER (WHERE dispute = 'open'), 0) AS disputed
            FROM sums GROUP BY currency
        ) m
    ),
    'differences', (
        SELECT coalesce(json_agg(d.difference ORDER BY d.booking_id NULLS FIRST), '[]')
        FROM (
            SELECT NULL::uuid AS booking_id, json_build_object('bookingId', NULL, 'what', 'places') AS difference
            WHERE l.taken <> (SELECT coalesce(sum(live), 0) FROM booked)
            UNION ALL
            SELECT NULL, json_build_object(
                'bookingId', NULL,
                CASE kind WHEN 'code' THEN 'codeId' ELSE 'ticketTypeId' END, pool_id,
                'what', CASE kind WHEN 'code' THEN 'uses' ELSE 'places' END
            )
            FROM counted WHERE taken <> counted AND is_counted
            UNION ALL
            (
                SELECT booking_id, json_build_object('bookingId', booking_id, 'what', what)
                FROM differing WHERE what IS NOT NULL ORDER BY booking_id LIMIT :max_differences
            )
        ) d
    )
)::text AS report, e.host_id, e.status
FROM events e JOIN places l USING (event_id)
WHERE e.event_id = :event_id AND e.deleted_at IS NULL
