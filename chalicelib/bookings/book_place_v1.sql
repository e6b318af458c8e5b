-- Takes one place of an event for an attendee: all of it or nothing, in one round trip.
--
-- Called alone, outside a transaction block, since it commits by itself (inside one it fails loudly).
-- A booking commits with synchronous_commit off, so that the row of the event's places, which all its
-- bookings write, is unlocked before the disk is waited for. Then, before the answer goes out, a second
-- commit with synchronous_commit on flushes the log up to itself, and with it the booking, often many
-- bookings in one flush. What this procedure has answered with `booked` or `replayed` survives a crash.
--
-- The order is that of cost under the lock: looks first, without a lock; inserts next, each on rows of its
-- own; the counter last, so that its lock is held from there to the commit only.
--
-- `outcome` is booked, replayed, or the name of a refusal; `answer` the JSON text of the booking.
-- Deployed code calls this procedure by its name: a change of signature or meaning is a new version.
CREATE PROCEDURE book_place_v1(
    p_booking_id uuid,
    p_event_id uuid,
    p_user_id uuid,
    p_token_version integer,
    p_key uuid,             -- of the Idempotency-Key, or null
    p_fingerprint uuid,     -- of the request that the key came with, or null
    p_fact_id uuid,
    p_now timestamptz,
    INOUT outcome text,
    INOUT answer text
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_event record;
    v_stored record;
BEGIN
    -- Again when, between the look and the counter, another request took the last place or the key,
    -- or the host changed the event: the next look says which.
    FOR v_attempt IN 1..5 LOOP
        PERFORM set_config('synchronous_commit', 'off', true);

        PERFORM FROM credentials
        WHERE user_id = p_user_id AND token_version = p_token_version;
        IF NOT FOUND THEN
            outcome := 'invalid-token';
            RETURN;
        END IF;

        SELECT e.host_id, e.status, e.ends_at, e.currency, t.ticket_type_id, t.price,
               coalesce(e.sale_starts_at, p_now) AS sale_starts_at,
               coalesce(e.sale_ends_at, e.ends_at) AS sale_ends_at,
               p.taken, p.capacity, p.revision
        INTO v_event
        FROM events e
        JOIN places p USING (event_id)
        JOIN ticket_types t USING (event_id)
        WHERE e.event_id = p_event_id AND e.deleted_at IS NULL AND e.status <> 'draft';
        outcome := CASE
            WHEN NOT FOUND THEN 'no-such-event'
            WHEN v_event.status = 'cancelled' THEN 'event-cancelled'
            WHEN p_now >= v_event.ends_at THEN 'event-ended'
            WHEN p_now < v_event.sale_starts_at THEN 'sale-not-started'
            WHEN p_now >= v_event.sale_ends_at THEN 'sale-ended'
            WHEN v_event.taken >= v_event.capacity THEN
                CASE WHEN EXISTS (
                    SELECT FROM bookings
                    WHERE event_id = p_event_id AND user_id = p_user_id
                        AND status IN ('pending', 'confirmed')
                ) THEN 'already-booked' ELSE 'sold-out' END
        END;

        -- After the event, so that whoever has just seen the last place go to the first request with this
        -- key sees its answer too.
        IF p_key IS NOT NULL THEN
            SELECT k.fingerprint, k.answer INTO v_stored
            FROM idempotency_keys k
            WHERE k.key = p_key AND k.created_at > p_now - interval '24 hours';
            IF FOUND THEN
                IF v_stored.fingerprint <> p_fingerprint THEN
                    outcome := 'idempotency-key-reused';
                    RETURN;
                END IF;
                outcome := 'replayed';
                answer := v_stored.answer;
                EXIT;  -- to the flush: what is replayed may not be on disk yet
            END IF;
        END IF;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;

        -- From here on the account stays: its deletion waits for this transaction, and then finds the
        -- booking; or this waited for the deletion, and finds no account.
        PERFORM FROM credentials
        WHERE user_id = p_user_id AND token_version = p_token_version
        FOR KEY SHARE;
        IF NOT FOUND THEN
            outcome := 'invalid-token';
            RETURN;
        END IF;

        answer := json_strip_nulls(json_build_object(
            'bookingId', p_booking_id,
            'userId', p_user_id,
            'eventId', p_event_id,
            'status', 'confirmed',
            'quantity', 1,
            'amount', v_event.price,
            'currency', v_event.currency,
            'createdAt', to_char(p_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'updatedAt', to_char(p_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        ))::text;

        IF p_key IS NOT NULL THEN
            INSERT INTO idempotency_keys AS k (key, fingerprint, created_at, status, headers, answer)
            VALUES (p_key, p_fingerprint, p_now, 201, '{}', answer)
            ON CONFLICT (key) DO UPDATE
            SET fingerprint = excluded.fingerprint,
                created_at = excluded.created_at,
                status = excluded.status,
                headers = excluded.headers,
                answer = excluded.answer
            WHERE k.created_at <= p_now - interval '24 hours';
            IF NOT FOUND THEN
                ROLLBACK;
                CONTINUE;
            END IF;
        END IF;

        INSERT INTO bookings (
            booking_id, user_id, event_id, host_id, ticket_type_id,
            status, amount, currency, created_at, updated_at
        )
        VALUES (
            p_booking_id, p_user_id, p_event_id, v_event.host_id, v_event.ticket_type_id,
            'confirmed', v_event.price, v_event.currency, p_now, p_now
        )
        ON CONFLICT (event_id, user_id) WHERE status IN ('pending', 'confirmed') DO NOTHING;
        IF NOT FOUND THEN
            ROLLBACK;
            outcome := 'already-booked';
            RETURN;
        END IF;

        INSERT INTO outbox (domain_event_id, type, subject, occurred_at, body)
        VALUES (p_fact_id, 'booking-confirmed', p_event_id, p_now, answer::json);

        -- The lock is waited for here. The conditions are tested on the row as it is after the wait.
        UPDATE places
        SET taken = taken + 1
        WHERE event_id = p_event_id AND taken < capacity AND revision = v_event.revision;
        IF FOUND THEN
            COMMIT;
            outcome := 'booked';
            EXIT;
        END IF;
        ROLLBACK;
    END LOOP;

    IF outcome IS NULL THEN
        outcome := 'unavailable';
        RETURN;
    END IF;
    -- Not left to the role's default: this is what makes the answer true.
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_logical_emit_message(true, '', '');
END
$$;
