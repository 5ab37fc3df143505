"""Where the product's tables are, and the one place that opens a database.

A package declares its tables as a `Schema`. In SQLite a schema is a file of the data directory, in
PostgreSQL a schema of one database, which the setting `database` names; the vault has a setting of
its own. The data directory remembers both, so a command that is given the directory finds them:

    home/keys/databases.json   {"database":"postgresql://…","vault":""}; empty: files in home

Every schema has a version: the newest of the Alembic revisions beside its tables. A schema of
another version is not opened: `sovereign migrate` brings an older one up to date
(ledger.storage.migration).
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary, finalize

from sqlalchemy import (
    URL,
    Column,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    cast,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, DBAPIError

REMEMBERED = Path("keys") / "databases.json"
OWNER_ONLY = 0o600
BUSY_MS = 10_000  # for another process's write
CHECKPOINT_PAGES = (
    4000  # pages of the write-ahead log; high, because the act that triggers a checkpoint waits
)
POOL = 3  # connections that are kept open for a schema in PostgreSQL
# Of a server that is gone: seconds to connect, and milliseconds until what was sent is given up.
PATIENCE: dict[str, Any] = {"connect_timeout": 5, "tcp_user_timeout": 5_000, "keepalives_idle": 5}
_CREATORS = 0  # the advisory lock of who creates tables
_VERSION = "SELECT version_num FROM alembic_version"
_STATEMENTS = (  # SQLite makes that table itself
    "SELECT sql FROM sqlite_master WHERE sql > '' AND name <> 'sqlite_sequence' ORDER BY rowid"
)
_WRITERS = 2  # the seed of the advisory locks of who writes, one for each schema
_LOCK = select(
    func.pg_advisory_xact_lock(func.hashtextextended(cast(func.current_schema(), Text), _WRITERS))
)
_VERSIONS = Table("alembic_version", MetaData(), Column("version_num", String(32), nullable=False))


class SchemaVersionError(Exception):
    """A schema has another version than this program. The message says what to do."""


class DatabaseError(Exception):
    """The database cannot be used: its address is wrong, or it does not answer."""


class ReadOnlyError(DatabaseError):
    """The database may be read by this process, and not written."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one part of the product.

    `file`: in the data directory, for SQLite. `version`: the newest revision in `migrations`, a
    package (`steward.storage.migrations`). `baseline`: the revision that describes the tables as
    they were before schemas had versions. `vault`: it holds keys, so it lies in the vault's
    database, and in SQLite it has no write-ahead log, in which a deleted byte could survive.
    `busy_ms`: how long to wait for another process's write.
    """

    name: str
    file: str
    metadata: MetaData
    version: str
    migrations: str
    baseline: str = "0001"
    vault: bool = False
    busy_ms: int = BUSY_MS

    def named(self, instance: str) -> "Schema":
        """The same tables once more, for one instance: `reads/x/log.sqlite`, schema `reads_x`."""
        folder, _, name = self.file.rpartition("/")
        file = "/".join(part for part in (folder, instance, name) if part)
        return replace(self, name=f"{self.name}_{instance}", file=file)


class Database:
    """The schemas of one data directory. Thread-safe; engines are made at first use and kept."""

    def __init__(self, home: Path, address: str = "", vault: str = "") -> None:
        """`address`, and `vault` for the vault: postgresql://…; empty: SQLite files in `home`.

        Raises DatabaseError.
        """
        self.home = home
        self._url = _url(address) if address else None
        self._vault_url = _url(vault) if vault else None
        self._engines: dict[str, Engine] = {}
        self._guard = Lock()
        finalize(self, _dispose, self._engines)  # psycopg warns of connections that nobody closed

    @property
    def url(self) -> URL | None:
        """Where PostgreSQL has all schemas but the vault; None: they are SQLite files."""
        return self._url

    @property
    def is_postgres(self) -> bool:
        return self._url is not None

    def engine(self, schema: Schema) -> Engine:
        """The engine of a schema. Its tables are created if there are none.

        Raises SchemaVersionError, DatabaseError.
        """
        with self._guard:
            if (made := self._engines.get(schema.name)) is None:
                made = self.unchecked(schema)
                try:
                    with _reported(self.place(schema)):
                        require_version(made, schema, self.place(schema))
                except BaseException:
                    made.dispose()
                    raise
                self._engines[schema.name] = made
            return made

    def unchecked(self, schema: Schema) -> Engine:
        """An engine without a look at the version, for migrations. Close it with `dispose`."""
        if (url := self.address(schema)) is None:
            path = self.home / schema.file
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():  # a reader may lack the permission to touch it
                path.touch(mode=OWNER_ONLY)
            return sqlite_engine(path, schema.busy_ms, rollback_journal=schema.vault)
        with _reported(self.place(schema)):
            return _postgres_schema(url, schema.name)

    def exists(self, schema: Schema) -> bool:
        """Whether a schema has tables. Creates nothing. Raises DatabaseError."""
        if (url := self.address(schema)) is None:
            path = self.home / schema.file
            return path.exists() and path.stat().st_size > 0
        with _reported(self.place(schema)):
            made = postgres_engine(url, schema.name)
            try:
                return bool(inspect(made).get_table_names(schema.name))
            finally:
                made.dispose()

    def instances(self, schema: Schema) -> list[str]:
        """The instances of a schema that have been created, sorted. Raises DatabaseError."""
        if (url := self.address(schema)) is None:
            folder, _, name = schema.file.rpartition("/")
            return sorted(path.parent.name for path in (self.home / folder).glob(f"*/{name}"))
        prefix = schema.named("").name
        with self._guard, _reported(self.place(schema)):
            if (made := self._engines.get(prefix)) is None:
                made = self._engines[prefix] = postgres_engine(url, "public")
            names = inspect(made).get_schema_names()
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def dispose(self, schema: Schema) -> None:
        """Close the connections of a schema that are not in use. The engine can be used again."""
        with self._guard:
            if (made := self._engines.get(schema.name)) is not None:
                made.dispose()

    def close(self) -> None:
        with self._guard:
            _dispose(self._engines)

    def place(self, schema: Schema) -> str:
        """Names a schema to a person. Contains no password."""
        if (url := self.address(schema)) is None:
            return str(self.home / schema.file)
        return f"{url.render_as_string(hide_password=True)} (schema {schema.name})"

    def address(self, schema: Schema) -> URL | None:
        """Where PostgreSQL has a schema; None: it is in a SQLite file."""
        return self._vault_url if schema.vault else self._url


def _dispose(engines: dict[str, Engine]) -> None:
    for made in engines.values():
        made.dispose()
    engines.clear()


_shared: WeakValueDictionary[tuple[Path, str, str], Database] = WeakValueDictionary()
_sharing = Lock()


def of(home: Path) -> Database:
    """The database of a data directory. Raises DatabaseError.

    In PostgreSQL its users in this process share the connections. SQLite files are opened again.
    """
    address, vault = remembered(home)
    if not (address or vault):
        return Database(home)
    key = home.resolve(), address, vault
    with _sharing:
        if (found := _shared.get(key)) is None:
            found = _shared[key] = Database(home, address, vault)
        return found


def remembered(home: Path) -> tuple[str, str]:
    """The addresses of the database and of the vault's, which the writer remembers; empty: files.

    Raises DatabaseError.
    """
    path = home / REMEMBERED
    try:
        found = json.loads(path.read_bytes())
        return str(found["database"]), str(found["vault"])
    except FileNotFoundError:
        return "", ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatabaseError(
            f'{path} cannot be read, want {{"database":…,"vault":…}}: set `database` again'
        ) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that holds the write lock from its beginning. Durable after it."""
    with engine.connect() as connection, connection.execution_options(immediate=True).begin():
        yield connection


