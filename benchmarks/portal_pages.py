"""Server time of a busy customer's pages: 1,000 instructions given, 100,000 reads of their data.

Prints one table: requests through the whole application (routes, templates, headers, compression)
in process, without a network. The limit is 20 ms at the 99th percentile.
"""

import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.testclient import TestClient

from gate.decision.decide import Reason, View
from gate.readlog.writer import ReadLogEntry
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import Granted, Instruction, Withdrawn
from portal.app import create_app
from portal.consent import wording
from portal.operations.wiring import Product
from portal.web import i18n
from portal.web.serving import settled
from tests.portal.conftest import START, Clock, copy, seed, sign_in

SUBJECT = "c00007"
INSTRUCTIONS, READS = 1_000, 100_000
REQUESTS = 100
LIMIT_MS = 20
BATCH = 5_000
PAGES = (
    "/customer",
    "/customer/scenes/segmentation",
    "/customer/history",
    "/customer/history?page=20",
    "/customer/reads",
    "/customer/reads?page=40",
    "/customer/map",
    "/customer/timeline",
    "/customer/timeline?reads=1950&others=50",
)


def main() -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "seed").mkdir()
        product = copy(seed(Path(folder) / "seed"), Path(folder) / "home")
        _speak(product)
        _read(product)
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        with TestClient(create_app(product, Clock()), headers=headers) as client:
            sign_in(client, SUBJECT)
            with settled():  # as `sovereign serve` does
                rows = [(path, *_times(client, path)) for path in PAGES]
    print(f"\npages of a customer with {INSTRUCTIONS:,} instructions and {READS:,} reads")
    print(f"  {'page':34}{'median':>10}{'p99':>10}{'bytes':>10}   limit {LIMIT_MS} ms")
    for path, middle, worst, size in rows:
        print(f"  {path:34}{middle:>7.1f} ms{worst:>7.1f} ms{size:>10,}")


def _times(client: TestClient, path: str) -> tuple[float, float, int]:
    client.get(path)
    took = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        page = client.get(path)
        took.append((time.perf_counter() - start) * 1e3)
    took.sort()
    return took[REQUESTS // 2], took[REQUESTS * 99 // 100], len(page.content)


def _speak(product: Product) -> None:
    """The customer allows and withdraws a scene in turn, until there are enough instructions."""
    scene = product.scenes["segmentation"]
    said, fields = wording.wording(scene, i18n.load()["en"]), (*scene.fields,)
    acts = (Granted(scene.id, fields, None), Withdrawn(scene.id))
    drafts: list[Instruction] = []
    given = product.ledger.version(SUBJECT)
    for number in range(INSTRUCTIONS - given):
        at = START - timedelta(days=2) + timedelta(seconds=number)
        act = acts[number % 2]
        drafts.append(
            drafts[-1].next(act, at=at, wording=said)
            if drafts
            else product.ledger.draft(SUBJECT, act, at=at, wording=said)
        )
    product.ledger.record(drafts)


def _read(product: Product) -> None:
    """Journal reads in batches; the gate writes one at a time, each durable before its answer."""
    read = reading(product)
    for _ in range(0, READS, BATCH):
        product.gate.journal.record_all([(read, SUBJECT)] * BATCH)


def reading(product: Product) -> ReadLogEntry:
    """A point read that was answered with synthetic values."""
    scene = product.scenes["segmentation"]
    return ReadLogEntry(
        action="read",
        at=START,
        service="analytics",
        scene=scene.id,
        rows=1,
        fields=(*scene.fields,),
        views=dict.fromkeys(scene.fields, View.SYNTHETIC),
        reason=Reason.WITHDRAWN,
        determined_by=None,
        plan="",
        release=None,
        consent=ConsentPoint(*product.ledger.root()),
    )


if __name__ == "__main__":
    main()
