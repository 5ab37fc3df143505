"""Where a data directory's tables are: the settings `database` and `vault_database`.

The data directory remembers both (ledger.storage.database), so that a command which is only given
the directory never begins a second log beside the first. A data directory moves from one database
to another by `sovereign backup` and `sovereign restore`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url

from ledger.integrity import published
from ledger.storage import database
from ledger.storage.database import REMEMBERED, Database, Schema
from ledger.storage.log_store import log_reader
from ledger.storage.sqlite import LEDGER, SqlStore
from ledger.storage.vault_store import VAULT
from ledger.tlog import atomic_file, signed_note
from portal.configuration.sources import SettingError
from portal.operations.settings import Settings

FILES = "sqlite:///"


@contextmanager
def settled(settings: Settings) -> Iterator[None]:
    """As `settle`, for a writer that opens its ledger in the context.

    If that fails, the data directory remembers what it did before.
    """
    home = settings.data_dir
    before = database.remembered(home)
    settle(settings)
    try:
        yield
    except BaseException:
        if database.remembered(home) != before:
            remember(home, *before)
        raise


def settle(settings: Settings) -> None:
    """Let everybody who opens the data directory use the databases of the settings.

    An empty setting leaves what is remembered. Durable on return. The caller is the writer. Raises
    SettingError if a setting names no database, or not the one with this data directory's log;
    DatabaseError.
    """
    home = settings.data_dir
    before, wanted = database.remembered(home), addresses(settings)
    if wanted == before:
        return
    if _begun(home):
        if wanted[0] != before[0]:
            _require_there(home, "database", LEDGER, wanted)
        if wanted[1] != before[1]:
            _require_there(home, "vault_database", VAULT, wanted)
    remember(home, *wanted)


def addresses(settings: Settings) -> tuple[str, str]:
    """Where the settings, or else the data directory, have the tables and those of the vault.

    Empty: files. Raises SettingError if a setting names no database; DatabaseError.
    """
    home = settings.data_dir
    before = database.remembered(home)
    return (
        _address(home, "database", settings.database) if settings.database else before[0],
        _address(home, "vault_database", settings.vault_database)
        if settings.vault_database
        else before[1],
    )


def remember(home: Path, address: str, vault: str) -> None:
    """Let everybody who opens the data directory use these addresses. Durable on return."""
    content = json.dumps({"database": address, "vault": vault}, separators=(",", ":"))
    atomic_file.write(home / REMEMBERED, content.encode(), database.OWNER_ONLY)


def _address(home: Path, name: str, value: str) -> str:
    """The address to remember; empty for files in the data directory."""
    if not value.startswith(FILES):
        return value
    folder = Path(value.removeprefix(FILES))
    if folder.resolve() != home.resolve():
        raise SettingError(
            f"{name} is {value!r}: SQLite files are in the data directory, want"
            f" {FILES}{home.resolve()} or an address at postgresql://…"
        )
    return ""


def _begun(home: Path) -> bool:
    """Whether the data directory has a log, wherever its entries are."""
    return (home / "keys" / "consent.vkey").exists()


def _require_there(home: Path, setting: str, schema: Schema, wanted: tuple[str, str]) -> None:
    """The tables of an existing data directory are at the new address. Raises SettingError."""
    address = wanted[1] if schema.vault else wanted[0]
    there = Database(home, *wanted)
    try:
        if there.exists(schema):
            if schema is LEDGER:
                _require_own(home, log_reader(there, LEDGER), there.place(LEDGER))
            return
    finally:
        there.close()
    where = make_url(address).render_as_string() if address else "files in the data directory"
    raise SettingError(
        f"{setting} names {where}, where this data directory has no tables ({home} has them"
        " elsewhere): correct the setting, or move them with `sovereign backup` and `restore`"
    )


def _require_own(home: Path, store: SqlStore, place: str) -> None:
    """The log in `store` is signed with this data directory's keys. Raises SettingError."""
    head = store.head()
    store.close()
    with suppress(ValueError):
        if head is not None:
            keys = published.trusted(home / "keys" / "consent.vkey")
            keys.verify(signed_note.parse(head.note))
            return
    raise SettingError(
        f"database names {place}, where the log of another data directory is than {home}: correct"
        " the setting"
    )
