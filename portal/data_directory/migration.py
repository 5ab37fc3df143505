"""Brings a data directory to the version of this program: `sovereign migrate`.

First all tables, then the map of latest states: ledger.map_binding. Read logs of earlier versions,
whose processes held no lock, are taken for ended, because nothing may run during a migration.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gate.storage import instance_lock
from ledger import map_binding
from ledger.service import Ledger
from ledger.storage import database, migration
from ledger.storage.writer_lock import WriterLock
from portal.data_directory import schemas

UNVERSIONED = "before versions"
UNBOUND, BOUND = "labels of first instructions", "labels of {} customers' ids"


@dataclass(frozen=True, slots=True)
class Migrated:
    """A schema or the map that was migrated, and its versions before and after."""

    schema: str
    before: str
    after: str


def migrate(home: Path) -> Iterator[Migrated]:
    """Migrate what is older than this program; each schema is durable when it is yielded.

    Killed in between, the rest is migrated by the next run. Raises WriterBusyError if somebody
    writes the data directory, SchemaVersionError if a newer program wrote it, DatabaseError, and
    CorruptLogError if the map cannot be bound.
    """
    lock = WriterLock(home)
    lock.acquire()
    try:
        opened = database.of(home)
        for schema in schemas.every(home):
            if (versions := migration.migrate(opened, schema)) is not None:
                yield Migrated(schema.name, versions[0] or UNVERSIONED, versions[1])
        if earlier := instance_lock.take_for_ended(home):
            yield Migrated(
                "read logs", f"{earlier} of earlier programs", "closed by the next start"
            )
        if Ledger.exists(home) and (bound := map_binding.bind(home)) is not None:
            yield Migrated("map", UNBOUND, BOUND.format(bound))
    finally:
        lock.release()
