"""Reads and writes the feed of changes: see gate.storage.change_tables for what is stored."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Table, and_, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from gate.storage.change_tables import (
    CHANGE,
    CHANGES,
    DEPARTING,
    FOLDED,
    LOST,
    NAMED,
    POSITION,
    RECEIVED,
)
from gate.storage.statement import Put
from ledger.storage import database
from ledger.storage.database import DatabaseError, exclusive, truncate_log

SIZE = 16  # bytes of a pseudonym
_GENERATION_SIZE = 16
_MAX_VALUES = 500  # in one statement
_PUT_RECEIVED = Put(RECEIVED, "allowed", "ledger_size")
_PUT_NAMED = Put(NAMED, "members")
_PUT_LOST = Put(LOST, "allowed")
_PUT_FOLDED = Put(FOLDED, "entries")
_PUT_DEPARTING = Put(DEPARTING, "hash", "pseudonyms", "notified", "since")

Fields = tuple[str, ...]  # sorted
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far the feed has come. `minute`: as in consent bits; `terms`: digest of the contracts;
    `stale`: by scene, the triggers whose signal was too old then.

    Lines up to `floor` are no longer kept: those of before `kept_since` (seconds since 1970; 0:
    all are kept).
    """

    generation: bytes
    ledger_size: int
    minute: int
    terms: str = ""
    stale: Mapping[str, int] = field(default_factory=dict)
    last: int = 0
    floor: int = 0
    kept_since: int = 0


class FoldedLog(NamedTuple):
    """How many entries of a read log were folded."""

    origin: str
    entries: int


@dataclass(frozen=True, slots=True)
class ReceivedFields:
    """What a service received of one customer; `allowed`: those fields that it may still have.

    `customer`: a pseudonym if it was a single read, a number if they were one of many.
    `ledger_size`: of the latest such read, unless the feed has passed it already.
    """

    customer: bytes | int
    service: str
    scene: str
    fields: Fields
    allowed: Fields
    ledger_size: int


@dataclass(frozen=True, slots=True)
class NamedSet:
    """The customers of whom a service received these fields in answers with ids."""

    service: str
    scene: str
    fields: Fields
    members: bytes


@dataclass(frozen=True, slots=True)
class Departing:
    """A customer whose erasure began. `notified`: the services that have a line about it.

    `hash`: what services recognise the id by. `since`: when the feed noticed that the data key is
    gone, in seconds since 1970; None: it is still there.
    """

    customer: int
    hash: bytes
    pseudonyms: tuple[bytes, ...]
    notified: tuple[str, ...] = ()
    since: int | None = None


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One line of the feed. `at`, `until`: seconds since 1970; `number`: 0 before it is stored.

    A line about an erased customer has a `hash` in place of the number, and is about every scene.
    """

    service: str
    customer: int | None
    hash: bytes | None
    scene: str | None
    action: str
    fields: Fields
    reason: str
    ledger_size: int
    at: int
    until: int | None
    number: int = 0


class ChangeStore:
    """The feed's database. Thread-safe."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._database = database.of(home)
        self._engine = self._database.engine(CHANGES)

    @contextmanager
    def writing(self) -> Iterator["ChangeTables"]:
        """One transaction, of one process at a time. Durable after it. Raises DatabaseError."""
        with _reported(), exclusive(self._engine) as connection:
            yield ChangeTables(connection)

    def lines(self, service: str, after: int, limit: int) -> list[ChangeLine]:
        """At most `limit` lines of a service after line `after`, in order. Raises DatabaseError."""
        of_service = select(CHANGE).where(CHANGE.c.service == service, CHANGE.c.number > after)
        with _reported(), self._engine.connect() as connection:
            rows = connection.execute(of_service.order_by(CHANGE.c.number).limit(limit))
            return [_line(each) for each in rows.mappings()]

    def overwrite(self) -> None:
        """Leave nothing of deleted rows in SQLite's write-ahead log."""
        truncate_log(self._engine)


