"""Settings of the database role. The app relies on them and sets none per session."""

import ssl

from sqlalchemy import NullPool, create_engine, text

SETTINGS = {
    "statement_timeout": "10s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
}


def set_up(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> None:  # noqa: FBT001, FBT002 (as in pg8000)
    """Set the settings of the connecting role for its future sessions. Idempotent."""
    engine = create_engine(database_url, poolclass=NullPool, connect_args={"ssl_context": ssl_context})
    with engine.begin() as connection:
        for name, value in SETTINGS.items():
            connection.execute(text(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'"))
    engine.dispose()
