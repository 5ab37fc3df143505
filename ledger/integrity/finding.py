"""A finding of fsck, and the check of one database that every other check begins with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import Connection
from typing import Self

from sqlalchemy.exc import DBAPIError

from ledger.storage import snapshot
from ledger.storage.database import Database, Schema
from ledger.storage.snapshot import (
    DamagedDatabaseError,
    SchemaSnapshot,
    UnavailableDatabaseError,
)


@dataclass(frozen=True, slots=True)
class FsckFinding:
    """`file` is relative to the data directory; `looked`: False if the check could not be made."""

    where: str
    what: str
    file: str = ""
    remedy: str = ""
    looked: bool = True

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.file, self.where)))
        return f"{place}: {self.what}{self.remedy and f'; {self.remedy}'}"

    def inside(self, file: str) -> "FsckFinding":
        """The same finding in `file`, unless it already names a file."""
        return self if self.file else replace(self, file=file)


Findings = Iterator[FsckFinding]


def unreadable(file: str, error: OSError) -> FsckFinding:
    """The finding about a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return FsckFinding("", "the file is missing", file)
    return FsckFinding("", f"it cannot be read: {error.strerror}", file, looked=False)


def schema(
    opened: Database,
    schema: Schema,
    content: Callable[[SchemaSnapshot], Findings] = lambda _taken: iter(()),
) -> Findings:
    """What the database's own checks find in one schema; if nothing, what `content` finds in it."""
    place = named(opened, schema)
    with _Reported(place) as reported, snapshot.taken(opened, schema) as taken:
        damaged = [FsckFinding("database", each, place) for each in taken.damage()]
        yield from damaged or (each.inside(place) for each in content(taken))
    yield from reported.findings


def content(
    opened: Database, schema: Schema, content: Callable[[SchemaSnapshot], Findings]
) -> Findings:
    """What `content` finds in one schema, whose database is not checked itself."""
    place = named(opened, schema)
    with _Reported(place) as reported, snapshot.taken(opened, schema) as taken:
        yield from (each.inside(place) for each in content(taken))
    yield from reported.findings


def named(opened: Database, schema: Schema) -> str:
    """How a finding names a schema: its file in the data directory, or where PostgreSQL has it."""
    return schema.file if opened.address(schema) is None else opened.place(schema)


def database(
    home: Path,
    file: str,
    content: Callable[[Connection], Findings] = lambda _connection: iter(()),
) -> Findings:
    """As `schema`, for a SQLite file of the data directory."""
    with _Reported(file) as reported, snapshot.opened(home / file) as connection:
        damaged = [FsckFinding("database", each, file) for each in snapshot.damage(connection)]
        yield from damaged or (each.inside(file) for each in content(connection))
    yield from reported.findings


class _Reported:
    """Turns an error of a database check into a finding. `file`: the database."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.findings: list[FsckFinding] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, DBAPIError):  # of the log store, which reads through SQLAlchemy
            error = snapshot.explained(error)
        match error:
            case DamagedDatabaseError():
                found = FsckFinding("database", str(error), self._file)
            case UnavailableDatabaseError():
                what = f"it cannot be read: {error}"
                found = FsckFinding("database", what, self._file, looked=False)
            case ValueError() | TypeError() | LookupError():  # damage may put any value anywhere
                what = f"its content cannot be understood ({type(error).__name__})"
                found = FsckFinding("database", what, self._file)
            case OSError():
                found = replace(unreadable(self._file, error), where="database")
            case _:
                return False
        self.findings.append(found)
        return True
