-- Count who has come to an event, from its check-ins that are not undone.
WITH scans AS (
    SELECT check_in_id, ticket_id, outcome, scanned_at, gate, left_at, conflicts_with
    FROM check_ins
    WHERE event_id = :event_id AND undone_at IS NULL
),
admissions AS (
    SELECT * FROM scans WHERE outcome = 'admitted'
),
attendees AS (
    SELECT ticket_id, min(scanned_at) AS first_at, bool_or(left_at IS NULL) AS is_inside
    FROM admissions
    GROUP BY ticket_id
),
of_types AS (
    SELECT t.ticket_type_id,
           count(*) FILTER (WHERE t.status IN ('valid', 'used')) AS sold,
           count(a.ticket_id) AS admitted,
           count(*) FILTER (WHERE a.is_inside) AS inside
    FROM bookings b
    JOIN tickets t ON t.booking_id = b.booking_id
    LEFT JOIN attendees a ON a.ticket_id = t.ticket_id
    WHERE b.event_id = :event_id
    GROUP BY t.ticket_type_id
),
of_gates AS (
    SELECT gate, count(*) AS admissions
    FROM admissions
    GROUP BY gate
    ORDER BY admissions DESC, gate
    LIMIT :max_gates
),
of_quarters AS (
    SELECT date_bin('15 minutes', first_at, '2000-01-01Z') AS began_at, count(*) AS admissions
    FROM attendees
    GROUP BY began_at
    ORDER BY began_at DESC
    LIMIT :max_quarters
),
conflicts AS (
    SELECT s.check_in_id, s.ticket_id, s.scanned_at, s.gate, b.booking_id,
           f.check_in_id AS first_id, f.scanned_at AS first_at, f.gate AS first_gate
    FROM scans s
    JOIN check_ins f ON f.check_in_id = s.conflicts_with
    JOIN tickets t ON t.ticket_id = s.ticket_id
    JOIN bookings b ON b.booking_id = t.booking_id
    ORDER BY s.scanned_at DESC, s.check_in_id DESC
    LIMIT :max_conflicts
)
SELECT json_strip_nulls(json_build_object(
    'eventId', CAST(:event_id AS uuid),
    'inside', (SELECT count(*) FROM attendees WHERE is_inside),
    'admitted', (SELECT count(*) FROM attendees),
    'conflicts', (SELECT count(*) FROM scans WHERE conflicts_with IS NOT NULL),
    'ticketTypes', (
        SELECT coalesce(json_agg(json_build_object(
            'ticketTypeId', y.ticket_type_id,
            'name', y.name,
            'sold', coalesce(o.sold, 0),
            'admitted', coalesce(o.admitted, 0),
            'inside', coalesce(o.inside, 0)
        ) ORDER BY y.ticket_type_id), '[]')
        FROM ticket_types y LEFT JOIN of_types o ON o.ticket_type_id = y.ticket_type_id
        WHERE y.event_id = :event_id AND y.deleted_at IS NULL
    ),
    'gates', (
        SELECT coalesce(json_agg(json_build_object('gate', gate, 'admissions', admissions)
            ORDER BY admissions DESC, gate), '[]')
        FROM of_gates
    ),
    'quarters', (
        SELECT coalesce(json_agg(json_build_object(
            'from', to_char(began_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS"Z"'),
            'admissions', admissions
        ) ORDER BY began_at), '[]')
        FROM of_quarters
    ),
    'conflictList', (
        SELECT coalesce(json_agg(json_build_object(
            'ticketId', ticket_id,
            'reference', booking_reference(booking_id),
            'scan', json_build_object(
                'checkInId', check_in_id,
                'scannedAt', to_char(scanned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS.MS"Z"'),
                'gate', gate
            ),
            'first', json_build_object(
                'checkInId', first_id,
                'scannedAt', to_char(first_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS.MS"Z"'),
                'gate', first_gate
            )
        ) ORDER BY scanned_at DESC, check_in_id DESC), '[]')
        FROM conflicts
    )
))::text