class ChangeTables:
    """The tables in one transaction. Not thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def has_begun(self) -> bool:
        return self._connection.execute(select(POSITION.c.id)).first() is not None

    def position(self) -> FeedPosition:
        """The position of a feed that has begun."""
        columns = [each for each in POSITION.c if not each.primary_key]
        known = dict(self._connection.execute(select(*columns)).mappings().one())
        generation, stale = bytes(known.pop("generation")), json.loads(known.pop("stale"))
        return FeedPosition(generation=generation, stale=stale, **known)

    def refuse_earlier_tokens(self) -> None:
        """Change the generation. What was received stays."""
        new = secrets.token_bytes(_GENERATION_SIZE)
        self._connection.execute(update(POSITION).values(generation=new))

    def any(self) -> bool:
        """Whether anything was received by anybody."""
        some = (select(each.c.service).limit(1) for each in (RECEIVED, NAMED))
        return any(self._connection.execute(each).first() is not None for each in some)

    def begin(self, ledger_size: int, minute: int) -> FeedPosition:
        """The first position of a new feed."""
        begun = FeedPosition(secrets.token_bytes(_GENERATION_SIZE), ledger_size, minute)
        self._connection.execute(insert(POSITION), {"id": 1, **_values(begun)})
        return begun

    def move(self, position: FeedPosition) -> None:
        self._connection.execute(update(POSITION).values(**_values(position)))

    def folded(self) -> dict[str, FoldedLog]:
        """By instance."""
        rows = self._connection.execute(select(FOLDED))
        return {name: FoldedLog(origin, entries) for name, origin, entries in rows}

    def fold(self, instance: str, origin: str, entries: int) -> None:
        self._put(_PUT_FOLDED, [(instance, origin, entries)])

    def put(self, received: Iterable[ReceivedFields]) -> None:
        single, among = [], list[ReceivedFields]()
        for each in received:
            if isinstance(each.customer, int):
                among.append(each)
                continue
            key = each.customer, each.service, each.scene, _text(each.fields)
            single.append((*key, _text(each.allowed), each.ledger_size))
        self._put(_PUT_RECEIVED, single)
        self._put(
            _PUT_LOST,
            [
                (e.service, e.scene, _text(e.fields), e.customer, _text(e.allowed))
                for e in among
                if e.allowed != e.fields
            ],
        )
        for each in among:
            if each.allowed == each.fields:
                gone = _of_set(LOST, each.service, each.scene, each.fields)
                self._connection.execute(delete(LOST).where(gone, LOST.c.customer == each.customer))

    def received(self, pseudonyms: Iterable[bytes]) -> Iterator[ReceivedFields]:
        """What single reads delivered of the customers with these pseudonyms."""
        for some in _parts(pseudonyms):
            of_some = select(RECEIVED).where(RECEIVED.c.pseudonym.in_(some))
            rows = self._connection.execute(of_some)
            for pseudonym, service, scene, fields, allowed, size in rows:
                key = bytes(pseudonym), service, scene, _fields(fields)
                yield ReceivedFields(*key, _fields(allowed), size)

    def forget(self, each: Departing) -> None:
        """Remove whatever is stored of a customer but the note of their erasure."""
        for some in _parts(each.pseudonyms):
            self._connection.execute(delete(RECEIVED).where(RECEIVED.c.pseudonym.in_(some)))
        for table in (LOST, CHANGE):
            of_customer = table.c.customer == each.customer
            self._connection.execute(delete(table).where(of_customer))

    def named(self, service: str, scene: str, fields: Fields) -> NamedSet | None:
        of_set = _of_set(NAMED, service, scene, fields)
        members = self._connection.execute(select(NAMED.c.members).where(of_set)).scalar()
        return None if members is None else NamedSet(service, scene, fields, bytes(members))

    def put_named(self, named: NamedSet) -> None:
        row = named.service, named.scene, _text(named.fields), named.members
        self._put(_PUT_NAMED, [row])

    def every_named(self) -> list[NamedSet]:
        """All sets: a bit a customer for each."""
        return [
            NamedSet(service, scene, _fields(fields), bytes(members))
            for service, scene, fields, members in self._connection.execute(select(NAMED))
        ]

    def lost_of(self, named: NamedSet) -> list[int]:
        """The customers in a set who do not allow all of its fields any more."""
        of_set = _of_set(LOST, named.service, named.scene, named.fields)
        return [*self._connection.execute(select(LOST.c.customer).where(of_set)).scalars()]

    def lost(self, customers: Iterable[int]) -> Iterator[ReceivedFields]:
        """Of each of these customers, the sets of which they do not allow all fields."""
        for some in _parts(customers):
            rows = self._connection.execute(select(LOST).where(LOST.c.customer.in_(some)))
            for service, scene, fields, customer, allowed in rows:
                yield ReceivedFields(customer, service, scene, _fields(fields), _fields(allowed), 0)

    def departing(self) -> list[Departing]:
        rows = self._connection.execute(select(DEPARTING).order_by(DEPARTING.c.customer))
        return [
            Departing(number, bytes(hashed), _split(bytes(names)), _fields(notified), since)
            for number, hashed, names, notified, since in rows
        ]

    def put_departing(self, each: Departing) -> None:
        names = b"".join(each.pseudonyms)
        row = each.customer, each.hash, names, _text(each.notified), each.since
        self._put(_PUT_DEPARTING, [row])

    def departed(self, customer: int) -> None:
        """Remove the row of a customer who was erased."""
        self._connection.execute(delete(DEPARTING).where(DEPARTING.c.customer == customer))

    def append(self, lines: Sequence[ChangeLine], position: FeedPosition, at: int) -> FeedPosition:
        """Add lines after the last one, in this order."""
        rows = [
            {**_columns(each), "number": position.last + n, "noted": at}
            for n, each in enumerate(lines, 1)
        ]
        if rows:
            self._connection.execute(insert(CHANGE), rows)
        return replace(position, last=position.last + len(rows))

    def prune(self, position: FeedPosition, before: int) -> FeedPosition:
        """Remove the lines that were added before then (seconds since 1970)."""
        old = CHANGE.c.noted < before
        highest = select(func.max(CHANGE.c.number)).where(old)
        if (floor := self._connection.execute(highest).scalar()) is None:
            return position
        self._connection.execute(delete(CHANGE).where(old))
        pruned = replace(position, floor=floor, kept_since=before)
        self.move(pruned)
        return pruned

    def _put(self, put: Put, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            named = [dict(zip(put.names, row, strict=True)) for row in rows]
            self._connection.execute(put.on(self._connection), named)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseError(
            "the feed of changes cannot be read or written: check its database, or the disk"
        ) from error


def _of_set(table: Table, service: str, scene: str, fields: Fields) -> ColumnElement[bool]:
    known = table.c.service == service, table.c.scene == scene, table.c.fields == _text(fields)
    return and_(*known)


def _parts(values: Iterable[T]) -> Iterator[list[T]]:
    """As many as one statement takes."""
    left = iter(values)
    while some := [*islice(left, _MAX_VALUES)]:
        yield some


def _values(position: FeedPosition) -> dict[str, object]:
    known = {name: getattr(position, name) for name in FeedPosition.__slots__}
    return known | {"stale": json.dumps(position.stale)}


def _columns(line: ChangeLine) -> dict[str, object]:
    names = [name for name in ChangeLine.__slots__ if name != "fields"]
    return {name: getattr(line, name) for name in names} | {"fields": _text(line.fields)}


def _line(row: Mapping[Any, Any]) -> ChangeLine:
    names = [name for name in ChangeLine.__slots__ if name not in {"fields", "hash"}]
    hashed = row["hash"]
    return ChangeLine(
        **{name: row[name] for name in names},
        fields=_fields(row["fields"]),
        hash=None if hashed is None else bytes(hashed),
    )


def _text(fields: Fields) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _fields(text: str) -> Fields:
    return tuple(json.loads(text))


def _split(names: bytes) -> tuple[bytes, ...]:
    return tuple(names[at : at + SIZE] for at in range(0, len(names), SIZE))
