"""Less work for a booking: `book_place_v3`, and a popularity that is written with the counter.

Code from before counts on without it, so that for the minutes of a deployment an event may be sorted by how
popular it was; the next booking puts that right. `book_place_v1` goes: the code before calls the second.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

PROCEDURES = Path(__file__).parents[2] / "bookings"


def upgrade() -> None:
    op.create_index(
        "ix_events_duration", "events", [sa.literal_column("(ends_at - starts_at)")], unique=False
    )
    op.execute("ALTER TABLE places ALTER COLUMN popularity DROP EXPRESSION")
    op.alter_column("places", "popularity", server_default="0")
    _create("book_place_v3")
    op.execute("DROP PROCEDURE book_place_v1")


def _create(procedure: str) -> None:
    # Driver SQL: the procedure's text has colons and percent signs that are not parameters.
    op.get_bind().exec_driver_sql((PROCEDURES / f"{procedure}.sql").read_text())


def downgrade() -> None:
    _create("book_place_v1")
    op.execute("DROP PROCEDURE book_place_v3")
    op.drop_index("ix_events_duration", table_name="events")
    op.drop_column("places", "popularity")  # and its index with it
    op.add_column(
        "places",
        sa.Column(
            "popularity",
            sa.Integer(),
            sa.Computed("(10 * ln((taken + 1)::double precision))::integer", persisted=True),
            nullable=False,
        ),
    )
    op.create_index("ix_places_popularity", "places", ["popularity"], unique=False)
