"""What counting for `/metrics` costs a decision, in processor time.

The same evaluations go through the gate's application with and without what `metrics_listen` adds,
in turns, so that a busy machine slows both. Entries are durable. That difference is smaller than
its own spread on a busy machine, so what is added is also measured alone. A served request costs
several times as much as the application alone, for its sockets (`python -m benchmarks served`).
"""

import asyncio
import gc
import json
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import process_time

from benchmarks.gate_http import NOW, PEOPLE, Anybody, App, drive, one
from benchmarks.table import Row, show
from gate.http.app import ANSWERED, GateApp
from gate.http.serving.latency import Timed
from gate.readlog.entry import Question
from gate.reads.counts import DecisionCounts
from ledger.events.envelope import Granted
from tests.gate.world import World, world

PATH = "/access/v1/evaluation"
TOGETHER, REQUESTS, TURNS, CALLS = 64, 2_000, 15, 200_000


def main() -> None:
    bodies = [json.dumps(one(n)).encode() for n in range(PEOPLE)]
    with TemporaryDirectory() as home:
        plain, measured = prepared(Path(home) / "plain"), prepared(Path(home) / "measured")
        counts = DecisionCounts()
        measured.gate.journal.subscribe(counts.see)
        without = GateApp(plain.gate, Anybody(), clock=lambda: NOW)
        timed = Timed(GateApp(measured.gate, Anybody(), clock=lambda: NOW), ANSWERED)
        gc.collect()
        gc.freeze()
        times: dict[str, list[float]] = {"without": [], "with": []}
        turn: list[tuple[str, App]] = [("without", without), ("with", timed)]
        for _ in range(TURNS):
            for name, app in turn:
                times[name].append(seconds(app, bodies))
            turn.reverse()
        asked = sum(counts.counts().values())
    if asked != TURNS * REQUESTS or timed.histograms[PATH].cumulative()[-1][1] != asked:
        raise AssertionError(f"{asked} decisions were counted, want {TURNS * REQUESTS}")
    rows = [
        Row(
            name,
            1 / middle,
            f"{middle * 1e6:.1f} µs each, quartiles {low * 1e6:.1f} to {high * 1e6:.1f}",
        )
        for name, (low, middle, high) in ((n, quantiles(each)) for n, each in times.items())
    ]
    show("Evaluations, 64 at once, by processor time", "decisions", rows)
    added, whole = alone(), quantiles(times["without"])[1]
    print(f"  what is added, alone: {added * 1e6:.2f} µs, {added / whole:.2%} of a decision")


def prepared(home: Path) -> World:
    home.mkdir()
    bank = world(home)
    for n in range(PEOPLE):
        bank.says(f"c{n}", Granted("segmentation", ("age",), None))
    return bank


def seconds(app: App, bodies: list[bytes]) -> float:
    """Processor time of one request, on average."""
    began = process_time()
    asyncio.run(drive(app, PATH, bodies, TOGETHER, REQUESTS))
    return (process_time() - began) / REQUESTS


def alone() -> float:
    """Seconds that one request costs more: a subscriber's call, and a wrapped application."""

    async def nothing(_scope: object, _receive: object, _send: object) -> None:
        pass

    async def rounds(app: App) -> float:
        began = process_time()
        for _ in range(CALLS):
            await app({"path": PATH}, None, None)
        return process_time() - began

    wrapped = asyncio.run(rounds(Timed(nothing, ANSWERED))) - asyncio.run(rounds(nothing))
    with TemporaryDirectory() as home:
        bank, counts = prepared(Path(home) / "one"), DecisionCounts()
        question = Question("analytics", "segmentation", ("c1",), ("age",))
        line = bank.gate.decide_in_writing([question], NOW)[0]
    began = process_time()
    together = [(line, line.customer)] * TOGETHER  # as a commit of concurrent requests is seen
    for _ in range(CALLS // TOGETHER):
        counts.see((), together)
    return (wrapped + process_time() - began) / CALLS


if __name__ == "__main__":
    main()
