"""Labels of the map: made and verified, the size of a proof of the latest state, and ingest.

Ingest is measured twice in turn, each pair in one run: first instructions of new customers with
their labels, and the same with the labels of earlier versions, a hash of the first instruction.
The peer of a label is one Ed25519 signature by `cryptography`, the peer of its verification one
verification.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.ledger_root import load
from ledger.events.envelope import Granted, Wording
from ledger.service import Ledger
from ledger.statemap import map_proof, vrf
from ledger.statemap.labels import Labels
from ledger.statemap.vrf_key import VrfKey

CUSTOMERS = int(os.environ.get("CUSTOMERS", "10000"))
PAIRS, BATCH = 3, 500
ACT, WORDS = Granted("segmentation", ("age", "job"), None), Wording("en", bytes(32))
AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def main() -> None:
    labels = Labels(VrfKey(os.urandom(32)), "bench.example/consent/state")
    numbers = count()
    signer = Ed25519PrivateKey.generate()
    public, signature = signer.public_key(), signer.sign(b"c")
    proof, key, text = labels.prove("c"), labels.public, map_proof.label_input("c")
    print(f"CPU time, one core (load {load()})")
    _row("label, made", lambda: labels.of(f"c{next(numbers)}"), lambda: signer.sign(b"c"))
    _row("proof of a label, made", lambda: labels.prove("c"), lambda: signer.sign(b"c"))
    _row(
        "label, verified",
        lambda: vrf.verify(key, text, proof),
        lambda: public.verify(signature, b"c"),
    )
    with TemporaryDirectory() as home:
        _ingest(Path(home))


def _row(name: str, work: Callable[[], object], peer: Callable[[], object]) -> None:
    ours, theirs = _ms(work), _ms(peer)
    print(f"  {name:32}{ours:>8.3f} ms {1000 / ours:>9,.0f}/s {ours / theirs:>8.1f} x Ed25519")


def _ms(work: Callable[[], object], times: int = 500) -> float:
    start = process_time()
    for _ in range(times):
        work()
    return (process_time() - start) / times * 1000


def _ingest(home: Path) -> None:
    ledger = Ledger.open(home, origin="bench.example/consent")
    numbers, rates = count(), dict[bool, list[float]]({True: [], False: []})
    while next(numbers) < CUSTOMERS - 1:
        _record(ledger, numbers)
    for _ in range(PAIRS):
        for bound in (True, False):
            with _labels(ledger, bound=bound):
                start = process_time()
                _record(ledger, numbers)
                rates[bound].append(BATCH / (process_time() - start))
    with _labels(ledger, bound=True):
        start = process_time()
        for _ in range(4):
            names = [f"c{number}" for number in range(1, BATCH)]
            ledger.record([ledger.draft(each, ACT, at=AT, wording=WORDS) for each in names])
        updates = 4 * (BATCH - 1) / (process_time() - start)
    print(f"ingest, {ledger.size:,} entries, median of {PAIRS} pairs, instructions/s of CPU")
    print(f"  new customers, labels of ids          {median(rates[True]):>9,.0f}")
    print(f"  new customers, labels as before       {median(rates[False]):>9,.0f}")
    print(f"  customers who have a label            {updates:>9,.0f}")
    proof = ledger.state_proof("c7")
    checkpoint = len(str(proof.note).encode())
    size = len(str(proof).encode()) - checkpoint
    print(f"proof of a latest state: {size:,} bytes without the checkpoint")
    ledger.close()


def _record(ledger: Ledger, numbers: Iterator[int]) -> None:
    names = [f"c{next(numbers)}" for _ in range(BATCH)]
    ledger.record([ledger.draft(each, ACT, at=AT, wording=WORDS) for each in names])


@contextmanager
def _labels(ledger: Ledger, *, bound: bool) -> Iterator[None]:
    labels = ledger.states.labels
    honest = labels.of
    if not bound:
        labels.of = lambda subject: sha256(subject.encode()).digest()
    yield
    labels.of = honest


if __name__ == "__main__":
    main()
