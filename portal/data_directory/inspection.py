"""Checks everything in a data directory: `sovereign fsck`.

Every file is checked by its kind in portal.data_directory.inventory. It may be served meanwhile:
nothing is locked and nothing is written.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb

from gate.policy import decisions
from gate.readlog import inspection as read_log_files
from gate.state.ledger_position import published_size
from gate.storage import read_log
from gate.storage.read_log import EVER
from gate.storage.tables import SETS
from ledger import fsck
from ledger.events.envelope import DecisionPolicyPublished, PolicyPublished, ScenePublished
from ledger.fsck import NOTHING, PublicEntries, Since
from ledger.integrity import finding, start
from ledger.integrity.finding import FsckFinding, unreadable
from ledger.integrity.log import Progress
from ledger.integrity.start import DATABASE
from ledger.storage import database
from ledger.storage.database import Database, Schema
from ledger.storage.snapshot import SchemaSnapshot
from ledger.storage.sqlite import LEDGER
from ledger.storage.vault_store import VAULT
from ledger.tlog.checkpoint import Checkpoint
from portal.data_directory import file_checks, inventory, schemas
from portal.data_directory.inventory import RESTORE, Checker, FileKind
from portal.operations.job_results import FILE as JOBS
from portal.operations.open_ledger import EPOCH
from portal.operations.wiring import SECRET
from steward.contracts.archive import SCENE, SOURCE
from steward.oversight import register
from steward.oversight.register import TamperedError
from steward.storage.register import REGISTER


def inspect(
    home: Path,
    progress: Progress = lambda _done, _all: None,
    acts: PublicEntries | None = None,
    since: Since = NOTHING,
) -> Iterator[FsckFinding]:
    """Yield findings about the data directory `home`, each with its file and what to do.

    `acts`, `since`: see `ledger.fsck.fsck`.
    """
    for each in _findings(home, progress, acts or PublicEntries(), since):
        kind = inventory.kind_of(each.file)
        yield each if each.remedy else replace(each, remedy=kind.remedy if kind else RESTORE)


def require_readable(home: Path) -> None:
    """Raise CorruptLogError if a database in `home` is damaged: for a start, before it opens any.

    Read logs of earlier runs are left to `inspect`, so that a start does not grow with them.
    """
    opened = database.of(home)
    for schema in (LEDGER, VAULT, *schemas.OTHERS):
        # An empty file is left by a first start that was cut off; `Ledger.open` tells it from loss.
        # PostgreSQL checks what it reads when it reads it.
        if opened.address(schema) is None and opened.exists(schema):
            start.require_readable(home, schema.file)


def _findings(
    home: Path, progress: Progress, acts: PublicEntries, since: Since
) -> Iterator[FsckFinding]:
    acknowledged = published_size(home / EPOCH)  # before the log is read: it may grow
    yield from fsck.fsck(home, progress, acts, since)
    opened = database.of(home)
    for schema in (LEDGER, VAULT):
        found = finding.content(opened, schema, partial(_absent, schema=schema))
        yield from (each for each in found if each.where == "table")  # others: with the log
    for schema in schemas.read_logs(home):
        yield from _read_log(opened, schema, since.get(Path(schema.file).parent.name))
    for schema in schemas.OTHERS:
        if schemas.begun(opened, schema):
            yield from finding.schema(opened, schema, partial(_content, schema=schema))
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
    if kind.checker is Checker.FILE:
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


def _read_log(opened: Database, schema: Schema, since: Checkpoint | None) -> Iterator[FsckFinding]:
    """The lists and cohorts that the entries of a read log name."""
    place, folder = finding.named(opened, schema), Path(schema.file).parent

    def content(taken: SchemaSnapshot) -> Iterator[FsckFinding]:
        with read_log.read(taken) as stored:
            begin = since.size if since else 0
            indexed = SETS.name in taken.tables()  # an earlier version has no such table
            answered = dict(stored.answered(EVER)) if indexed else {}
            wrong = read_log_files.missing(stored, opened.home / folder, answered, begin)
            for file, what in wrong:
                yield FsckFinding("read log", what, f"{folder / file}" if file else place)

    found = finding.content(opened, schema, content)
    yield from (each for each in found if each.where == "read log")  # others: with the log


def _absent(taken: SchemaSnapshot, schema: Schema) -> Iterator[FsckFinding]:
    kind = inventory.kind_of(schema.file)
    if kind and (absent := kind.tables - taken.tables()):
        yield FsckFinding("table", f"{', '.join(sorted(absent))} missing")


def _content(taken: SchemaSnapshot, schema: Schema) -> Iterator[FsckFinding]:
    yield from _absent(taken, schema)
    if schema is REGISTER:
        try:
            with taken.connected() as reading:
                register.require_chain(reading)
        except TamperedError as error:
            yield FsckFinding(f"entry {error.number}", "the hash chain is broken here")


def _missing(home: Path, acts: PublicEntries) -> Iterator[FsckFinding]:
    """What the log, or another file, shows to have been there."""
    for file in dict.fromkeys(_wanted(home, acts)):
        if not (home / file).exists():
            yield FsckFinding("", "it is missing", file)
    opened = database.of(home)
    for schema in schemas.SERVED if (home / JOBS).exists() else ():
        if not schemas.begun(opened, schema):
            yield FsckFinding("", "it is missing", finding.named(opened, schema))


def _wanted(home: Path, acts: PublicEntries) -> Iterator[str]:
    for event in acts.events.values():
        if isinstance(event, ScenePublished):
            yield from (f"contracts/{event.digest}/{name}" for name in (SCENE, SOURCE))
        elif isinstance(event, PolicyPublished):
            yield f"policies/{event.digest}"
        elif isinstance(event, DecisionPolicyPublished) and event.digest != decisions.NONE:
            yield f"{decisions.FOLDER.as_posix()}/{event.digest}.json"
    if (home / "reads").is_dir():
        yield SECRET.as_posix()
