-- Check a ticket in at the door of its event, or out, in one round trip. A refused scan writes nothing.
--
-- Call it alone, outside a transaction block, so that it can roll back and try again. It commits at its end.
-- Reads come first and need no lock. The ticket's row is locked before its check-ins are written, as everywhere.
-- Every check-in changes the ticket's row, so that lists of changes show it.
--
-- `outcome` is admitted, left, replayed (the scan of an earlier request with this nonce), or the name of a refusal.
-- `about` is JSON text: `{"ticket": …, "checkIn": …}`, or of a refusal what it is about: the ticket, the check-in that
-- admitted it first, when doors open.
--
-- A guard is the lines between `-- guard: <name>` and `-- end guard`. Each protects against one race. Tests remove a
-- guard and show the resulting error, so the text must be valid SQL without any of the guards.
--
-- Deployed code calls this procedure by its name. To change its signature or meaning, give the new one a new name.
CREATE PROCEDURE check_in(
    p_check_in_id uuid,
    p_event_id uuid,
    p_user_id uuid,          -- the host, or null if a door key is given
    p_token_version integer,
    p_key_hash bytea,        -- hash of the door key, or null
    p_ticket_id uuid,        -- null if the code was forged: the caller is still checked
    p_serial integer,        -- serial in the code, or null if the ticket was found by name
    p_nonce uuid,
    p_leaves boolean,        -- whether the direction is out
    p_gate bytea,            -- UTF-8, or null
    p_scanned_at timestamptz,
    p_now timestamptz,
    INOUT outcome text,
    INOUT about text
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_door record;
    v_ticket record;
    v_known record;       -- the check-in that has this nonce
    v_stay record;        -- the admission that stands: the one without an end, else the earliest
    v_new record;
    v_gate text;
BEGIN
    -- Retry if, between the reads and the writes, the ticket was cancelled, replaced or scanned, or the nonce was used.
    -- The next reads find out which.
    FOR v_attempt IN 1..5 LOOP
        about := NULL;

        SELECT d.door_key_id, d.event_id AS key_event_id, e.event_id, e.host_id, e.status, e.re_entry_allowed,
               coalesce(e.doors_open_at, e.starts_at - interval '12 hours') AS doors_open_at
        INTO v_door
        FROM (
            SELECT NULL::uuid AS door_key_id, NULL::uuid AS event_id
            FROM credentials
            WHERE user_id = p_user_id AND token_version = p_token_version
            UNION ALL
            SELECT door_key_id, event_id
            FROM door_keys
            WHERE key_hash = p_key_hash AND revoked_at IS NULL AND p_now < expires_at
        ) d
        LEFT JOIN events e ON e.event_id = p_event_id AND e.deleted_at IS NULL;
        IF NOT FOUND THEN
            outcome := 'invalid-token';
            RETURN;
        END IF;
        outcome := CASE
            WHEN v_door.key_event_id <> p_event_id THEN 'wrong-door'
            WHEN v_door.event_id IS NULL THEN 'no-such-event'
            WHEN v_door.door_key_id IS NOT NULL OR v_door.host_id = p_user_id THEN NULL
            WHEN v_door.status = 'draft' THEN 'no-such-event'
            ELSE 'not-your-event'
        END;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;

        SELECT t.ticket_id, t.ticket_type_id, y.name, t.status, t.serial, b.booking_id, b.event_id,
               -- The attendee holds the ticket unless it names a holder.
               CASE WHEN t.holder_name IS NULL AND t.holder_email IS NULL THEN u.name ELSE t.holder_name END
                   AS holder_name
        INTO v_ticket
        FROM tickets t
        JOIN bookings b ON b.booking_id = t.booking_id
        JOIN ticket_types y ON y.ticket_type_id = t.ticket_type_id
        LEFT JOIN users u ON u.user_id = b.user_id
        WHERE t.ticket_id = p_ticket_id;
        outcome := CASE
            WHEN v_ticket.ticket_id IS NULL THEN 'no-such-ticket'
            WHEN v_ticket.event_id <> p_event_id AND p_serial IS NULL THEN 'no-such-ticket'
            WHEN v_ticket.event_id <> p_event_id THEN 'wrong-event'
        END;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;

        SELECT c.check_in_id, c.ticket_id, c.direction, c.outcome, c.scanned_at, c.gate, c.by_hand, c.conflicts_with
        INTO v_known
        FROM check_ins c
        WHERE c.event_id = p_event_id AND c.nonce = p_nonce;
        v_new := v_known;
        SELECT c.check_in_id, c.scanned_at, c.gate, c.left_at IS NULL AS is_inside
        INTO v_stay
        FROM check_ins c
        WHERE c.ticket_id = p_ticket_id AND c.outcome = 'admitted' AND c.undone_at IS NULL
        ORDER BY c.check_in_id = v_known.conflicts_with DESC NULLS LAST, c.left_at IS NULL DESC, c.scanned_at
        LIMIT 1;

        outcome := CASE
            WHEN v_known.ticket_id <> p_ticket_id OR (v_known.direction = 'out') <> p_leaves THEN 'nonce-reused'
            WHEN v_known.outcome IN ('admitted', 'left') THEN 'replayed'
            WHEN v_known.outcome IS NOT NULL THEN v_known.outcome  -- of a scanner that was offline
            WHEN v_ticket.status = 'cancelled' THEN 'ticket-cancelled'
            WHEN v_ticket.serial <> p_serial THEN 'code-replaced'
            WHEN v_ticket.status = 'held' THEN 'not-yet-valid'
            WHEN p_leaves AND NOT v_door.re_entry_allowed THEN 'no-re-entry'
            WHEN p_leaves AND v_stay.is_inside IS NOT TRUE THEN 'not-checked-in'
            WHEN p_leaves THEN NULL
            WHEN v_stay.is_inside OR NOT v_door.re_entry_allowed AND v_stay.check_in_id IS NOT NULL
                THEN 'already-checked-in'
            WHEN p_scanned_at < v_door.doors_open_at THEN 'not-yet-valid'
        END;

        IF outcome IS NULL THEN
            -- Waits for the row's lock. PostgreSQL tests the conditions on the row as it is after the wait.
            UPDATE tickets
            SET status = 'used', version = version + 1, updated_at = p_now
            WHERE ticket_id = p_ticket_id
                -- guard: ticket-unchanged
                AND status = v_ticket.status AND serial = v_ticket.serial
                -- end guard
            ;
            IF NOT FOUND THEN
                ROLLBACK;
                CONTINUE;
            END IF;
            v_ticket.status := 'used';
            v_gate := convert_from(p_gate, 'UTF8');
            INSERT INTO check_ins AS n (
                check_in_id, event_id, ticket_id, nonce, direction, outcome, scanned_at, recorded_at, gate,
                door_key_id, by_hand
            )
            SELECT p_check_in_id, p_event_id, p_ticket_id, p_nonce, CASE WHEN p_leaves THEN 'out' ELSE 'in' END,
                   CASE WHEN p_leaves THEN 'left' ELSE 'admitted' END,
                   -- The scans of a ticket keep their order, also if the clocks of two servers differ.
                   greatest(p_scanned_at, max(c.scanned_at) + interval '1 millisecond'), p_now, v_gate, v_door.door_key_id, p_serial IS NULL
            FROM check_ins c
            WHERE c.ticket_id = p_ticket_id
            -- guard: not-inside
            ON CONFLICT DO NOTHING
            -- end guard
            RETURNING n.check_in_id, n.direction, n.outcome, n.scanned_at, n.gate, n.by_hand INTO v_new;
            IF NOT FOUND THEN
                ROLLBACK;
                CONTINUE;
            END IF;
            IF p_leaves THEN
                UPDATE check_ins
                SET left_at = v_new.scanned_at
                WHERE check_in_id = v_stay.check_in_id
                    -- guard: still-inside
                    AND left_at IS NULL AND undone_at IS NULL
                    -- end guard
                ;
                IF NOT FOUND THEN
                    ROLLBACK;
                    CONTINUE;
                END IF;
            END IF;
            outcome := v_new.outcome;
        END IF;

        about := json_strip_nulls(json_build_object(
            'ticket', json_build_object(
                'ticketId', p_ticket_id,
                'ticketTypeId', v_ticket.ticket_type_id,
                'name', v_ticket.name,
                'status', v_ticket.status,
                'holderName', v_ticket.holder_name,
                'reference', booking_reference(v_ticket.booking_id)
            ),
            'checkIn', CASE WHEN outcome IN ('admitted', 'left', 'replayed') THEN json_build_object(
                'checkInId', v_new.check_in_id,
                'ticketId', p_ticket_id,
                'direction', v_new.direction,
                'outcome', v_new.outcome,
                'scannedAt', to_char(v_new.scanned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'gate', v_new.gate,
                'byHand', v_new.by_hand
            ) END,
            'first', CASE WHEN outcome = 'already-checked-in' THEN json_build_object(
                'checkInId', v_stay.check_in_id,
                'scannedAt', to_char(v_stay.scanned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'gate', v_stay.gate
            ) END,
            'doorsOpenAt', CASE WHEN outcome = 'not-yet-valid' AND v_ticket.status <> 'held' THEN
                to_json(v_door.doors_open_at AT TIME ZONE 'UTC') #>> '{}' || 'Z'
            END
        ));
        RETURN;
    END LOOP;
    outcome := 'unavailable';
END
$$;
