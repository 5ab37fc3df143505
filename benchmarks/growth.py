"""How the cost of each operation grows with the number of customers.

Makes data directories of 1,000, 10,000 and 100,000 customers, each with three instructions (set
CUSTOMERS, e.g. CUSTOMERS=10000,100000,1000000, for others), and prints the processor time of each
operation in milliseconds and the slope between the ends on logarithmic axes: 0 is flat, 1 is
proportional. In process, without sockets; the disk is the machine's temporary folder.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import log10
from pathlib import Path
from statistics import median
from time import process_time

import duckdb

from benchmarks.ledger_root import load
from gate.reads.point import ReadRequest
from gate.state import snapshot
from ledger.events.envelope import EvidenceClass, Granted, Instruction, Withdrawn, Wording
from ledger.follower import Follower
from ledger.service import Ledger
from portal.consent.wording import wording
from portal.demo import customers
from portal.operations.settings import Settings
from portal.operations.wiring import SNAPSHOT, Product, contracts, open_product

SIZES = [int(each) for each in os.environ.get("CUSTOMERS", "1000,10000,100000").split(",")]
SCENES = ("segmentation", "lead-scoring", "recommendation")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
BATCH = 5_000  # customers recorded together
ROUNDS = 5

Costs = dict[str, float]  # operation -> processor milliseconds


def main() -> None:
    costs = [measured(size) for size in SIZES]
    print(f"processor time in milliseconds by number of customers (load {load()})\n")
    print(f"  {'':44}" + "".join(f"{size:>12,}" for size in SIZES) + f"{'slope':>8}")
    for operation in costs[0]:
        row = [each[operation] for each in costs]
        print(f"  {operation:44}" + "".join(f"{ms:>12.2f}" for ms in row) + f"{slope(row):>8.2f}")


def slope(row: list[float]) -> float:
    """Of the costs between the smallest and the largest directory, on logarithmic axes."""
    if len(row) < 2:
        return 0.0
    lowest, highest = max(row[0], 0.01), max(row[-1], 0.01)
    return log10(highest / lowest) / log10(SIZES[-1] / SIZES[0])


def measured(size: int) -> Costs:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        costs: Costs = {}
        with spent(costs, "record three instructions, a customer", size):
            _fill(home, size)
        with spent(costs, "start without a snapshot"):
            product = _opened(home)
            product.gate.catch_up()
        product.keep_state()
        product.publish()
        _close(product)
        with spent(costs, "start with a snapshot"):
            product = _opened(home)
            product.gate.catch_up()
        _operations(product, size, costs)
        _followed(product, home, size, costs)
        _close(product)
        return costs


def _operations(product: Product, size: int, costs: Costs) -> None:
    some = iter(range(size // 2, size))

    def change_and_publish() -> None:
        _withdraw(product, next(some))
        product.publish()

    def erase_and_decide() -> None:
        product.ledger.erase(_name(next(some)), AT)
        _decide(product, next(some))

    costs["first decision"] = _cost(lambda: _decide(product, next(some)), 1)
    costs["decision"] = _cost(lambda: _decide(product, next(some)), 200)
    costs["withdrawal to receipt"] = _cost(lambda: _withdraw(product, next(some)), 20)
    costs["publish with nothing new"] = _cost(product.publish, ROUNDS)
    costs["publish after one withdrawal"] = _cost(change_and_publish, ROUNDS)
    costs["state proof"] = _cost(lambda: product.ledger.state_proof(_name(next(some))), ROUNDS)
    costs["receipt by entry alone"] = _cost(lambda: product.ledger.receipt(next(some)), ROUNDS)
    costs["erase, and the next decision"] = _cost(erase_and_decide, ROUNDS)
    with product.gate.lock:
        state, _ = product.gate.current(0)
        members = state.all_bits("segmentation") != 0
        costs["name a cohort, under the gate's lock"] = _cost(
            lambda: state.subjects.selected(members), ROUNDS
        )


def _followed(product: Product, home: Path, size: int, costs: Costs) -> None:
    """What a gate in a process of its own does; here its follower is in this process."""
    with spent(costs, "write a snapshot"):
        product.keep_state()
    with spent(costs, "gate alone: start with the snapshot"):
        follower = Follower(home)
        state = snapshot.load(home / SNAPSHOT, product.scenes, follower)
        assert state is not None
        state.keep_up(follower)
    new, gone = iter(range(size, 2 * size)), iter(range(size))

    def newcomer() -> None:
        _grant(product, next(new))
        state.keep_up(follower)

    def erasure() -> None:
        product.ledger.erase(_name(next(gone)), AT)
        state.keep_up(follower)

    costs["gate alone: a new customer"] = _cost(newcomer, ROUNDS)
    costs["gate alone: an erasure"] = _cost(erasure, ROUNDS)


def _fill(home: Path, size: int) -> None:
    _, scenes = contracts()
    words = {each: wording(scenes[each], "en") for each in SCENES}
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{home / 'customers.duckdb'}' AS made")
        everybody.execute(
            "CREATE TABLE made.customer AS SELECT printf('c%08d', range) AS id, one.* "
            f"FROM range({size}), (SELECT * EXCLUDE (id) FROM customer LIMIT 1) AS one"
        )
    ledger = Ledger.open(home, origin=Settings(data_dir=home).origin)
    numbers = iter(range(size))
    while some := [*islice(numbers, BATCH)]:
        ledger.record([each for number in some for each in _instructions(ledger, number, words)])
    ledger.close()


def _instructions(
    ledger: Ledger, number: int, words: Mapping[str, Wording]
) -> Iterator[Instruction]:
    at = AT - timedelta(days=3)
    last: Instruction | None = None
    for scene in SCENES:
        act = Granted(scene, ("age",), None)
        last = (
            last.next(act, at=at, wording=words[scene])
            if last
            else ledger.draft(
                _name(number), act, at=at, wording=words[scene], evidence=EvidenceClass.IMPORTED
            )
        )
        yield last


def _name(number: int) -> str:
    return f"c{number:08d}"


def _opened(home: Path) -> Product:
    return open_product(Settings(data_dir=home, demo=True))


def _close(product: Product) -> None:
    """End this process's writing, so that the directory can be opened once more."""
    product.ledger.close()


def _decide(product: Product, number: int) -> None:
    request = ReadRequest("analytics", "segmentation", _name(number), ("age",), AT)
    assert product.gate.decide(request).reason


def _withdraw(product: Product, number: int) -> None:
    words = wording(product.scenes["segmentation"], "en")
    draft = product.ledger.draft(_name(number), Withdrawn("segmentation"), at=AT, wording=words)
    (recorded,) = product.ledger.record([draft])
    product.ledger.receipt(recorded.index, _name(number))


def _grant(product: Product, number: int) -> None:
    words = wording(product.scenes["segmentation"], "en")
    act = Granted("segmentation", ("age",), None)
    product.ledger.record([product.ledger.draft(_name(number), act, at=AT, wording=words)])


@contextmanager
def spent(costs: Costs, operation: str, times: int = 1) -> Iterator[None]:
    began = process_time()
    yield
    costs[operation] = (process_time() - began) * 1e3 / times


def _cost(work: Callable[[], object], rounds: int) -> float:
    costs = []
    for _ in range(rounds):
        began = process_time()
        work()
        costs.append((process_time() - began) * 1e3)
    return median(costs)
