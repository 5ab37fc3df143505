"""Server time of the page of reads, with many point reads among many reads of all customers.

One read log has 100,000 point reads of one customer and, evenly among them, 10,000 rows and tables,
which name 500 different sets of customers. Three customers ask for their page: the one with the
point reads, one who is in half of the sets, and one who is in none, so that every set is looked at.
Other numbers of customers show the slope. Requests go through the whole application in process,
without a network. The limit is 20 ms at the 99th percentile. Beside other work on the machine only
the processor time counts, and the ratio to the page of history of the same customer in the same
run, which reads no read log.

`PEOPLE=5000,45211 python -m benchmarks customer_reads` is a shorter run.
"""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from starlette.testclient import TestClient

from benchmarks.portal_pages import LIMIT_MS, reading
from gate.decision.decide import Reason, View
from gate.readlog.writer import Asked
from portal.app import create_app
from portal.operations.wiring import Product
from portal.web.serving import settled
from tests.portal.conftest import Clock, copy, seed, sign_in

PEOPLE = [int(each) for each in os.environ.get("PEOPLE", "5000,45211,200000").split(",")]
POINTS, MANY, SETS = 100_000, 10_000, 500
BATCH = 500  # reads of many customers per commit, among ten times as many point reads
REQUESTS = 200
BUSY, SOMETIMES, NEVER = "c00007", "c00008", "c00009"
PEER = "/customer/history"
PAGES = (
    (BUSY, PEER),
    (BUSY, "/customer/reads"),
    (BUSY, "/customer/reads?page=40"),
    (BUSY, "/customer/map"),
    (BUSY, "/customer/timeline"),
    (BUSY, "/customer/timeline?reads=50000&others=0"),
    (SOMETIMES, "/customer/reads"),
    (SOMETIMES, "/customer/reads?page=40"),
    (NEVER, "/customer/reads"),
)


def main() -> None:
    print(f"\npages among {POINTS:,} point reads and {MANY:,} reads of many, {SETS} sets")
    heads = (
        f"{'page':34}{'first':>10}{'median':>10}{'p99':>10}{'CPU':>10}{'CPU p99':>10}{'ratio':>8}"
    )
    print(f"  {'customers':>10}  {heads}   limit {LIMIT_MS} ms")
    by_people = []
    for people in PEOPLE:
        with TemporaryDirectory() as folder:
            by_people.append(_measure(Path(folder), people))
    for number, page in enumerate(by_people[0]):
        slope = [f"{each[page] / by_people[0][page]:.2f}" for each in by_people[1:]]
        if slope and number:
            print(f"  slope of {page}: {' and '.join(slope)} times that at {PEOPLE[0]:,} customers")


def _measure(folder: Path, people: int) -> dict[str, float]:
    """The median of the processor time by page, in milliseconds."""
    (folder / "seed").mkdir()
    product = copy(seed(folder / "seed"), folder / "home")
    product.ledger.create_keys([f"somebody-{number}" for number in range(people - 60)])
    _read(product, people)
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    peer, used = 0.0, {}
    for subject, path in PAGES:
        with TestClient(create_app(product, Clock()), headers=headers) as client:
            sign_in(client, subject)
            with settled():  # as `sovereign serve` does
                (first, middle, worst), (_, cpu, cpu_worst) = _times(client, path)
        who = {BUSY: "point reads", SOMETIMES: "in half", NEVER: "in none"}[subject]
        page = f"{path.removeprefix('/customer')} ({who})"
        peer, used[page] = peer or cpu, cpu
        waited = f"{first:>7.1f} ms{middle:>7.1f} ms{worst:>7.1f} ms"
        figures = f"{cpu:>7.1f} ms{cpu_worst:>7.1f} ms{cpu / peer:>8.2f}"
        print(f"  {people:>10,}  {page:34}{waited}{figures}", flush=True)
    return used


Figures = tuple[float, float, float]


def _times(client: TestClient, path: str) -> tuple[Figures, Figures]:
    """First request, median and 99th percentile of those after it, and the same of processor time.

    In milliseconds.
    """
    took, used = [], []
    for _ in range(REQUESTS + 1):
        start, before = time.perf_counter(), time.process_time()
        assert client.get(path).status_code == 200
        used.append((time.process_time() - before) * 1e3)
        took.append((time.perf_counter() - start) * 1e3)
    return _figures(took), _figures(used)


def _figures(measured: list[float]) -> Figures:
    later = sorted(measured[1:])
    return measured[0], later[REQUESTS // 2], later[REQUESTS * 99 // 100]


def _read(product: Product, people: int) -> None:
    journal, rng = product.gate.journal, np.random.default_rng(people)
    named = product.ledger.numbers([BUSY, SOMETIMES, NEVER])
    digests = []
    for each in range(SETS):
        members = rng.permutation(people)[: people // 2].astype(np.uint32) + 1
        members = np.setdiff1d(members, [*named.values()]).astype(np.uint32)
        inside = [named[BUSY], named[SOMETIMES]] if each % 2 else []
        digests.append(journal.sets.put(np.append(members, np.array(inside, np.uint32))))
    point = reading(product)
    views = dict.fromkeys(point.views, View.PERSONAL)
    for first in range(0, MANY, BATCH):
        asked: list[Asked] = []
        for number in range(first, first + BATCH):
            digest = digests[number % SETS]
            many = msgspec.structs.replace(
                point,
                action="rows" if number % 3 else "table",
                answered=digest,
                cohort=digest,
                rows=people // 2,
                views=views,
                reason=Reason.GRANTED,
            )
            asked += [(many, None), *[(point, BUSY)] * (POINTS // MANY)]
        journal.record_all(asked)


if __name__ == "__main__":
    main()
