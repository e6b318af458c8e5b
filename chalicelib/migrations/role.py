"""The database role of the app: it reads and writes rows, and cannot change the schema."""

from sqlalchemy import NullPool, create_engine, make_url, text

from chalicelib.migrations import LOCK_KEY, TLS
from chalicelib.platform.database.engine import verified_tls
from chalicelib.platform.settings import BadSetting

# Identity columns need no rights on their sequences, and everyone may call procedures and functions.
_GRANTS = """
    DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
    ALTER ROLE {role} LOGIN PASSWORD {password};
    REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;
    GRANT CONNECT ON DATABASE {database} TO {role};
    GRANT USAGE ON SCHEMA public TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
    REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role};
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}
"""


def set_up(owner_url: str, app_url: str, ssl_context: TLS = None) -> None:
    """Create the role that `app_url` names, with its password and rights, in a migrated database. Idempotent.

    The role gets the same rights on the tables of later migrations. `ssl_context` is as in `upgrade`.

    Raises:
        BadSetting: Both URLs name the same role, or `app_url` has no password.
    """
    app, owner = make_url(app_url), make_url(owner_url)
    if not app.username or not app.password or app.username == owner.username:
        raise BadSetting("APP_DATABASE_URL must have a user and a password, other than those of DATABASE_URL")
    context = verified_tls(owner_url) if ssl_context is None else ssl_context
    engine = create_engine(
        owner, poolclass=NullPool, hide_parameters=True, connect_args={"ssl_context": context}
    )
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        quoted = connection.execute(
            text("SELECT quote_ident(:role), quote_literal(:password), quote_ident(current_database())"),
            {"role": app.username, "password": app.password},
        ).one()
        role, password, database = quoted
        for statement in _GRANTS.split(";\n"):
            connection.exec_driver_sql(statement.format(role=role, password=password, database=database))
    engine.dispose()
