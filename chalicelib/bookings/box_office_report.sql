-- The tickets of an event and what they cost, by currency and by how they were paid.
WITH sums AS (
    SELECT b.currency, coalesce(b.paid_by, 'online') AS paid_by, t.status = 'cancelled' AS cancelled,
           count(*) AS tickets, sum(t.price) AS amount
    FROM bookings b JOIN tickets t USING (booking_id)
    WHERE b.event_id = :event_id AND t.status <> 'held'
    GROUP BY 1, 2, 3
), totals AS (
    SELECT c.currency, json_object_agg(p.paid_by, sold.found) FILTER (WHERE NOT p.cancelled) AS live,
           json_object_agg(p.paid_by, sold.found) FILTER (WHERE p.cancelled AND p.paid_by <> 'online') AS cancelled
    FROM (SELECT currency FROM sums UNION SELECT currency FROM events WHERE event_id = :event_id) c
    CROSS JOIN (
        VALUES ('online', false), ('cash', false), ('card', false), ('free', false),
               ('cash', true), ('card', true), ('free', true)
    ) AS p (paid_by, cancelled)
    LEFT JOIN sums s USING (currency, paid_by, cancelled)
    CROSS JOIN LATERAL (
        SELECT CASE p.paid_by
            WHEN 'free' THEN json_build_object('tickets', coalesce(s.tickets, 0))
            ELSE json_build_object('tickets', coalesce(s.tickets, 0), 'amount', coalesce(s.amount, 0))
        END AS found
    ) sold
    GROUP BY c.currency
), shown AS (
    SELECT currency, (
        jsonb_build_object('currency', currency) || live::jsonb || jsonb_build_object('cancelled', cancelled)
    ) AS total
    FROM totals
)
SELECT jsonb_strip_nulls(
    jsonb_build_object('eventId', e.event_id) || s.total
    || jsonb_build_object(
        'otherCurrencies', (SELECT jsonb_agg(o.total ORDER BY o.currency) FROM shown o WHERE o.currency <> e.currency)
    )
)::text AS report, e.host_id, e.status
FROM events e JOIN shown s USING (currency)
WHERE e.event_id = :event_id AND e.deleted_at IS NULL
