"""The reference does the same work: five steps write the same rows as the app."""

import json
from typing import Any

import pytest

from bench import database, five_steps
from bench.containers import handlers
from bench.requests import booking_request, token_of
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Postgres

_ROWS = [
    "SELECT to_jsonb(b) - '{booking_id,created_at,updated_at}'::text[] FROM bookings b",
    "SELECT to_jsonb(t) - 'ticket_id' - 'booking_id' - 'updated_at' - 'changed_in' FROM tickets t ORDER BY 1",
    "SELECT to_jsonb(o) - '{position,domain_event_id,occurred_at,request_id,body}'::text[] FROM outbox o",
    "SELECT body::jsonb - '{bookingId,reference,createdAt,updatedAt,tickets}'::text[] FROM outbox",
    "SELECT jsonb_array_length(body::jsonb -> 'tickets') FROM outbox",
    "SELECT to_jsonb(p) FROM pools p ORDER BY pool_id",
    "SELECT to_jsonb(p) FROM places p ORDER BY event_id",
]
"""What a booking writes, without ids, times and transactions."""

_UNDO = [
    "TRUNCATE bookings, outbox CASCADE",
    "UPDATE pools SET taken = 0 WHERE taken IS NOT NULL",
    "UPDATE places SET taken = 0, popularity = 0",
]


@pytest.mark.parametrize("tickets", [1, 4])
def test_five_steps_write_the_rows_of_the_app(server: Postgres, tickets: int) -> None:
    name = f"five_steps_{tickets}"
    url = database.populate(server, name, people=1, events=2, with_two_types=1)
    event_id = database.event_id(0 if tickets == 1 else 1)
    written: list[Any] = []
    with five_steps.connected(url), using(Wiring(database.settings(url))) as wiring:
        token = token_of(wiring.tokens, database.person_id(0))
        for way in ("app", "five steps"):
            database.run(url, *_UNDO)
            response = handlers()[way](booking_request(token, event_id, tickets), None)
            assert response["statusCode"] == 201
            body = json.loads(response["body"])
            for member in ("bookingId", "reference", "createdAt", "updatedAt"):
                del body[member]
            written.append([body, *(database.run(url, query) for query in _ROWS)])
    postgres.drop_database(server, name)

    assert written[0] == written[1]
    assert len(written[0][2]) == tickets
