"""Checks the stored transitions of the map, as an auditor does: ledger.statemap.map_replay."""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.integrity.finding import FsckFinding
from ledger.statemap import transition_auditor
from ledger.statemap.transition_auditor import CountedLog
from ledger.storage.snapshot import SchemaSnapshot
from ledger.storage.sqlite import LEDGER, STATE_PREFIX, SqlLog
from ledger.tlog import checkpoint, signed_note, tiles
from ledger.tlog.fetcher import UnreadableError
from ledger.tlog.tiles import MalformedTileError

TRANSITION = f"{STATE_PREFIX}transition"


@dataclass(frozen=True, slots=True)
class _StoredBundles:
    store: SqlLog

    def entries(self, n: int) -> list[bytes]:
        try:
            return tiles.unbundle(self.store.bundle(n) or b"")
        except MalformedTileError as error:
            raise UnreadableError(f"entry bundle {n}", str(error)) from error


def check(taken: SchemaSnapshot, consent: SqlLog) -> Iterator[FsckFinding]:
    """Check every transition. What is wrong with the logs themselves is found with them."""
    if TRANSITION not in taken.tables():
        if taken.version() == LEDGER.version:  # an earlier one has no such table
            yield FsckFinding(f"table {TRANSITION}", "missing")
        return
    states = taken.store().state_store()
    counted = _counted(states), _counted(consent)
    if counted[0] is None or counted[1] is None:
        return
    report = transition_auditor.audit(counted[0], counted[1], states.transitions())
    for each in report.findings:
        yield FsckFinding(f"table {TRANSITION}", each.message)


def _counted(log: SqlLog) -> CountedLog | None:
    if (head := log.head()) is None:
        return None
    try:
        return CountedLog(_StoredBundles(log), checkpoint.parse(signed_note.parse(head.note).text))
    except ValueError:
        return None
