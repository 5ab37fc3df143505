"""Time from a customer's tap to the verified receipt, while a gate follows the ledger.

Each measurement is one withdrawal or grant: drafted, recorded durably, its receipt created with
inclusion proof and both signatures, and verified. The gate decides in between, so its time to
follow is included. The limit is the disk: each commit waits for it once, which is measured too.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from gate.reads.request import ReadRequest
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.world import WORDING, World, world

PEOPLE = 200
TAPS = 1000
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCENE, FIELDS = "segmentation", ("age",)


def main() -> None:
    with TemporaryDirectory() as home:
        bank = world(Path(home))
        for n in range(PEOPLE):
            bank.says(f"c{n}", Granted(SCENE, FIELDS, None))
        recorded, followed, received = taps(bank)
        disk = fsyncs(Path(home))
    print(f"\nOne act by itself, {TAPS} times (milliseconds)")
    print(f"  {'':42}{'p50':>9}{'p99':>9}{'most':>9}")
    for name, times in (
        ("drafted and recorded, durably", recorded),
        ("... and the gate has followed", followed),
        ("... and the receipt is in hand", received),
        ("one fdatasync of 16 KiB beside it", disk),
    ):
        ordered = sorted(times)
        shown = (ordered[int(len(ordered) * q)] * 1e3 for q in (0.5, 0.99, 0.9999))
        print(f"  {name:42}" + "".join(f"{each:9.2f}" for each in shown))


def taps(bank: World) -> tuple[list[float], list[float], list[float]]:
    """Seconds from the tap to each of the three."""
    ledger, gate = bank.ledger, bank.gate
    recorded, followed, received = [], [], []
    for n in range(TAPS):
        who = f"c{n % PEOPLE}"
        act = Withdrawn(SCENE) if n // PEOPLE % 2 == 0 else Granted(SCENE, FIELDS, None)
        clock = stopwatch()
        draft = ledger.draft(who, act, at=NOW, wording=WORDING)
        (said,) = ledger.record([draft])
        recorded.append(clock())
        allowed = gate.decide(ReadRequest("analytics", SCENE, who, FIELDS, NOW)).allowed
        if allowed is not isinstance(act, Granted):
            raise AssertionError("the gate has not followed")
        followed.append(clock())
        ledger.receipt(said.index, who)
        received.append(clock())
    return recorded, followed, received


def stopwatch() -> Callable[[], float]:
    start = time.perf_counter()
    return lambda: time.perf_counter() - start


def fsyncs(home: Path) -> list[float]:
    times = []
    with (home / "beside").open("wb", buffering=0) as file:
        for _ in range(TAPS):
            file.write(bytes(16_384))
            clock = stopwatch()
            os.fdatasync(file.fileno())
            times.append(clock())
    return times
