"""Column types for times: all are timestamptz, and the type says how the API renders them."""

from sqlalchemy import DateTime, bindparam


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
