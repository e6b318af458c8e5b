"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
release = ""  # the release that brings it, such as "0.2.0"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
