"""Opens the store of a log, of the kind that its database is."""

from ledger.storage.database import Database, Schema
from ledger.storage.sqlite import SqlStore


def log_store(database: Database, schema: Schema) -> SqlStore:
    """The store of the log in a schema. Raises SchemaVersionError, DatabaseError."""
    engine = database.engine(schema)
    if not database.is_postgres:
        return SqlStore(engine, opened=database)
    from ledger.storage.postgres import PostgresStore

    return PostgresStore(engine, schema.name, database)


def log_reader(database: Database, schema: Schema) -> SqlStore:
    """The store of the log in a schema that exists, for a process that does not write it.

    Raises SchemaVersionError, DatabaseError.
    """
    if (url := database.address(schema)) is None:
        return SqlStore(database.engine(schema), opened=database)
    from ledger.storage.postgres import PostgresReader

    database.engine(schema).dispose()  # it has compared the versions
    return PostgresReader(url.render_as_string(hide_password=False), schema.name)
