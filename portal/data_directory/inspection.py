"""Checks everything in a data directory: `sovereign fsck`.

Every file is checked by its kind in portal.data_directory.inventory. It may be served meanwhile:
nothing is locked and nothing is written.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from sqlite3 import Connection

import duckdb

from gate.readlog import inspection as read_log_files
from gate.state.ledger_position import published_size
from ledger import fsck
from ledger.events.envelope import PolicyPublished, ScenePublished
from ledger.fsck import PublicEntries
from ledger.integrity import finding, start
from ledger.integrity.finding import FsckFinding, unreadable
from ledger.integrity.log import Progress
from ledger.integrity.start import DATABASE, READ_LOG
from ledger.storage import snapshot
from portal.data_directory import file_checks, inventory
from portal.data_directory.inventory import RESTORE, Checker, FileKind
from portal.operations.job_results import FILE as JOBS
from portal.operations.open_ledger import EPOCH
from portal.operations.wiring import SECRET
from steward.cases import case_store
from steward.contracts.archive import SCENE, SOURCE
from steward.oversight import register
from steward.oversight.register import TamperedError

REGISTER = "register.sqlite"
SERVED = (case_store.DATABASE, REGISTER)  # a product that was served has them


def inspect(home: Path, progress: Progress = lambda _done, _all: None) -> Iterator[FsckFinding]:
    """Yield findings about the data directory `home`, each with its file and what to do."""
    for each in _findings(home, progress):
        kind = inventory.kind_of(each.file)
        yield each if each.remedy else replace(each, remedy=kind.remedy if kind else RESTORE)


def require_readable(home: Path) -> None:
    """Raise CorruptLogError if a database in `home` is damaged: for a start, before it opens any.

    Read logs of earlier runs are left to `inspect`, so that a start does not grow with them.
    """
    for kind in inventory.KINDS:
        path = home / kind.pattern
        # An empty file is left by a first start that was cut off; `Ledger.open` tells it from loss.
        if kind.is_database and path.is_file() and path.stat().st_size:
            start.require_readable(home, kind.pattern)


def _findings(home: Path, progress: Progress) -> Iterator[FsckFinding]:
    acknowledged = published_size(home / EPOCH)  # before the log is read: it may grow
    acts = PublicEntries()
    yield from fsck.fsck(home, progress, acts)
    yield from _tables(home)
    for path in sorted(home.glob(f"reads/*/{READ_LOG}")):
        yield from _read_log(home, path.parent)
    if acts.size and acknowledged > acts.size:
        what = f"{EPOCH} says that {acknowledged} entries were given out, the log has {acts.size}"
        yield FsckFinding("log", what, DATABASE)
    for file in files(home):
        if (kind := inventory.kind_of(file)) is not None:
            yield from _file(home, file, kind)
    yield from _missing(home, acts)


def files(home: Path) -> Iterator[str]:
    """The path of every file in the data directory, relative to it."""
    for path in sorted(home.rglob("*")):
        if path.is_file():
            yield path.relative_to(home).as_posix()


def _file(home: Path, file: str, kind: FileKind) -> Iterator[FsckFinding]:
    if kind.checker is Checker.DATABASE:
        yield from finding.database(home, file, lambda connection: _content(connection, file, kind))
    elif kind.checker is Checker.FILE:
        yield from _checked(home, file, kind)


def _checked(home: Path, file: str, kind: FileKind) -> Iterator[FsckFinding]:
    try:
        wrong = file_checks.BY_PATTERN[kind.pattern](home / file)
    except FileNotFoundError:
        return  # a running product removed or replaced it since it was listed
    except OSError as error:
        yield unreadable(file, error)
    except duckdb.Error as error:
        what = f"it cannot be opened beside another process ({type(error).__name__})"
        yield FsckFinding("", what, file, looked=False)
    else:
        if wrong is not None:
            yield FsckFinding("", wrong, file)


def _tables(home: Path) -> Iterator[FsckFinding]:
    """The tables that the log's and the vault's databases must have."""
    for kind in inventory.KINDS:
        if kind.tables and kind.checker is Checker.LEDGER and (home / kind.pattern).exists():
            found = finding.database(home, kind.pattern, partial(_absent, kind=kind))
            yield from (each for each in found if each.where == "table")  # others: with the log


def _read_log(home: Path, folder: Path) -> Iterator[FsckFinding]:
    """The lists and cohorts that the entries of a read log name."""
    place = folder.relative_to(home).as_posix()

    def content(connection: Connection) -> Iterator[FsckFinding]:
        for file, what in read_log_files.missing(connection, folder):
            yield FsckFinding("read log", what, f"{place}/{file or READ_LOG}")

    found = finding.database(home, f"{place}/{READ_LOG}", content)
    yield from (each for each in found if each.where == "read log")  # others: with the log


def _absent(connection: Connection, kind: FileKind) -> Iterator[FsckFinding]:
    if absent := kind.tables - snapshot.tables(connection):
        yield FsckFinding("table", f"{', '.join(sorted(absent))} missing", kind.pattern)


def _content(connection: Connection, file: str, kind: FileKind) -> Iterator[FsckFinding]:
    yield from _absent(connection, kind)
    if file == REGISTER:
        try:
            register.require_chain(connection)
        except TamperedError as error:
            yield FsckFinding(f"entry {error.number}", "the hash chain is broken here", file)


def _missing(home: Path, acts: PublicEntries) -> Iterator[FsckFinding]:
    """Files that the log, or another file, shows to have been there."""
    wanted: list[str] = []
    for event in acts.events.values():
        if isinstance(event, ScenePublished):
            wanted += [f"contracts/{event.digest}/{name}" for name in (SCENE, SOURCE)]
        elif isinstance(event, PolicyPublished):
            wanted += [f"policies/{event.digest}"]
    if (home / "reads").is_dir():
        wanted += [SECRET.as_posix()]
    if (home / JOBS).exists():
        wanted += SERVED
    for file in dict.fromkeys(wanted):
        if not (home / file).exists():
            yield FsckFinding("", "it is missing", file)
