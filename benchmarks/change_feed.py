"""The feed of changes: from the receipt to the line that a waiting poll gets; a poll's cost.

    TMPDIR=/dev/shm python -m benchmarks change_feed

Lag: a gate is served over a socket; a service waits in a long-poll, a customer withdraws, and the
time from the receipt to the answer is measured. Cost: banks of which a service has read every
customer, of two sizes; in each a few customers withdraw, and one poll is timed. Last, the time of
reads while a feed follows them and without one, in turns.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import duckdb
import pyarrow as pa
import uvicorn

from gate.changes.feed import ChangeFeed
from gate.factory import build
from gate.http.app import GateApp
from gate.http.changes import LOOK_S, PATH
from gate.reads.request import ReadRequest
from gate.reads.sources.duckdb import DuckDBSource
from ledger.events.envelope import Granted, Withdrawn
from ledger.service import Ledger
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, WORDING, World, journal, options, shipped, world

SERVICE, SCENE, FIELDS = "analytics", "segmentation", ("age",)
TAPS = 60
SIZES = (1_000, 8_000)
CHANGED = 10  # customers, before each poll
POLLS = 20
ROUNDS, READS = 6, 200


class Anybody:
    def service(self, _: Mapping[bytes, bytes]) -> str:
        return SERVICE


def main() -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        bank = world(home)
        lags = [*lag(bank, home)]
    ordered = sorted(lags)
    print("\nThe feed of changes")
    print(
        f"  receipt in hand to line received, {TAPS} withdrawals: median "
        f"{median(lags) * 1e3:.0f} ms, most {ordered[-1] * 1e3:.0f} ms"
    )
    costs = [cost(size) for size in SIZES]
    for name, at in ((f"with {CHANGED} withdrawals", 0), ("with nothing new", 1)):
        small, large = (each[at] for each in costs)
        print(
            f"  a poll {name}: {small * 1e3:.1f} ms of {SIZES[0]:,} customers read, "
            f"{large * 1e3:.1f} ms of {SIZES[1]:,} (ratio {large / small:.2f})"
        )
    without, beside = reads()
    print(
        f"  a read: {without * 1e6:.0f} µs without a feed, {beside * 1e6:.0f} µs while one follows "
        f"(ratio {beside / without:.2f})"
    )


def lag(bank: World, home: Path) -> Iterator[float]:
    """Seconds from each receipt to the answer of the poll that waits."""
    bank.says("c1", Granted(SCENE, FIELDS, None))
    arrived: SimpleQueue[float] = SimpleQueue()
    with served(bank, home) as port:
        connection = HTTPConnection("127.0.0.1", port)
        for _ in range(TAPS):
            read(bank, "c1")
            token = poll(connection, "")["token"]
            waiting = threading.Thread(target=wait, args=(port, token, arrived))
            waiting.start()
            time.sleep(0.25)  # until it waits
            draft = bank.ledger.draft("c1", Withdrawn(SCENE), at=NOON, wording=WORDING)
            (said,) = bank.ledger.record([draft])
            bank.ledger.receipt(said.index, "c1")
            tapped = perf_counter()
            yield arrived.get() - tapped
            waiting.join()
            bank.says("c1", Granted(SCENE, FIELDS, None))


def wait(port: int, token: str, arrived: "SimpleQueue[float]") -> None:
    page = poll(HTTPConnection("127.0.0.1", port), f"?since={token}&wait=30")
    if [each["do"] for each in page["changes"]] != ["forget"]:
        raise AssertionError(f"want one line to forget, found {page['changes']}")
    arrived.put(perf_counter())


def poll(connection: HTTPConnection, query: str) -> dict[str, list[dict[str, str]]]:
    connection.request("GET", PATH + query, headers={"Authorization": "Bearer any"})
    page: dict[str, list[dict[str, str]]] = json.loads(connection.getresponse().read())
    return page


@contextmanager
def served(bank: World, home: Path) -> Iterator[int]:
    """The port on which the gate answers."""
    feed = ChangeFeed(bank.gate, bank.ledger, home, bytes(32), NOON)
    app = GateApp(bank.gate, Anybody(), clock=lambda: NOON, feed=feed)
    # Of this protocol by name: only then asyncio sets TCP_NODELAY, as it does for a served product.
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def cost(size: int) -> tuple[float, float]:
    """Seconds of a poll after CHANGED withdrawals, and of one after nothing, of a bank so large."""
    with TemporaryDirectory() as folder:
        home, names = Path(folder), [f"p{n}" for n in range(size)]
        bank = with_customers(home, names)
        drafts = [
            bank.ledger.draft(name, Granted(SCENE, FIELDS, None), at=NOON, wording=WORDING)
            for name in names
        ]
        for at in range(0, size, 500):
            bank.ledger.record(drafts[at : at + 500])
        for name in names:
            read(bank, name)
        feed = ChangeFeed(bank.gate, bank.ledger, home, bytes(32), NOON)
        token = feed.page(SERVICE, None, 1000, NOON).token
        changed, idle = list[float](), list[float]()
        for n in range(POLLS):
            for name in names[n * CHANGED : (n + 1) * CHANGED]:
                bank.says(name, Withdrawn(SCENE))
            for times, want in ((changed, CHANGED), (idle, 0)):
                began = perf_counter()
                page = feed.page(SERVICE, token, 1000, NOON)
                times.append(perf_counter() - began)
                token = page.token
                if len(page.lines) != want:
                    raise AssertionError(f"{len(page.lines)} lines, want {want}")
        return median(changed), median(idle)


def with_customers(home: Path, names: Sequence[str]) -> World:
    """A bank whose source has these customers."""
    ledger, path = Ledger.open(home, origin="test.example/consent"), home / "people.duckdb"
    ledger.create_keys(names)
    with duckdb.connect(path) as connection:
        rows = pa.table({"id": names, "age": [44] * len(names)})
        connection.register("people", rows)
        connection.execute("CREATE TABLE customer AS SELECT * FROM people")
    written = journal(home, ledger)
    rules, choices = shipped(), options()
    gate = build(ledger, DuckDBSource(path), SCENES, written, rules, bytes(32), options=choices)
    return World(ledger, gate)


def reads() -> tuple[float, float]:
    """Seconds of a read without a feed, and while one follows, in turns."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        bank = world(home)
        bank.says("c1", Granted(SCENE, FIELDS, None))
        feed = ChangeFeed(bank.gate, bank.ledger, home, bytes(32), NOON)
        without, beside = list[float](), list[float]()
        for _ in range(ROUNDS):
            without += timed_reads(bank)
            over = threading.Event()
            following = threading.Thread(target=follow, args=(feed, over))
            following.start()
            beside += timed_reads(bank)
            over.set()
            following.join()
        return median(without), median(beside)


def timed_reads(bank: World) -> list[float]:
    times = []
    for _ in range(READS):
        began = perf_counter()
        read(bank, "c1")
        times.append(perf_counter() - began)
    return times


def follow(feed: ChangeFeed, over: threading.Event) -> None:
    """As often as a gate looks for a poll that waits."""
    while not over.wait(LOOK_S):
        feed.advance(NOON)


def read(bank: World, customer: str) -> None:
    bank.gate.read(ReadRequest(SERVICE, SCENE, customer, FIELDS, NOON))