@contextmanager
def exclusive(engine: Engine) -> Iterator[Connection]:
    """As `writing`, and as with SQLite's write lock one at a time: it sees what others wrote."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(_LOCK)
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that sees one state of the database, whatever is written meanwhile."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        yield connection


def truncate_log(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, so that bytes that were overwritten do not remain in it.

    PostgreSQL's is the server's own to recycle: nothing is done.
    """
    if engine.dialect.name != "sqlite":
        return
    with closing(engine.raw_connection()) as connection:  # in a transaction it would be refused
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()


def require_version(engine: Engine, schema: Schema, place: str) -> None:
    """Create the tables of a schema that has none. Raises SchemaVersionError for another version.

    `place` names the database in the error.
    """
    if version(engine) == schema.version:
        return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:one)"), {"one": _CREATORS})
        blank = _is_blank(connection)
        found = None if blank else _version(connection)
        if blank or (
            found is None and not _tables(schema) & {*inspect(connection).get_table_names()}
        ):
            _create(connection, schema.metadata)
            stamp(connection, schema.version)
            return
    if found == schema.version:  # somebody else has just created it
        return
    if found is None or found < schema.version:
        raise SchemaVersionError(
            f"{place} was written by an earlier version of this program: stop what uses it, make "
            "a backup, and run `sovereign migrate`"
        )
    raise SchemaVersionError(
        f"{place} has version {found}, want {schema.version}: a newer version of this program "
        "wrote it; use that one"
    )


