-- Book one place of an event for one attendee: all or nothing, in one round trip. A priced place is held: the
-- booking stays pending until it is paid or the hold expires, and its payment is created with it.
--
-- Call it alone, outside a transaction block: it commits by itself, and fails inside a block.
-- All bookings of an event write the event's row in `places`. So a booking commits with synchronous_commit off, which
-- unlocks that row without waiting for the disk. A second commit, with synchronous_commit on, then flushes the log up
-- to itself, and the booking with it, before the response is sent. One flush often covers many bookings. A booking
-- that was returned with `booked`, `held` or `replayed` survives a crash.
--
-- The row in `places` is locked as briefly as possible: reads come first and need no lock, inserts into other tables
-- come next, and the counter comes last, right before the commit.
--
-- `outcome` is booked, held, replayed, or the name of a refusal. `booking` is its JSON text; of too-many-holds and
-- hold-cooldown, it is the number of seconds after which a retry can succeed.
--
-- A guard is the lines between `-- guard: <name>` and `-- end guard`. Each protects against one race or a crash.
-- Tests remove a guard and show the resulting error, so the text must be valid SQL without any of the guards.
--
-- Deployed code calls this procedure by its name. To change its signature or meaning, give the new one a new name.
CREATE PROCEDURE book(
    p_booking_id uuid,
    p_event_id uuid,
    p_user_id uuid,
    p_token_version integer,
    p_key uuid,             -- hash of the Idempotency-Key, or null
    p_fingerprint uuid,     -- hash of the request that has the key, or null
    p_now timestamptz,
    p_hold integer,         -- seconds until an unpaid hold expires
    p_max_holds integer,    -- open holds of one account, or null for no limit
    p_cooldown integer,     -- seconds after the unpaid end of a hold until the account can hold the event again
    p_verified boolean,     -- whether all events require a verified e-mail address
    p_first_check integer,  -- seconds until the payment is first checked at Stripe
    p_request_id text,      -- id of the current request, or null
    INOUT outcome text,
    INOUT booking text
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_event record;
    v_stored record;
    v_held_until timestamptz;
    v_holds record;
    v_retry_at timestamptz;
    v_at text;
    v_ignored text;
BEGIN
    -- Retry if, between the read and the counter, another request booked the last place or used the key, the host
    -- changed the event, or the account was deleted. The next read finds out which.
    FOR v_attempt IN 1..5 LOOP
        v_ignored := set_config('synchronous_commit', 'off', true);
        v_held_until := NULL;  -- the event may have had a price at the last attempt

        SELECT e.event_id, e.host_id, e.status, e.ends_at, e.currency, e.verified_attendees_only,
               t.ticket_type_id, t.price,
               coalesce(e.sale_starts_at, p_now) AS sale_starts_at,
               coalesce(e.sale_ends_at, e.ends_at) AS sale_ends_at,
               coalesce(e.refund_until, e.starts_at) AS refund_until,
               p.taken, p.capacity, p.revision
        INTO v_event
        FROM credentials c
        LEFT JOIN (events e JOIN places p USING (event_id) JOIN ticket_types t USING (event_id))
            ON e.event_id = p_event_id AND e.deleted_at IS NULL AND e.status <> 'draft'
        WHERE c.user_id = p_user_id AND c.token_version = p_token_version;
        IF NOT FOUND THEN
            outcome := 'invalid-token';
            RETURN;
        END IF;
        outcome := CASE
            WHEN v_event.event_id IS NULL THEN 'no-such-event'
            WHEN v_event.host_id = p_user_id THEN 'own-event'
            WHEN v_event.status = 'cancelled' THEN 'event-cancelled'
            WHEN p_now >= v_event.ends_at THEN 'event-ended'
            WHEN p_now < v_event.sale_starts_at THEN 'sale-not-started'
            WHEN p_now >= v_event.sale_ends_at THEN 'sale-ended'
            WHEN v_event.taken >= v_event.capacity THEN 'sold-out'
        END;
        IF outcome IS NULL AND (p_verified OR v_event.verified_attendees_only) THEN
            PERFORM FROM users WHERE user_id = p_user_id AND email_verified_at IS NOT NULL;
            IF NOT FOUND THEN
                outcome := 'email-not-verified';
            END IF;
        END IF;
        IF outcome IN ('sold-out', 'email-not-verified') THEN
            PERFORM FROM bookings
            WHERE event_id = p_event_id AND user_id = p_user_id AND status IN ('pending', 'confirmed');
            IF FOUND THEN
                outcome := 'already-booked';
            END IF;
        END IF;

        -- Read after the event: if the first request with this key has just booked the last place, its stored
        -- response is visible here too.
        IF p_key IS NOT NULL THEN
            SELECT k.fingerprint, k.response INTO v_stored
            FROM idempotency_keys k
            WHERE k.key = p_key AND k.created_at > p_now - interval '24 hours';
            IF FOUND THEN
                IF v_stored.fingerprint <> p_fingerprint THEN
                    outcome := 'idempotency-key-reused';
                    RETURN;
                END IF;
                outcome := 'replayed';
                booking := v_stored.response;
                EXIT;  -- to the flush: the first booking may not be on disk yet
            END IF;
        END IF;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;

        v_at := to_char(p_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
        booking := '{"bookingId":"' || p_booking_id || '","userId":"' || p_user_id
            || '","eventId":"' || p_event_id
            || CASE WHEN v_event.price > 0 THEN '","status":"pending' ELSE '","status":"confirmed' END
            || '","quantity":1,"amount":' || v_event.price || ',"refunded":0,"currency":"' || v_event.currency
            || '","createdAt":"' || v_at || '","updatedAt":"' || v_at;
        IF v_event.price > 0 THEN
            v_held_until := least(p_now + make_interval(secs => p_hold), v_event.ends_at);
            booking := booking || '","expiresAt":"'
                || to_char(v_held_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
        END IF;
        booking := booking || '"}';

        IF p_key IS NOT NULL THEN
            INSERT INTO idempotency_keys AS k (key, fingerprint, created_at, status, headers, response)
            VALUES (p_key, p_fingerprint, p_now, 201, '{}', booking)
            ON CONFLICT (key) DO UPDATE
            SET fingerprint = excluded.fingerprint,
                created_at = excluded.created_at,
                status = excluded.status,
                headers = excluded.headers,
                response = excluded.response
            WHERE k.created_at <= p_now - interval '24 hours';
            IF NOT FOUND THEN
                ROLLBACK;
                CONTINUE;
            END IF;
        END IF;

        IF v_event.price > 0 THEN
            -- guard: one-hold-at-a-time
            -- Until the commit, the account's other bookings of priced events wait here, and then count this hold.
            v_ignored := pg_advisory_xact_lock(uuid_hash_extended(p_user_id, 0));
            -- end guard
            -- One statement, so that a hold of this event that ends now is seen either as open or as ended.
            SELECT count(*) AS open, bool_or(h.event_id = p_event_id) AS of_this_event,
                   min(h.expires_at) AS first_end,
                   (
                       SELECT max(b.updated_at)
                       FROM bookings b JOIN payments p USING (booking_id)
                       WHERE b.user_id = p_user_id AND b.event_id = p_event_id AND b.amount > 0
                           AND b.status IN ('expired', 'cancelled')
                           AND b.cancellation_reason IN ('unpaid', 'attendee', 'payment-refused')
                           AND p.paid_at IS NULL
                   ) + make_interval(secs => p_cooldown) AS cooled_at
            INTO v_holds
            FROM bookings h
            WHERE h.user_id = p_user_id AND h.status = 'pending' AND h.amount > 0;
            outcome := CASE
                WHEN v_holds.of_this_event THEN 'already-booked'
                WHEN v_holds.cooled_at > p_now THEN 'hold-cooldown'
                WHEN v_holds.open >= p_max_holds THEN 'too-many-holds'
            END;
            IF outcome IS NOT NULL THEN
                ROLLBACK;
                PERFORM FROM bookings
                WHERE event_id = p_event_id AND user_id = p_user_id AND status IN ('pending', 'confirmed');
                IF FOUND THEN
                    outcome := 'already-booked';
                END IF;
                v_retry_at := CASE outcome WHEN 'hold-cooldown' THEN v_holds.cooled_at ELSE v_holds.first_end END;
                booking := greatest(1, ceil(extract(epoch FROM v_retry_at - p_now)))::integer;
                RETURN;
            END IF;
        END IF;

        -- The foreign key locks the account's row. Either a deletion of the account waits for this transaction and
        -- then cancels the booking, or this waits for the deletion and finds no credentials below.
        INSERT INTO bookings (
            booking_id, user_id, event_id, host_id, ticket_type_id,
            status, amount, currency, created_at, updated_at, expires_at, refund_until
        )
        VALUES (
            p_booking_id, p_user_id, p_event_id, v_event.host_id, v_event.ticket_type_id,
            CASE WHEN v_held_until IS NULL THEN 'confirmed' ELSE 'pending' END,
            v_event.price, v_event.currency, p_now, p_now,
            v_held_until, CASE WHEN v_held_until IS NOT NULL THEN v_event.refund_until END
        )
        -- guard: already-booked
        ON CONFLICT (event_id, user_id) WHERE status IN ('pending', 'confirmed') DO NOTHING
        -- end guard
        ;
        IF NOT FOUND THEN
            ROLLBACK;
            outcome := 'already-booked';
            RETURN;
        END IF;

        IF v_held_until IS NULL THEN
            INSERT INTO outbox (domain_event_id, type, subject, occurred_at, request_id, body)
            VALUES (
                p_booking_id, 'booking-confirmed', p_event_id, p_now, p_request_id,
                replace(booking, ',"refunded":0', '')::json
            );
        ELSE
            INSERT INTO payments (
                booking_id, amount, currency, status, open_until, next_check_at, created_at, updated_at
            )
            VALUES (
                p_booking_id, v_event.price, v_event.currency, 'requires_payment', v_held_until,
                least(p_now + make_interval(secs => p_first_check), v_held_until), p_now, p_now
            );
        END IF;

        -- Wait for the row's lock. PostgreSQL tests the conditions on the row as it is after the wait.
        UPDATE places
        SET taken = taken + 1, popularity = (10 * ln((taken + 2)::double precision))::integer
        WHERE event_id = p_event_id
            -- guard: places-left
            AND taken < capacity
            -- end guard
            -- guard: event-unchanged
            AND revision = v_event.revision
            -- end guard
            -- guard: account-exists
            AND EXISTS (
                SELECT FROM credentials WHERE user_id = p_user_id AND token_version = p_token_version
            )
            -- end guard
        ;
        IF FOUND THEN
            COMMIT;
            outcome := CASE WHEN v_held_until IS NULL THEN 'booked' ELSE 'held' END;
            EXIT;
        END IF;
        ROLLBACK;
    END LOOP;

    IF outcome IS NULL THEN
        outcome := 'unavailable';
        RETURN;
    END IF;
    -- guard: flush
    -- Set explicitly, so that the role's default does not matter. The message gives the commit something to flush.
    v_ignored := set_config('synchronous_commit', 'on', true);
    v_ignored := pg_logical_emit_message(true, '', '');
    -- end guard
END
$$;
