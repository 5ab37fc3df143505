"""The tables of the vault, and the statements on them. What they mean: see ledger.vault."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ledger.storage import database
from ledger.storage.database import Database, DatabaseError, Schema, upsert
from ledger.storage.kept_connection import KeptConnection, compiled, mark
from ledger.storage.log_rows import Number
from ledger.storage.snapshot import SchemaSnapshot

_METADATA = MetaData()
_MAX_VALUES = 10_000  # in one statement


def _single(name: str, *columns: Column[Any]) -> Table:
    """A table of one row."""
    only = Column("only", Integer, primary_key=True, autoincrement=False)
    return Table(name, _METADATA, only, *columns, CheckConstraint('"only" = 1', f"{name}_only"))


CUSTOMER = Table(
    "customer",
    _METADATA,
    Column("subject", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("number", Number),  # of the customer, from 1 on; no two customers ever have the same
    Index("customer_number", "number", unique=True),
)
NUMBERING = _single("numbering", Column("last", Number, nullable=False))
KEK = _single("kek", Column("generation", Text, nullable=False))
ERASED = _single("erased", Column("lines", Number, nullable=False))
TOMBSTONE = _single("tombstone", Column("lines", Number, nullable=False))
OWNER = Table(
    "owner",
    _METADATA,
    Column("handle", LargeBinary, primary_key=True),
    Column("subject", Text),
    Column("seq", Number, nullable=False),
    sqlite_with_rowid=False,
)
OWNER_KEY = _single(
    "owner_key",
    Column("wrapped", LargeBinary, nullable=False),
    Column("complete", Integer, nullable=False),
)
ENDED = Table(
    "ended",
    _METADATA,
    Column("line", Number, nullable=False),
    Column("mark", LargeBinary, nullable=False),
    Index("ended_line", "line"),
)
VAULT = Schema(
    "vault",
    "keys/customers.db",
    _METADATA,
    "0003",
    "ledger.storage.vault_migrations",
    vault=True,
    busy_ms=60_000,  # a rotation of ten million keys takes this long
)


def schema_in(folder: Path) -> Schema:
    """The vault's schema in the folder of keys `folder`, which is `keys` except in a copy."""
    return replace(VAULT, file=f"{folder.name}/{Path(VAULT.file).name}")


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """The wrapped secret of the index of owners; whether the index covers the log."""

    wrapped: bytes
    complete: bool


