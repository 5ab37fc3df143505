"""Brings the tables of an older version up to date, with the Alembic revisions of their schema.

A schema that is older than versions are is taken for its `baseline`; the later revisions follow.
Each schema migrates in one transaction: killed anywhere, it is at the old version or at the new.
"""

from importlib import import_module
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from ledger.storage.database import Database, Schema, require_version, stamp, version, writing


def migrate(database: Database, schema: Schema) -> tuple[str, str] | None:
    """Migrate one schema. Durable on return.

    Returns the version before (empty: before versions) and after; None if there is nothing to do.
    Raises DatabaseError; SchemaVersionError if a newer program wrote it.
    """
    if not database.exists(schema):
        return None
    engine = database.unchecked(schema)
    try:
        before = version(engine)
        if before == schema.version:
            return None
        if before is not None and before > schema.version:
            require_version(engine, schema, schema.name)
        upgrade(engine, schema)
        return before or "", schema.version
    finally:
        engine.dispose()


def upgrade(engine: Engine, schema: Schema) -> None:
    """Run the revisions that follow the version of a schema, all of them if it has no tables."""
    scripts = directory(schema)
    with writing(engine) as connection:
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda revision, _: scripts._upgrade_revs("head", revision)},  # noqa: SLF001 - Alembic's own env.py goes the same way
        )
        if context.get_current_revision() is None and inspect(connection).get_table_names():
            stamp(connection, schema.baseline)
        with Operations.context(context):
            context.run_migrations()
        # Crash before the commit of this block: the version and the tables are the old ones.


def directory(schema: Schema) -> ScriptDirectory:
    """The revisions of a schema."""
    package = import_module(schema.migrations)
    folder = Path(next(iter(package.__path__)))
    return ScriptDirectory(folder, version_locations=[str(folder)])
