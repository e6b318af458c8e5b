"""Settings of the database role. The app relies on them and sets none per session."""

from sqlalchemy import NullPool, create_engine, text

from chalicelib.migrations import TLS
from chalicelib.platform.database.engine import verified_tls

SETTINGS = {
    "statement_timeout": "10s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    # A request keeps one core of the database busy, and its cost does not jump at an estimate.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}


def set_up(database_url: str, ssl_context: TLS = None) -> None:
    """Set the settings of the connecting role for its future sessions. Idempotent."""
    context = verified_tls(database_url) if ssl_context is None else ssl_context
    engine = create_engine(database_url, poolclass=NullPool, connect_args={"ssl_context": context})
    with engine.begin() as connection:
        for name, value in SETTINGS.items():
            connection.execute(text(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'"))
    engine.dispose()
