"""The files of a data directory: who may read keys, and whether databases can be used."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from stat import S_IMODE

from ledger.errors import CorruptLogError
from ledger.integrity import finding, start
from ledger.integrity.finding import FsckFinding
from ledger.storage import database, lock_holder, writer_lock
from ledger.storage.database import Database, Schema
from ledger.storage.snapshot import SchemaSnapshot
from ledger.storage.vault_store import VAULT
from portal.data_directory import schemas

PUBLIC = ".vkey"  # files in keys/ that everybody may read
OTHERS, OTHERS_WRITE = 0o077, 0o022


def permissions(home: Path) -> Iterator[FsckFinding]:
    """Private keys that others than the owner may read or write, and folders they may write."""
    for folder in (home, home / "keys"):
        mode = S_IMODE(folder.stat().st_mode)
        if mode & OTHERS_WRITE:
            what = f"others may write this folder (mode {mode:o})"
            yield FsckFinding("permissions", what, str(folder), f"chmod go-w {folder}")
    private = [each for each in sorted((home / "keys").rglob("*")) if each.suffix != PUBLIC]
    for path in (*private, *sorted((home / "witnesses").glob("*.key"))):
        if path.is_file() and (mode := S_IMODE(path.stat().st_mode)) & OTHERS:
            file = path.relative_to(home).as_posix()
            what = f"others than its owner may use it (mode {mode:o}, want 600)"
            remedy = f"chmod 600 {path}, and ask who read it: rotate the key if you do not know"
            yield FsckFinding("permissions", what, file, remedy)


def lock(home: Path) -> Iterator[FsckFinding]:
    """A process that is stopped (Ctrl-Z, SIGSTOP) and keeps the right to write, or a lock."""
    for file in (writer_lock.NAME, Path(VAULT.file)):
        if (home / file).exists() and (holder := lock_holder.stopped(home / file)) is not None:
            what = f"{holder} is stopped and keeps its lock, so nobody else can write"
            remedy = "let it continue (kill -CONT), or end it"
            yield FsckFinding("lock", what, file.as_posix(), remedy)


def databases(home: Path) -> Iterator[FsckFinding]:
    """Databases of another version, and SQLite files whose pages cannot be read."""
    opened = database.of(home)
    for each in schemas.every(home):
        if schemas.begun(opened, each):
            yield from _pages(opened, each) or finding.content(
                opened, each, partial(_version, schema=each)
            )


def _pages(opened: Database, schema: Schema) -> list[FsckFinding]:
    if opened.address(schema) is None:  # PostgreSQL checks pages when it reads them
        try:
            start.require_readable(opened.home, schema.file)
        except CorruptLogError as error:
            return [FsckFinding("database", str(error), schema.file)]
    return []


def _version(taken: SchemaSnapshot, schema: Schema) -> Iterator[FsckFinding]:
    found = taken.version()
    if found != schema.version:
        what = f"its tables have version {found}, want {schema.version}"
        remedy = "run sovereign migrate, or install the program that wrote them"
        yield FsckFinding("database", what, remedy=remedy)
