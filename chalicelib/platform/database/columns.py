"""Columns and SQL expressions that tables and statements share.

All times are timestamptz; the column's type says how the API renders them.

Parameters of conditions are not named like columns of the table: in an UPDATE, SQLAlchemy would take such a
parameter for a new value of the column. Hence names such as `this_booking` and `of_user`.
"""

from sqlalchemy import ColumnElement, DateTime, Text, bindparam, literal_column


class SystemTime(DateTime):
    """A time that this system recorded: rendered to the millisecond."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(timezone=True)


class UserTime(DateTime):
    """A time that a user supplied: rendered with the precision that was given."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(timezone=True)


now_parameter = bindparam("now", type_=SystemTime())


def sql_literal(text: str) -> ColumnElement[str]:
    """Return a literal instead of a parameter: PostgreSQL matches partial indexes with literals only.

    `text` must be written in the code. A client's text belongs in a parameter.
    """
    escaped = text.replace("'", "''")
    return literal_column(f"'{escaped}'", Text())
