-- Marks each change of a ticket with its transaction. A reader that keeps the oldest transaction that was still running
-- when it read (pg_snapshot_xmin) misses nothing if it next asks for what has changed in that transaction or later.
-- Times would not do: a transaction can commit after another one that started later.
CREATE OR REPLACE FUNCTION mark_ticket_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER mark_ticket_change
BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION mark_ticket_change();
