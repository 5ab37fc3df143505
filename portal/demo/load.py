"""Fills a data directory with the demonstration's customers and grants.

Every step does only what is missing, so an interrupted load continues.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from gate.contracts import company
from gate.reads.bulk import record_batches
from gate.reads.sources import interface
from gate.reads.sources.interface import RowSource
from ledger import clock
from ledger.events.envelope import Granted, Instruction, Wording
from ledger.service import Ledger
from portal.consent.wording import wording
from portal.demo.sources import deliveries
from portal.demo.sources.customers import build
from portal.demo.sources.grants import Grant, initial_grants
from portal.operations.company_folder import example
from portal.operations.wiring import Product
from portal.web import i18n

BATCH = 5_000  # instructions recorded at once
AGREED_BEFORE = timedelta(days=30)  # when the customers of the demonstration agreed

Progress = Callable[[int, int], None]  # done, of


def customers(home: Path) -> None:
    """Build the table of customers unless it exists. The rename makes this atomic."""
    database = home / "customers.duckdb"
    if not database.exists():
        home.mkdir(parents=True, exist_ok=True)
        unfinished = home / "customers.unfinished"
        unfinished.unlink(missing_ok=True)
        build(unfinished)
        deliveries.record(unfinished, company.load(example()).source, clock.now())
        unfinished.rename(database)


def grants(product: Product, progress: Progress) -> int:
    """Record the initial grants that are not in the ledger yet; returns their total number.

    Only customers of the table have any. A customer's grants are recorded together, so whoever is
    known has all of them.
    """
    present = _ids(product.gate.source)
    everything = [each for each in initial_grants() if each[0] in present]
    known, english = set(product.gate.subjects()), i18n.load()["en"]
    shown = {scene.id: wording(scene, english) for scene in product.scenes.values()}
    done = 0
    batch: list[Instruction] = []
    for customer, granted in groupby(everything, key=itemgetter(0)):
        if customer not in known:
            batch.extend(_instructions(product.ledger, granted, shown))
        if len(batch) >= BATCH:
            done += _record(product, batch)
            batch = []
            progress(done, len(everything))
    _record(product, batch)
    progress(len(everything), len(everything))
    return len(everything)


def _ids(source: RowSource) -> set[str]:
    _, batches = interface.batches(source.everybody([source.key]), record_batches.ROWS)
    return {each for batch in batches for each in batch[0].to_pylist()}


def _instructions(
    ledger: Ledger, granted: Iterable[Grant], shown: Mapping[str, Wording]
) -> Iterator[Instruction]:
    """One customer's grants, each instruction chained to the previous one."""
    at = clock.now() - AGREED_BEFORE
    last: Instruction | None = None
    for customer, scene, fields in granted:
        act = Granted(scene, fields, None)
        if last is None:
            last = ledger.draft(customer, act, at=at, wording=shown[scene])
        else:
            last = last.next(act, at=at, wording=shown[scene])
        yield last


def _record(product: Product, batch: list[Instruction]) -> int:
    product.ledger.record(batch)
    product.gate.catch_up()  # while the entries are still open in memory
    return len(batch)
