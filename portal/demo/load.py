"""Fill an empty data directory: customers, scenes, grants, synthetic releases.

Every step looks at what is there and does the rest, so an interrupted load continues.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from gate.contract import Scene
from ledger.event import Granted, Instruction, SyntheticReleased, Wording
from ledger.ledger import Ledger
from portal.demo.customers import build
from portal.demo.grants import initial_grants
from portal.product import Product, synthesised

BATCH = 5_000
EPSILON = 1.0  # per release; delta follows from the number of customers
AGREED_BEFORE = timedelta(days=30)  # the newest grant is this old, so that none has expired

Progress = Callable[[str, int, int], None]  # what, done, of


def customers(home: Path) -> None:
    """Build the personal table unless it is there. The rename makes it all or nothing."""
    database = home / "customers.duckdb"
    if not database.exists():
        home.mkdir(parents=True, exist_ok=True)
        unfinished = home / "customers.unfinished"
        unfinished.unlink(missing_ok=True)
        build(unfinished)
        unfinished.rename(database)


def grants(ledger: Ledger, scenes: dict[str, Scene], progress: Progress) -> int:
    """Record the initial grants that the ledger does not hold yet; how many there are in all."""
    batch: list[Instruction] = []
    total = 0
    everything = list(initial_grants())
    for instruction in _missing(ledger, scenes, everything):
        batch.append(instruction)
        if len(batch) == BATCH:
            ledger.record(batch)
            total += len(batch)
            batch = []
            progress("recording grants", total, len(everything))
    if batch:
        ledger.record(batch)
    progress("recording grants", len(everything), len(everything))
    return len(everything)
