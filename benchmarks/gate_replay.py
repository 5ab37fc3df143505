"""Decisions derived again per second: a read log of one gate, in one process and in two.

python -m benchmarks gate_replay                 10^6 entries, over a ledger of 10^4
ENTRIES=4000000 python -m benchmarks gate_replay

For comparison it evaluates full Cedar for each field of a sample of the same decisions.
"""

import os
import random
import resource
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Row, show
from gate.factory import build
from gate.policy import cedar
from gate.policy.cedar import FAR, PolicyFacts
from gate.readlog.entry import Question, WrittenDecision
from gate.reads.point import Gate
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from gate.state import consent_bits
from ledger.events.envelope import Act, Granted, Withdrawn, Wording
from ledger.follower import Follower
from ledger.service import Ledger
from tests.gate.linearizability import Empty
from tests.gate.scenes import SCENES, SEGMENTATION
from tests.gate.world import INSTANCE, NOON, journal, shipped

ENTRIES = int(os.environ.get("ENTRIES", "1000000"))
CUSTOMERS = [f"c{number:05}" for number in range(2_000)]
ACTS = 10_000  # grants and withdrawals
TOGETHER = 500  # decisions in one commit
SAMPLE = 2_000  # decisions that full Cedar derives
FIELDS = (("age",), ("age", "job"), ("age", "job", "housing"))
WORDING = Wording("en", bytes(32))


def main() -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        _write(home)
        rows = [_replayed(home, processes) for processes in (2, 1)]
        show(f"Replay of {ENTRIES:,} entries over {ACTS:,} acts", "decisions", [*rows, _cedar()])
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"  most memory of the process that wrote and replayed them: {most} MB")


def _write(home: Path) -> None:
    """A gate that answers while customers change their minds."""
    ledger = Ledger.open(home, origin="bench.example/consent")
    written = journal(home, ledger, "bench.example")
    gate = build(ledger, Empty(), SCENES, written, shipped(), bytes(32))
    rounds = ENTRIES // TOGETHER
    at = NOON
    _say(ledger, len(CUSTOMERS), at)
    for number in range(rounds):
        _say(ledger, ACTS * (number + 1) // rounds - ACTS * number // rounds, at)
        at += timedelta(seconds=1)
        written.record_all(_asked(gate, at))
    written.log.close()
    ledger.close()


def _say(ledger: Ledger, count: int, at: datetime) -> None:
    acts: list[Act] = [Granted("segmentation", random.choice(FIELDS), None)] * 3
    chosen = random.sample(CUSTOMERS, count)
    said = [(each, random.choice([*acts, Withdrawn("segmentation")])) for each in chosen]
    ledger.record([ledger.draft(who, act, at=at, wording=WORDING) for who, act in said])


def _asked(gate: Gate, at: datetime) -> list[tuple[WrittenDecision, str]]:
    chosen = random.choices(CUSTOMERS, k=TOGETHER)
    questions = [
        Question("analytics", "segmentation", (who,), random.choice(FIELDS)) for who in chosen
    ]
    return [*zip(gate.decide_in_writing(questions, at), chosen, strict=True)]


def _replayed(home: Path, processes: int) -> Row:
    start, used = time.perf_counter(), time.process_time()
    report = replay(
        partial(Follower, home),
        home,
        INSTANCE,
        ReplayGrounds(SCENES, shipped()),
        processes=processes,
    )
    seconds, used = time.perf_counter() - start, time.process_time() - used
    _require(report)
    name = f"{processes} process" + ("es" if processes > 1 else "")
    note = f"{report.derived / used:,.0f} per CPU second" if processes == 1 else ""
    return Row(name, report.derived / seconds, note)


def _require(report: ReplayReport) -> None:
    if report.derived != ENTRIES or report.differences:
        raise AssertionError(f"{report.entries} entries, {report.derived} derived again")


def _cedar() -> Row:
    """What a replay without plans would do: ask Cedar for every field of every decision."""
    rules, at = shipped(), consent_bits.minute(NOON)
    start = time.perf_counter()
    for _ in range(SAMPLE):
        asked = [
            PolicyFacts(name, granted=True, minute=at, until=FAR, frozen=False)
            for name in random.choice(FIELDS)
        ]
        cedar.permits(rules, SEGMENTATION, "analytics", asked)
    return Row("full Cedar, a sample", SAMPLE / (time.perf_counter() - start), "cedarpy")
