"""A finding of fsck, and the check of one database that every other check begins with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import Connection

from sqlalchemy.exc import DBAPIError

from ledger.storage import snapshot
from ledger.storage.snapshot import DamagedDatabaseError, UnavailableDatabaseError


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


def database(
    home: Path,
    file: str,
    content: Callable[[Connection], Findings] = lambda _connection: iter(()),
) -> Findings:
    """What SQLite's own checks find in one database; if nothing, what `content` finds in it."""
    try:
        with snapshot.opened(home / file) as connection:
            damaged = [FsckFinding("database", each, file) for each in snapshot.damage(connection)]
            yield from damaged or (each.inside(file) for each in content(connection))
    except DamagedDatabaseError as error:
        yield FsckFinding("database", str(error), file)
    except UnavailableDatabaseError as error:
        yield FsckFinding("database", f"it cannot be read: {error}", file, looked=False)
    except DBAPIError as error:  # of the log store, which reads through SQLAlchemy
        yield FsckFinding("database", str(error.orig), file)
    except (ValueError, TypeError, LookupError) as error:  # damage may put any value anywhere
        what = f"its content cannot be understood ({type(error).__name__})"
        yield FsckFinding("database", what, file)
    except OSError as error:
        yield replace(unreadable(file, error), where="database")
