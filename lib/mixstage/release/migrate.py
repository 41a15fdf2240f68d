"""Brings a registry's tables to this version of mixstage, by alembic's scripts in `migrations/versions`.

A database is migrated by whoever opens it first. Others that open it meanwhile wait: SQLite and PostgreSQL both undo a
migration that fails half-way, and hold a lock until it ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from mixstage.errors import ReleaseError

_LOCK = 0x6D697873  # of PostgreSQL's advisory locks: a number that nobody else takes by accident ("mixs")


def migrate(engine: Engine) -> None:
    """Raises ReleaseError if the database was migrated by a newer mixstage than this."""
    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == scripts.get_current_head():
            return
    with _locked(engine) as connection:
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda revision, _: scripts._upgrade_revs("head", revision), "transactional_ddl": False},
        )
        try:
            with Operations.context(context):
                context.run_migrations()
        except CommandError as error:
            raise ReleaseError(
                f"the registry {engine.url.render_as_string()} is of another mixstage than this one ({error}): upgrade "
                "mixstage, or give serving.registry another database"
            ) from None


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other migration of the database shares."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            yield connection
        return
    # Python's sqlite3 would commit before each change of a table: the transaction is begun and ended by hand.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