def _is_blank(connection: Connection) -> bool:
    """Whether this is a SQLite file that never had a table; asking for its tables takes longer."""
    is_file = connection.dialect.name == "sqlite"
    return is_file and connection.exec_driver_sql("PRAGMA schema_version").scalar() == 0


def _create(connection: Connection, metadata: MetaData) -> None:
    """Create the tables, in SQLite by statements that are compiled once in a process."""
    if connection.dialect.name != "sqlite":
        metadata.create_all(connection)
        return
    statements, rows = _compiled(metadata)
    for statement in statements:
        connection.exec_driver_sql(statement)
    for table, first in rows:
        connection.execute(insert(table), first)


@cache
def _compiled(
    metadata: MetaData,
) -> tuple[tuple[str, ...], tuple[tuple[Table, list[dict[str, Any]]], ...]]:
    """What creates the tables in SQLite, and the rows that they begin with."""
    with create_engine("sqlite://").begin() as connection:
        metadata.create_all(connection)
        statements = connection.exec_driver_sql(_STATEMENTS).scalars().all()
        found = [(each, connection.execute(select(each))) for each in metadata.sorted_tables]
        rows = [(table, [dict(row) for row in result.mappings()]) for table, result in found]
    return tuple(statements), tuple((table, first) for table, first in rows if first)


def version(engine: Engine) -> str | None:
    """The version of the schema; None if it has no tables, or is older than versions are."""
    with engine.connect() as connection:
        with suppress(DBAPIError):  # mostly it is there, and asking whether it is takes longer
            found: str | None = connection.exec_driver_sql(_VERSION).scalar()
            return found
        connection.rollback()
        return None if _is_blank(connection) else _version(connection)


def stamp(connection: Connection, version: str) -> None:
    """Note the version, where there was none."""
    _VERSIONS.create(connection, checkfirst=True)
    connection.execute(insert(_VERSIONS), {"version_num": version})


def remove_version(connection: Connection) -> None:
    """Forget the version of a schema whose tables were removed."""
    _VERSIONS.drop(connection, checkfirst=True)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS.name):
        return None
    found: str | None = connection.execute(select(_VERSIONS.c.version_num)).scalar()
    return found


def _tables(schema: Schema) -> set[str]:
    return {table.name for table in schema.metadata.tables.values()}


def upsert(dialect: str, table: Table) -> Any:
    """INSERT of a row, which replaces the one with the same primary key."""
    inserted = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    changed = {each.name: inserted.excluded[each.name] for each in table.c if not each.primary_key}
    return inserted.on_conflict_do_update(index_elements=[*table.primary_key], set_=changed)


def sqlite_engine(path: Path, busy_ms: int = BUSY_MS, *, rollback_journal: bool = False) -> Engine:
    """SQLite: every commit synced to disk, deleted bytes overwritten, foreign keys enforced."""
    made = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
    pragmas = [
        f"busy_timeout={busy_ms}",
        f"journal_mode={'DELETE' if rollback_journal else 'WAL'}",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ]

    @event.listens_for(made, "connect")
    def _connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # transactions are begun in `_begin`, not by the driver
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return made


def postgres_engine(url: URL, schema: str, *options: str) -> Engine:
    """PostgreSQL: tables are looked up in one schema."""
    options = (f"-csearch_path={schema}", *options)
    arguments = {"options": " ".join(options), **PATIENCE}
    # Connections that ended while nobody used them are replaced without an error.
    return create_engine(url, pool_size=POOL, pool_pre_ping=True, connect_args=arguments)


def _postgres_schema(url: URL, name: str) -> Engine:
    """The engine of a schema that is created if it does not exist."""
    made = postgres_engine(url, name)
    with made.begin() as connection:
        if inspect(connection).has_schema(name):  # a reader may lack the permission to create it
            return made
        connection.execute(text("SELECT pg_advisory_xact_lock(:one)"), {"one": _CREATORS})
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {quoted}"))
    return made


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise DatabaseError("the address of the database is not one, want postgresql://…") from None
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise DatabaseError(f"a database is at postgresql://…, not at {url.drivername}://…")
    return url.set(drivername="postgresql+psycopg")


@contextmanager
def _reported(place: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        first = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        raise DatabaseError(
            f"{place}: {first[0]} (check that the database runs, and the settings `database` and"
            " `vault_database`)"
        ) from error
