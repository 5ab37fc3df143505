"""From log entries to durable cases and delivered notices: a wave, single changes, a freeze.

There is no comparable product; the rates show whether the flow could become a bottleneck.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Row, show
from gate.contracts.scene import Scene
from ledger.events.envelope import Act, Granted, Instruction, SignalReported, TriggerSet, Withdrawn
from ledger.service import Ledger
from steward.cases.case import Cases
from steward.change_flow import ChangeFlow
from steward.notify.outbox import Outbox
from steward.notify.webhook import Webhook
from tests.gate.scenes import DOMAINS, SCENES
from tests.gate.world import NOON, WORDING
from tests.steward.change.office import bank_release
from tests.steward.change.receiver import listening

CUSTOMERS = 20_000
ONE_BY_ONE = 500
LETTERS = 500
FIELDS = tuple(DOMAINS)
SCENE = "segmentation"
ARMED = TriggerSet(SCENE, "metric_below", "accuracy", 9200)


def main() -> None:
    with TemporaryDirectory() as folder:
        rows = [*_changes(Path(folder) / "wave"), _delivered(Path(folder) / "letters")]
    for row in rows:  # each its own table: they are not each other's peers
        show(f"Changes of consent, {CUSTOMERS:,} customers, one core", "items", [row])


def _changes(home: Path) -> Iterator[Row]:
    with _followed(home) as (ledger, flow):
        _say(ledger, _people(), [Granted(SCENE, FIELDS, None), ARMED])
        yield _history(ledger, flow)
        yield _freeze(ledger, flow)
        ledger.announce([SignalReported("monitor", "accuracy", 9500, NOON)])
        yield _wave(ledger, flow, home)
        yield _one_by_one(ledger, flow)
    yield _started(home)


def _history(ledger: Ledger, flow: ChangeFlow) -> Row:
    began = time.perf_counter()
    flow.run(NOON)
    return Row("entries of a history, first followed", ledger.size / (time.perf_counter() - began))


def _started(home: Path) -> Row:
    """A process that starts where another ended, with nothing but the ledger."""
    with _followed(home) as (ledger, flow):
        began = time.perf_counter()
        if flow.run(NOON):
            raise AssertionError("a change was found that the flow before had found")
        took = time.perf_counter() - began
        return Row("entries folded at a start without a snapshot", ledger.size / took)


def _freeze(ledger: Ledger, flow: ChangeFlow) -> Row:
    """A signal was never reported: the first that is too low freezes nobody more, so thaw first."""
    ledger.announce([SignalReported("monitor", "accuracy", 9500, NOON)])
    flow.run(NOON)
    ledger.announce([SignalReported("monitor", "accuracy", 9199, NOON)])
    began = time.perf_counter()
    flow.run(NOON)
    took = time.perf_counter() - began
    return Row(
        "customers frozen by one report", CUSTOMERS / took, f"{took * 1e3:.3g} ms, one entry"
    )


def _wave(ledger: Ledger, flow: ChangeFlow, home: Path) -> Row:
    leaving = _people()[: CUSTOMERS // 2]
    _say(ledger, leaving, [Withdrawn(SCENE)])
    began = time.perf_counter()
    found = flow.run(NOON)
    took = time.perf_counter() - began
    case = next(each for each in Cases(home).open_cases() if each.kind == "withdrawal")
    if not found == case.count == len(leaving):
        raise AssertionError(f"{found} changes, {case.count} in the case, want {len(leaving)}")
    return Row("withdrawals of a wave, into one case", found / took, "durable in batches")


def _one_by_one(ledger: Ledger, flow: ChangeFlow) -> Row:
    times = []
    for who in _people()[-ONE_BY_ONE:]:
        _say(ledger, [who], [Withdrawn(SCENE)])
        began = time.perf_counter()
        flow.run(NOON + timedelta(hours=2))
        times.append(time.perf_counter() - began)
    p99 = sorted(times)[int(len(times) * 0.99)]
    return Row(
        "withdrawals one by one", len(times) / sum(times), f"p99 {p99 * 1e3:.3g} ms, durable"
    )


def _delivered(home: Path) -> Row:
    """Signed, over loopback, each noted durably before the next of its case."""
    rules = replace(SCENES[SCENE].change, window=timedelta(minutes=1))
    scenes = SCENES | {SCENE: replace(SCENES[SCENE], change=rules)}
    now = datetime.now(UTC)
    with _followed(home, scenes) as (ledger, flow):
        for number in range(LETTERS):
            at = now - timedelta(minutes=LETTERS - number)
            _say(ledger, [f"c{number}"], [Granted(SCENE, FIELDS, None), Withdrawn(SCENE)])
            flow.run(at)
    outbox = Outbox(home)
    with listening() as receiver:
        hook = Webhook(receiver.url, (bytes(32),))
        began = time.perf_counter()
        done = outbox.deliver(lambda _channel: hook, now)
        took = time.perf_counter() - began
    if done.delivered != LETTERS or len(receiver.heard) != LETTERS:
        raise AssertionError(f"{done} of {LETTERS}, {len(receiver.heard)} heard")
    return Row("notices delivered, loopback HTTP", LETTERS / took, "signed, each noted durably")


@contextmanager
def _followed(
    home: Path, scenes: Mapping[str, Scene] = SCENES
) -> Iterator[tuple[Ledger, ChangeFlow]]:
    ledger = Ledger.open(home, origin="bench.example/consent")
    release = bank_release()
    flow = ChangeFlow(
        home, ledger, scenes, ledger.origin, lambda _role: ["hook"], {SCENE: release}.get
    )
    yield ledger, flow
    flow.close()
    ledger.close()


def _people() -> list[str]:
    return [f"c{number:05}" for number in range(CUSTOMERS)]


def _say(ledger: Ledger, people: Sequence[str], acts: Sequence[Act]) -> None:
    batch: list[Instruction] = []
    for who in people:
        said = ledger.draft(who, acts[0], at=NOON, wording=WORDING)
        batch.append(said)
        for act in acts[1:]:
            said = said.next(act, at=NOON, wording=WORDING)
            batch.append(said)
    ledger.record(batch)
