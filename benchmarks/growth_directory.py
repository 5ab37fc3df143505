"""Data directories of a given number of customers, for `benchmarks.growth`; made once and kept.

    FOLDER/customers-10000/      a data directory that `sovereign serve` serves
    FOLDER/customers-10000.made  how long it took, in JSON

Each customer has a row in the source, grants every field of three scenes, and was the subject of
one evaluation, so there are three entries of the consent log and one entry of a read log for each.
The three scenes have releases. The snapshot of the consent state is written and all logs are
published.
"""

import gc
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

import duckdb

from gate.readlog.entry import Question
from ledger import clock
from ledger.events.envelope import EvidenceClass, Granted, Instruction, Wording
from ledger.service import Ledger
from portal.consent.wording import wording
from portal.demo.sources import customers, deliveries
from portal.operations import release_service
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from tests.bank import contracts

SCENES = ("segmentation", "lead-scoring", "recommendation")
SERVICE, SCENE, FIELD = "analytics", "segmentation", "age"  # of evaluations and reads
BATCH = 5_000  # customers recorded together
NEW = 1_000  # further rows of the source, of people who gave no instruction yet
AGREED_BEFORE = timedelta(days=30)


def name(number: int) -> str:
    """The id of a customer, from 0."""
    return f"c{number:08d}"


def directory(folder: Path, size: int) -> Path:
    """A kept data directory of `size` customers, made if there is none. Do not change it."""
    home, made = folder / f"customers-{size}", folder / f"customers-{size}.made"
    if not made.exists():
        if home.exists():
            shutil.rmtree(home)  # cut off
        home.mkdir(parents=True)
        began, spent = perf_counter(), process_time()
        _make(home, size)
        took = {"wall_s": perf_counter() - began, "cpu_s": process_time() - spent}
        made.write_text(json.dumps(took) + "\n", "utf-8")
    return home


def opened(home: Path) -> Product:
    return open_product(Settings(data_dir=home, demo=True))


def closed(product: Product) -> None:
    """End this process's writing, so that the directory can be opened once more."""
    product.ledger.close()
    product.read_logs.close()
    product.gate.journal.reads.close()


def _make(home: Path, size: int) -> None:
    _rows(home, size)
    product = opened(home)
    at = clock.now()
    with _uncollected():
        _consents(product, size, at - AGREED_BEFORE)
        _evaluations(product, size, at)
    for scene in SCENES:  # otherwise a job fits them while the product is measured
        release_service.release(product, product.scenes[scene], at)
    product.keep_state()
    product.publish()
    closed(product)


def _rows(home: Path, size: int) -> None:
    """The source: the demonstration's customers, over and over, with other ids."""
    database = home / "customers.duckdb"
    with duckdb.connect() as everybody:
        count = customers.load(everybody)
        everybody.execute(f"ATTACH '{database}' AS made")
        everybody.execute(
            "CREATE TABLE made.customer AS WITH one AS "
            "(SELECT row_number() OVER (ORDER BY id) - 1 AS place, * EXCLUDE (id) FROM customer) "
            "SELECT printf('c%08d', range) AS id, one.* EXCLUDE (place) "
            f"FROM range({size + NEW}) JOIN one ON range % {count} = place ORDER BY range"
        )
    deliveries.record(database, contracts()[0], clock.now())


def _consents(product: Product, size: int, at: datetime) -> None:
    words = {each: wording(product.scenes[each], i18n.load()["en"]) for each in SCENES}
    acts = {each: Granted(each, tuple(product.scenes[each].fields), None) for each in SCENES}
    for some in _batches(size):
        drafts = (_instructions(product.ledger, each, acts, words, at) for each in some)
        product.ledger.record([each for drafted in drafts for each in drafted])
        product.gate.catch_up()  # while the entries are still open in memory


def _instructions(
    ledger: Ledger,
    number: int,
    acts: Mapping[str, Granted],
    words: Mapping[str, Wording],
    at: datetime,
) -> Iterator[Instruction]:
    last: Instruction | None = None
    for scene, act in acts.items():
        if last is None:
            imported = EvidenceClass.IMPORTED
            last = ledger.draft(name(number), act, at=at, wording=words[scene], evidence=imported)
        else:
            last = last.next(act, at=at, wording=words[scene])
        yield last


def _evaluations(product: Product, size: int, at: datetime) -> None:
    for some in _batches(size):
        asked = Question(SERVICE, SCENE, [name(each) for each in some], (FIELD,))
        decided = product.gate.decide_in_writing([asked], at)
        product.gate.journal.record_all([(each, each.customer) for each in decided])


def _batches(size: int) -> Iterator[list[int]]:
    numbers = iter(range(size))
    while some := [*islice(numbers, BATCH)]:
        yield some


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector: there are no cycles, and it costs a fifth."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