class VaultStore:
    """The rows of one vault. Its user runs one transaction at a time. Raises DatabaseError."""

    def __init__(self, opened: Database, schema: Schema) -> None:
        """Creates the tables if there are none. Raises SchemaVersionError, DatabaseError."""
        self._database = opened  # which shares its connections as long as somebody holds on to it
        self._engine = opened.engine(schema)
        self._kept = KeptConnection(self._engine, opened.place(schema), schema.busy_ms)
        self._sql = _statements(self._kept.dialect)

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The store of the folder of keys `folder`."""
        return cls(database.of(folder.parent), schema_in(folder))

    def writing(self) -> AbstractContextManager[None]:
        """A transaction that holds the write lock from its beginning. Durable after it."""
        return self._kept.writing()

    def reading(self) -> AbstractContextManager[None]:
        """A transaction that sees the vault as it is at one moment."""
        return self._kept.reading()

    def wrapped(self, subject: str) -> tuple[bytes, str] | None:
        """A customer's wrapped key, and the generation of the key that wraps it."""
        if "\0" in subject:  # which PostgreSQL refuses in a text
            return None
        row: tuple[bytes, str] | None = self._kept.execute(self._sql.one, [subject]).fetchone()
        return row

    def wrapped_keys(self) -> list[tuple[str, bytes]]:
        """Every customer and their wrapped key."""
        rows: list[tuple[str, bytes]] = self._kept.execute(self._sql.every).fetchall()
        return rows

    def numbers(self, subjects: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Those of these customers who have a data key, and their numbers."""
        storable = [each for each in subjects if "\0" not in each]  # PostgreSQL refuses it
        yield from self._among(f"{self._sql.numbers} WHERE subject", storable)

    def named(self, numbers: Sequence[int]) -> Iterator[tuple[str, int]]:
        """The customers who have these numbers, and their numbers."""
        yield from self._among(f"{self._sql.numbers} WHERE number", numbers)

    @property
    def last_number(self) -> int:
        """The largest number that was ever given to a customer."""
        return self._value(self._sql.last_number) or 0

    def set_last_number(self, number: int) -> None:
        self._kept.execute(self._sql.set_last_number, [1, number])

    def any_wrapped(self) -> bytes | None:
        """Some customer's wrapped key."""
        wrapped: bytes | None = self._value(self._sql.some)
        return wrapped

    def add_keys(self, rows: Iterable[tuple[str, bytes, int]]) -> None:
        """Insert customers, their wrapped keys and their numbers."""
        self._kept.execute_many(self._sql.add, rows)

    def replace_keys(self, rows: Iterable[tuple[bytes, str]]) -> None:
        """Replace wrapped keys: (wrapped key, customer)."""
        self._kept.execute_many(self._sql.replace, rows)

    def replace_key(self, subject: str, wrapped: bytes) -> None:
        self._kept.execute(self._sql.replace, [wrapped, subject])

    def delete_key(self, subject: str) -> None:
        self._kept.execute(self._sql.delete, [subject])

    def clean(self) -> None:
        """Free what PostgreSQL keeps of rows that were deleted or replaced.

        SQLite overwrites them in the transaction that deletes them. Not inside a transaction.
        """
        if self._kept.dialect == "postgresql":
            with suppress(DatabaseError):  # the erasure is durable; autovacuum comes later
                self._kept.execute("VACUUM customer, owner")

    @property
    def generation(self) -> str | None:
        """The generation of the active key-encryption key; None if none was recorded yet."""
        generation: str | None = self._value(self._sql.generation)
        return generation

    def adopt_generation(self, generation: str) -> None:
        """Record the active generation, unless one is recorded."""
        self._kept.execute(self._sql.adopt_generation, [1, generation])

    def set_generation(self, generation: str) -> None:
        self._kept.execute(self._sql.set_generation, [1, generation])

    @property
    def erased(self) -> int:
        """How many lines of the erasure list were applied."""
        return self._value(self._sql.erased) or 0

    def set_erased(self, lines: int) -> None:
        self._kept.execute(self._sql.set_erased, [1, lines])

    @property
    def tombstones(self) -> int:
        """How many lines of the list of tombstones were counted."""
        return self._value(self._sql.tombstones) or 0

    def set_tombstones(self, lines: int) -> None:
        self._kept.execute(self._sql.set_tombstones, [1, lines])

    @property
    def owner_key(self) -> OwnerKey | None:
        row = self._kept.execute(self._sql.owner_key).fetchone()
        return None if row is None else OwnerKey(row[0], bool(row[1]))

    def set_owner_key(self, key: OwnerKey) -> None:
        self._kept.execute(self._sql.set_owner_key, [1, key.wrapped, int(key.complete)])

    def owners(self, handles: Sequence[bytes]) -> Iterator[tuple[bytes, str | None, int]]:
        """The rows of the index of owners with these handles."""
        yield from self._among(f"{self._sql.owners} WHERE handle", handles)

    def put_owners(self, rows: Iterable[tuple[bytes, str | None, int]]) -> None:
        """Insert or replace rows of the index of owners: handle, customer, number of the event."""
        self._kept.execute_many(self._sql.put_owner, rows)

    def blank_owners(self, handles: Iterable[bytes]) -> None:
        """Take the customer out of these rows."""
        self._kept.execute_many(self._sql.blank_owner, ((each,) for each in handles))

    def owned(self) -> set[bytes]:
        """The handles of the rows of the index of owners that name a customer."""
        rows = self._kept.execute(f"{self._sql.owners} WHERE subject IS NOT NULL")
        return {handle for handle, _, _ in rows}

    def blank(self) -> set[bytes]:
        """The handles of the rows of the index of owners that name nobody: of erased entries."""
        rows = self._kept.execute(f"{self._sql.owners} WHERE subject IS NULL")
        return {handle for handle, _, _ in rows}

    def clear_owners(self) -> None:
        self._kept.execute(self._sql.clear_owners)

    def add_ended(self, line: int, mark: bytes) -> None:
        self._kept.execute(self._sql.add_ended, [line, mark])

    def ended(self, since: int) -> list[tuple[int, bytes]]:
        """Line of the erasure list and mark of the customers erased after line `since`."""
        rows: list[tuple[int, bytes]] = self._kept.execute(self._sql.ended, [since]).fetchall()
        return rows

    def close(self) -> None:
        self._kept.close()
        self._engine.dispose()

    def _among(self, condition: str, values: Sequence[Any]) -> Iterator[Any]:
        """The rows in which what `condition` ends with is one of these values."""
        for at in range(0, len(values), _MAX_VALUES):
            some = values[at : at + _MAX_VALUES]
            marks = ",".join([self._sql.mark] * len(some))
            yield from self._kept.execute(f"{condition} IN ({marks})", some)

    def _value(self, statement: str) -> Any:
        row = self._kept.execute(statement).fetchone()
        return None if row is None else row[0]


_KEYS = select(CUSTOMER.c.subject, CUSTOMER.c.wrapped)


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Everything in a key store. What an older version has no table for is absent, or 0."""

    wrapped: Sequence[Sequence[Any]]  # customer, wrapped key
    generation: str | None
    erased: int
    tombstones: int
    owner_key: OwnerKey | None
    owners: Sequence[Sequence[Any]]  # handle, customer, number of the event


def stored(taken: SchemaSnapshot, handles: Sequence[bytes] | None = None) -> StoredRows:
    """The rows of a key store, also of one that an older version wrote.

    `handles`: only these rows of the index of owners, and their customers; None: all.
    """
    named = taken.tables()

    def read(query: Select[Any], table: Table) -> Sequence[Sequence[Any]]:
        return taken.rows(query) if table.name in named else []

    def single(column: Column[Any]) -> Any:
        rows = read(select(column), column.table)
        return rows[0][0] if rows else None

    wrapped = single(OWNER_KEY.c.wrapped)
    key = None if wrapped is None else OwnerKey(wrapped, bool(single(OWNER_KEY.c.complete)))
    customers: Sequence[Sequence[Any]]
    owned: Sequence[Any]
    if handles is None:
        customers, owned = taken.rows(_KEYS), read(select(OWNER), OWNER)
    else:
        owned = taken.some_rows(select(OWNER), OWNER.c.handle, handles)
        subjects = {row.subject for row in owned if row.subject is not None}
        customers = taken.some_rows(_KEYS, CUSTOMER.c.subject, sorted(subjects))
    return StoredRows(
        customers,
        single(KEK.c.generation),
        single(ERASED.c.lines) or 0,
        single(TOMBSTONE.c.lines) or 0,
        key,
        owned,
    )


class _Statements:
    """The statements of a `VaultStore`, compiled for one dialect."""

    def __init__(self, dialect: str) -> None:
        def text(statement: Any) -> str:
            return compiled(dialect, statement)

        of_subject, wrapped = CUSTOMER.c.subject == bindparam("of"), select(CUSTOMER.c.wrapped)
        self.mark = mark(dialect)
        self.one = text(
            wrapped.add_columns(select(KEK.c.generation).scalar_subquery()).where(of_subject)
        )
        self.every = text(_KEYS)
        self.numbers = text(select(CUSTOMER.c.subject, CUSTOMER.c.number))
        self.last_number = text(select(NUMBERING.c.last))
        self.set_last_number = text(upsert(dialect, NUMBERING))
        self.some = f"{text(wrapped)} LIMIT 1"
        self.add = text(insert(CUSTOMER))
        self.replace = text(update(CUSTOMER).values(wrapped=bindparam("new")).where(of_subject))
        self.delete = text(delete(CUSTOMER).where(of_subject))
        self.generation = text(select(KEK.c.generation))
        insert_into = (postgresql if dialect == "postgresql" else sqlite).insert
        self.adopt_generation = text(insert_into(KEK).on_conflict_do_nothing())
        self.set_generation = text(upsert(dialect, KEK))
        self.erased = text(select(ERASED.c.lines))
        self.set_erased = text(upsert(dialect, ERASED))
        self.tombstones = text(select(TOMBSTONE.c.lines))
        self.set_tombstones = text(upsert(dialect, TOMBSTONE))
        self.owner_key = text(select(OWNER_KEY.c.wrapped, OWNER_KEY.c.complete))
        self.set_owner_key = text(upsert(dialect, OWNER_KEY))
        self.owners = text(select(OWNER))
        self.put_owner = text(upsert(dialect, OWNER))
        of_handle = OWNER.c.handle == bindparam("of")
        self.blank_owner = text(update(OWNER).values(subject=null()).where(of_handle))
        self.clear_owners = text(delete(OWNER))
        self.add_ended = text(insert(ENDED))
        later = ENDED.c.line > bindparam("since")
        self.ended = text(select(ENDED).where(later).order_by(ENDED.c.line))


@cache
def _statements(dialect: str) -> _Statements:
    return _Statements(dialect)
