-- Book places of one event for one attendee: all or nothing, in one round trip. If they cost something, they are
-- held: the booking stays pending until it is paid or the hold expires, and its payment is created with it.
--
-- With `p_paid_by`, the event's host sells at the box office: the caller is the host, the booking has no account and
-- no payment, and the limits for attendees do not apply.
--
-- Call it alone, outside a transaction block: it commits by itself, and fails inside a block.
-- All bookings of an event write the event's row in `places`. So a booking commits with synchronous_commit off, which
-- unlocks that row without waiting for the disk. A second commit, with synchronous_commit on, then flushes the log up
-- to itself, and the booking with it, before the response is sent. One flush often covers many bookings. A booking
-- that was returned with `booked`, `held` or `replayed` survives a crash.
--
-- The counters are locked as briefly as possible: reads come first and need no lock, inserts into other tables come
-- next, and the counters come last, right before the commit. Lock order, as everywhere: the pool of the code, the
-- pools of the ticket types by id, then `places`.
--
-- `outcome` is booked, held, replayed, quoted, or the name of a refusal. `booking` is its JSON text. Of a refusal, it
-- is what the refusal is about: seconds after which a retry can succeed, places left, or the number of an item.
--
-- A guard is the lines between `-- guard: <name>` and `-- end guard`. Each protects against one race or a crash.
-- Tests remove a guard and show the resulting error, so the text must be valid SQL without any of the guards.
--
-- Deployed code calls this procedure by its name. To change its signature or meaning, give the new one a new name.
CREATE PROCEDURE book(
    p_booking_id uuid,
    p_reference text,
    p_event_id uuid,
    p_user_id uuid,
    p_token_version integer,
    p_types uuid[],         -- ticket types in the order of their ids; null for the only type of the event
    p_quantities integer[], -- tickets of each type
    p_code text,            -- code for a discount or for access, or null
    p_revisions integer[],  -- revisions of the event of which one must be current, or null
    p_quote boolean,        -- whether to return the price instead of booking
    p_key uuid,             -- hash of the Idempotency-Key, or null
    p_fingerprint uuid,     -- hash of the request that has the key, or null
    p_now timestamptz,
    p_hold integer,         -- seconds until an unpaid hold expires
    p_max_holds integer,    -- open holds of one account, or null for no limit
    p_cooldown integer,     -- seconds after the unpaid end of a hold until the account can hold the event again
    p_verified boolean,     -- whether all events require a verified e-mail address
    p_first_check integer,  -- seconds until the payment is first checked at Stripe
    p_request_id text,      -- id of the current request, or null
    p_paid_by text,         -- how the host was paid at the box office, or null if an attendee books
    p_holder_name text,     -- the customer at the box office, or null
    p_holder_email text,    -- their e-mail address, or null
    INOUT outcome text,
    INOUT booking text
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_event record;
    v_line record;
    v_code_id uuid;
    v_code_kind text;
    v_code_value bigint;
    v_code_types uuid[];
    v_code_uses integer;    -- bookings with the code that one attendee can have
    v_code_applies boolean;
    v_price bigint;
    v_types uuid[];
    v_quantities integer[];
    v_prices bigint[];
    v_list_prices bigint[];
    v_counted uuid[];       -- the types that have a counter of their own
    v_sold_out text;
    v_items text;
    v_tickets text;
    v_quantity integer;
    v_amount bigint;
    v_discount bigint;
    v_stored record;
    v_held_until timestamptz;
    v_booked integer;
    v_used integer;
    v_fits boolean;
    v_holds record;
    v_retry_at timestamptz;
    v_at text;
    v_ignored text;
BEGIN
    -- Retry if, between the reads and the counters, another request booked the last place or used the key, the host
    -- changed the event, or the account was deleted. The next reads find out which.
    FOR v_attempt IN 1..5 LOOP
        v_ignored := set_config('synchronous_commit', 'off', true);
        -- PostgreSQL would otherwise plan some statements anew in each call, because it overestimates the rows of
        -- an unknown array. That doubles the cost of a booking.
        v_ignored := set_config('plan_cache_mode', 'force_generic_plan', true);
        v_held_until := NULL;  -- the event may have had a price at the last attempt

        SELECT e.event_id, e.host_id, e.status, e.ends_at, e.currency, e.verified_attendees_only, e.max_per_attendee,
               e.sale_starts_at, coalesce(e.sale_ends_at, e.ends_at) AS sale_ends_at,
               coalesce(e.refund_until, e.starts_at) AS refund_until,
               e.min_charge, e.max_charge, e.charge_step,
               p.taken + p.reserved AS taken, p.capacity, p.revision
        INTO v_event
        FROM credentials c
        LEFT JOIN (events e JOIN places p USING (event_id))
            ON e.event_id = p_event_id AND e.deleted_at IS NULL
                AND (e.status <> 'draft' OR (p_paid_by IS NOT NULL AND e.host_id = p_user_id))
        WHERE c.user_id = p_user_id AND c.token_version = p_token_version;
        IF NOT FOUND THEN
            outcome := 'invalid-token';
            RETURN;
        END IF;
        outcome := CASE
            WHEN v_event.event_id IS NULL THEN 'no-such-event'
            WHEN p_paid_by IS NULL AND v_event.host_id = p_user_id THEN 'own-event'
            WHEN p_paid_by IS NOT NULL AND v_event.host_id <> p_user_id THEN 'not-your-event'
            WHEN v_event.status = 'draft' THEN 'event-not-published'
            WHEN v_event.status = 'cancelled' THEN 'event-cancelled'
            WHEN p_now >= v_event.ends_at THEN 'event-ended'
            WHEN v_event.revision <> ALL (p_revisions) THEN 'stale-version'
        END;
        booking := NULL;
        IF p_paid_by IS NOT NULL THEN
            -- No comparison with null is true, so these limits of attendees are never exceeded.
            v_event.max_per_attendee := NULL;
            v_event.max_charge := NULL;
            v_event.verified_attendees_only := false;
        END IF;

        v_code_id := NULL;
        v_code_applies := false;
        IF outcome IS NULL AND p_code IS NOT NULL THEN
            SELECT c.code_id, c.kind, c.value, c.ticket_type_ids, c.max_per_attendee
            INTO v_code_id, v_code_kind, v_code_value, v_code_types, v_code_uses
            FROM codes c JOIN pools p ON p.pool_id = c.code_id
            WHERE c.event_id = p_event_id AND c.code = p_code AND c.deleted_at IS NULL
                AND coalesce(c.valid_from <= p_now, true) AND coalesce(p_now < c.valid_until, true)
                AND coalesce(p.taken + p.reserved < p.capacity, true);
            IF NOT FOUND THEN
                outcome := 'code-invalid';
            END IF;
        END IF;

        IF outcome IS NULL THEN
            v_types := '{}';
            v_quantities := '{}';
            v_prices := '{}';
            v_list_prices := '{}';
            v_counted := '{}';
            v_sold_out := '';
            v_items := '';
            v_quantity := 0;
            v_amount := 0;
            v_discount := 0;
            FOR v_line IN
                SELECT t.ticket_type_id, t.name, t.price, t.sale_starts_at, t.sale_ends_at,
                       t.min_per_booking, t.max_per_booking, t.code_required,
                       p.taken, p.taken + p.reserved AS unavailable, p.capacity,
                       p_quantities[coalesce(array_position(p_types, t.ticket_type_id), 1)] AS quantity
                FROM ticket_types t JOIN pools p ON p.pool_id = t.ticket_type_id
                WHERE t.event_id = p_event_id AND t.archived_at IS NULL
                    AND coalesce(t.ticket_type_id = ANY (p_types), true)
                ORDER BY t.ticket_type_id
            LOOP
                IF p_paid_by = 'free' THEN
                    v_line.price := 0;
                END IF;
                v_price := v_line.price;
                IF v_code_id IS NOT NULL AND coalesce(v_line.ticket_type_id = ANY (v_code_types), true) THEN
                    v_code_applies := true;
                    v_line.code_required := false;
                    IF v_code_kind <> 'access' AND v_price > 0 THEN
                        -- A percentage is rounded half up. What is left costs nothing or can be charged.
                        v_price := v_price - CASE v_code_kind
                            WHEN 'percent' THEN (v_price * v_code_value + 50) / 100
                            ELSE v_code_value
                        END;
                        v_price := CASE
                            WHEN v_price <= 0 THEN 0
                            ELSE greatest(v_price - v_price % v_event.charge_step, v_event.min_charge)
                        END;
                        v_price := least(v_price, v_line.price);
                    END IF;
                END IF;
                outcome := CASE
                    WHEN p_types IS NULL AND v_types <> '{}' THEN 'items-required'
                    WHEN p_paid_by IS NOT NULL THEN NULL
                    WHEN v_line.code_required THEN 'code-required'
                    WHEN p_now < coalesce(v_line.sale_starts_at, v_event.sale_starts_at, p_now) THEN 'sale-not-started'
                    WHEN p_now >= coalesce(v_line.sale_ends_at, v_event.sale_ends_at) THEN 'sale-ended'
                    WHEN v_line.quantity < v_line.min_per_booking THEN 'too-few'
                    WHEN v_line.quantity > v_line.max_per_booking THEN 'too-many'
                END;
                IF outcome IS NOT NULL THEN
                    booking := json_build_object(
                        'item', coalesce(array_position(p_types, v_line.ticket_type_id), 1),
                        'limit', CASE outcome
                            WHEN 'too-few' THEN v_line.min_per_booking
                            WHEN 'too-many' THEN v_line.max_per_booking
                        END
                    );
                    EXIT;
                END IF;
                v_types := v_types || v_line.ticket_type_id;
                v_quantities := v_quantities || v_line.quantity;
                v_prices := v_prices || v_price;
                v_list_prices := v_list_prices || v_line.price;
                IF v_line.taken IS NOT NULL THEN
                    v_counted := v_counted || v_line.ticket_type_id;
                END IF;
                IF v_line.unavailable + v_line.quantity > v_line.capacity THEN
                    v_sold_out := v_sold_out || ',"' || v_line.ticket_type_id || '"';
                END IF;
                v_items := v_items || ',{"ticketTypeId":"' || v_line.ticket_type_id
                    || '","name":' || to_json(v_line.name) || ',"quantity":' || v_line.quantity
                    || ',"unitPrice":' || v_line.price || '}';
                v_quantity := v_quantity + v_line.quantity;
                v_amount := v_amount + v_line.quantity * v_price;
                v_discount := v_discount + v_line.quantity * (v_line.price - v_price);
            END LOOP;
            IF outcome IS NULL AND cardinality(v_types) < coalesce(cardinality(p_types), 1) THEN
                outcome := 'no-such-ticket-type';
                SELECT json_build_object('item', min(i.item)) INTO booking
                FROM unnest(p_types) WITH ORDINALITY AS i (ticket_type_id, item)
                WHERE i.ticket_type_id <> ALL (v_types);
            ELSIF outcome IS NULL THEN
                IF v_event.taken + v_quantity > v_event.capacity THEN
                    v_sold_out := ',"' || array_to_string(v_types, '","') || '"';
                END IF;
                outcome := CASE
                    WHEN v_code_id IS NOT NULL AND NOT v_code_applies THEN 'code-invalid'
                    WHEN v_quantity > v_event.max_per_attendee THEN 'limit-reached'
                    WHEN v_amount > v_event.max_charge THEN 'amount-too-large'
                    WHEN v_sold_out <> '' THEN 'sold-out'
                END;
                booking := CASE outcome
                    WHEN 'amount-too-large' THEN v_event.max_charge::text
                    WHEN 'sold-out' THEN '[' || substr(v_sold_out, 2) || ']'
                END;
                IF outcome IS NULL AND (p_verified OR v_event.verified_attendees_only) THEN
                    PERFORM FROM users WHERE user_id = p_user_id AND email_verified_at IS NOT NULL;
                    IF NOT FOUND THEN
                        outcome := 'email-not-verified';
                    END IF;
                END IF;
                -- The unique index would not find all: the host may have lowered the limit to one.
                SELECT coalesce(sum(b.quantity), 0) INTO v_booked
                FROM bookings b
                WHERE b.event_id = p_event_id AND b.user_id = p_user_id AND b.status IN ('pending', 'confirmed');
                outcome := CASE
                    WHEN v_event.max_per_attendee = 1 AND v_booked > 0 THEN 'already-booked'
                    WHEN outcome = 'code-invalid' THEN outcome
                    WHEN v_booked + v_quantity > v_event.max_per_attendee THEN 'limit-reached'
                    ELSE outcome
                END;
                IF outcome = 'limit-reached' THEN
                    booking := greatest(0, v_event.max_per_attendee - v_booked);
                END IF;
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

        v_items := '"quantity":' || v_quantity || ',"items":[' || substr(v_items, 2)
            || CASE WHEN v_discount > 0 THEN '],"discount":' || v_discount || ',"amount":' ELSE '],"amount":' END
            || v_amount;
        IF p_quote THEN
            outcome := 'quoted';
            booking := '{"revision":' || v_event.revision || ',"quote":{"eventId":"' || p_event_id || '",' || v_items
                || ',"currency":"' || v_event.currency || '"}}';
            RETURN;
        END IF;
        v_at := to_char(p_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
        booking := '{"bookingId":"' || p_booking_id || '","reference":"' || p_reference
            || CASE WHEN p_paid_by IS NULL THEN '","userId":"' || p_user_id ELSE '","paidBy":"' || p_paid_by END
            || '","eventId":"' || p_event_id
            || CASE
                WHEN v_amount > 0 AND p_paid_by IS NULL THEN '","status":"pending",'
                ELSE '","status":"confirmed",'
            END
            || v_items || ',"refunded":0,"currency":"' || v_event.currency
            || '","createdAt":"' || v_at || '","updatedAt":"' || v_at;
        IF v_amount > 0 AND p_paid_by IS NULL THEN
            v_held_until := least(p_now + make_interval(secs => p_hold), v_event.ends_at);
            booking := booking || '","expiresAt":"'
                || to_char(v_held_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
        END IF;
        booking := booking || '"}';

        outcome := 'unavailable';
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

        IF v_held_until IS NOT NULL OR v_event.max_per_attendee > 1 THEN
            -- guard: one-booking-at-a-time
            -- Until the commit, the account's other holds and orders wait here, and then count this one. With a limit
            -- of one, free bookings need no lock: the unique index is enough.
            v_ignored := pg_advisory_xact_lock(uuid_hash_extended(p_user_id, 0));
            -- end guard
        END IF;
        IF v_event.max_per_attendee > 1 THEN
            SELECT coalesce(sum(b.quantity), 0), count(*) FILTER (WHERE b.code_id = v_code_id)
            INTO v_booked, v_used
            FROM bookings b
            WHERE b.event_id = p_event_id AND b.user_id = p_user_id AND b.status IN ('pending', 'confirmed');
            outcome := CASE
                WHEN v_booked + v_quantity > v_event.max_per_attendee THEN 'limit-reached'
                WHEN v_used >= v_code_uses THEN 'code-invalid'
            END;
            IF outcome IS NOT NULL THEN
                ROLLBACK;
                booking := greatest(0, v_event.max_per_attendee - v_booked);
                RETURN;
            END IF;
            outcome := 'unavailable';
        END IF;
        IF v_held_until IS NOT NULL THEN
            -- One statement, so that a hold of this event that ends now is seen either as open or as ended.
            SELECT count(*) AS open, bool_or(h.event_id = p_event_id AND h.sole) AS of_this_event,
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
                WHEN v_event.max_per_attendee = 1 AND v_holds.of_this_event THEN 'already-booked'
                WHEN v_holds.cooled_at > p_now THEN 'hold-cooldown'
                WHEN v_holds.open >= p_max_holds THEN 'too-many-holds'
            END;
            IF outcome IS NOT NULL THEN
                ROLLBACK;
                v_retry_at := CASE outcome WHEN 'hold-cooldown' THEN v_holds.cooled_at ELSE v_holds.first_end END;
                booking := greatest(1, ceil(extract(epoch FROM v_retry_at - p_now)))::integer;
                RETURN;
            END IF;
            outcome := 'unavailable';
        END IF;

        -- The foreign key locks the account's row. Either a deletion of the account waits for this transaction and
        -- then cancels the booking, or this waits for the deletion and finds no credentials below. A sale at the box
        -- office has no account. It and the deletion of its host lock the event's row in `places`.
        INSERT INTO bookings (
            booking_id, user_id, event_id, host_id, code_id, paid_by, status, quantity, amount, currency, sole,
            created_at, updated_at, expires_at, refund_until
        )
        VALUES (
            p_booking_id, CASE WHEN p_paid_by IS NULL THEN p_user_id END, p_event_id, v_event.host_id, v_code_id,
            p_paid_by, CASE WHEN v_held_until IS NULL THEN 'confirmed' ELSE 'pending' END, v_quantity, v_amount,
            v_event.currency, CASE WHEN v_event.max_per_attendee = 1 THEN true END,
            p_now, p_now, v_held_until, CASE WHEN v_held_until IS NOT NULL THEN v_event.refund_until END
        )
        -- guard: already-booked
        ON CONFLICT (event_id, user_id, sole) WHERE status IN ('pending', 'confirmed') DO NOTHING
        -- end guard
        ;
        IF NOT FOUND THEN
            ROLLBACK;
            outcome := 'already-booked';
            RETURN;
        END IF;

        -- The statement for several tickets also inserts one, but takes longer.
        IF v_quantity = 1 THEN
            INSERT INTO tickets AS t (
                ticket_id, booking_id, ticket_type_id, list_price, price, status, updated_at,
                holder_name, holder_email
            )
            VALUES (
                uuidv7(), p_booking_id, v_types[1], v_list_prices[1], v_prices[1],
                CASE WHEN v_held_until IS NULL THEN 'valid' ELSE 'held' END, p_now, p_holder_name, p_holder_email
            )
            RETURNING '{"ticketId":"' || t.ticket_id || '","ticketTypeId":"' || t.ticket_type_id || '"}' INTO v_tickets;
        ELSE
            WITH made AS (
                INSERT INTO tickets (
                    ticket_id, booking_id, ticket_type_id, list_price, price, status, updated_at,
                    holder_name, holder_email
                )
                SELECT uuidv7(), p_booking_id, i.ticket_type_id, i.list_price, i.price,
                       CASE WHEN v_held_until IS NULL THEN 'valid' ELSE 'held' END, p_now, p_holder_name, p_holder_email
                FROM unnest(v_types, v_quantities, v_list_prices, v_prices)
                         AS i (ticket_type_id, quantity, list_price, price),
                     generate_series(1, i.quantity)
                RETURNING ticket_id, ticket_type_id
            )
            SELECT string_agg('{"ticketId":"' || ticket_id || '","ticketTypeId":"' || ticket_type_id || '"}', ',')
            INTO v_tickets
            FROM made;
        END IF;

        IF v_held_until IS NULL THEN
            INSERT INTO outbox (domain_event_id, type, subject, occurred_at, request_id, body)
            VALUES (
                p_booking_id, 'booking-confirmed', p_event_id, p_now, p_request_id,
                replace(booking, ',"refunded":0,', ',"tickets":[' || v_tickets || '],')::json
            );
        ELSE
            INSERT INTO payments (
                booking_id, amount, currency, status, open_until, next_check_at, created_at, updated_at
            )
            VALUES (
                p_booking_id, v_amount, v_event.currency, 'requires_payment', v_held_until,
                least(p_now + make_interval(secs => p_first_check), v_held_until), p_now, p_now
            );
        END IF;

        -- Wait for each row's lock. PostgreSQL tests the conditions on the row as it is after the wait.
        v_fits := true;
        IF v_code_id IS NOT NULL THEN
            UPDATE pools
            SET taken = taken + 1
            WHERE pool_id = v_code_id
                -- guard: code-uses-left
                AND coalesce(taken + reserved < capacity, true)
                -- end guard
            ;
            IF NOT FOUND THEN
                ROLLBACK;
                CONTINUE;
            END IF;
        END IF;
        FOR v_number IN 1..cardinality(v_types) LOOP
            CONTINUE WHEN v_types[v_number] <> ALL (v_counted);
            UPDATE pools
            SET taken = taken + v_quantities[v_number]
            WHERE pool_id = v_types[v_number]
                -- guard: places-of-type-left
                AND coalesce(taken + reserved + v_quantities[v_number] <= capacity, true)
                -- end guard
            ;
            v_fits := FOUND;
            EXIT WHEN NOT v_fits;
        END LOOP;
        IF NOT v_fits THEN
            ROLLBACK;
            CONTINUE;
        END IF;
        UPDATE places
        SET taken = taken + v_quantity, popularity = (10 * ln((taken + v_quantity + 1)::double precision))::integer
        WHERE event_id = p_event_id
            -- guard: places-left
            AND taken + reserved + v_quantity <= capacity
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

    IF outcome = 'unavailable' THEN
        RETURN;
    END IF;
    -- guard: flush
    -- Set explicitly, so that the role's default does not matter. The message gives the commit something to flush.
    v_ignored := set_config('synchronous_commit', 'on', true);
    v_ignored := pg_logical_emit_message(true, '', '');
    -- end guard
END
$$;
