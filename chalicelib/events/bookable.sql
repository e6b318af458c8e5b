-- Whether a ticket type of an event is in its sale window and has places left, as the booking procedure would find.
-- The event must be published, upcoming and not sold out.
--
-- A function with a low COST, instead of EXISTS: PostgreSQL would estimate that reading a list in the order of its
-- index and checking each event costs more than checking and sorting all events. `p_sale_ends_at` is not null.
CREATE OR REPLACE FUNCTION has_bookable_type(
    p_event_id uuid, p_sale_starts_at timestamptz, p_sale_ends_at timestamptz, p_now timestamptz
) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM ticket_types t JOIN pools p ON p.pool_id = t.ticket_type_id
        WHERE t.event_id = p_event_id AND t.archived_at IS NULL
            AND coalesce(t.sale_starts_at, p_sale_starts_at, p_now) <= p_now
            AND p_now < coalesce(t.sale_ends_at, p_sale_ends_at)
            AND coalesce(p.capacity - p.taken - p.reserved >= t.min_per_booking, true)
            AND (
                t.min_per_booking = 1
                OR t.min_per_booking <= (SELECT capacity - taken - reserved FROM places WHERE event_id = p_event_id)
            )
    );
END $$;
