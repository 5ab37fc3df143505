"""Agreement health of 100,000 customers: all reports, and the update after one change."""

import random
from datetime import UTC, datetime, timedelta

from benchmarks.table import Row, rate, show
from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from ledger.events.envelope import FIRST, EvidenceClass, Granted, Instruction, Wording, instruction
from ledger.reader import RecordedEvent
from steward.agreements.health import AgreementHealth, thresholds
from steward.agreements.running_health import RunningHealth
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

CUSTOMERS = 100_000
CHANGES = 10_000
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = consent_bits.minute(NOW + timedelta(days=1))


class Grants:
    """A ledger of which only the consent matters here."""

    def __init__(self, scenes: list[Scene]) -> None:
        self._scenes = scenes
        self.said: list[RecordedEvent] = []

    @property
    def size(self) -> int:
        return len(self.said)

    def follow(self, since: int) -> "list[RecordedEvent]":
        return self.said[since:]

    def say(self, customer: int) -> None:
        """The customer allows some fields of some scene."""
        scene = random.choice(self._scenes)
        fields = random.sample([*scene.fields], random.randint(1, len(scene.fields)))
        act = Granted(scene.id, tuple(fields), None)
        self.said.append(RecordedEvent(self.size, _said(f"c{customer:06d}", act)))


def _said(subject: str, act: Granted) -> Instruction:
    wording = Wording("en", bytes(32))
    return instruction("b/c", subject, 0, FIRST, act, NOW, wording, EvidenceClass.SESSION)


def main() -> None:
    scenes = load_scenes(SCENES_FOLDER, load_source(SOURCE_CONTRACT))
    ledger = Grants([each for each in scenes.values() if not each.locked])
    for each in range(CUSTOMERS):
        ledger.say(each)
    state = ConsentIndex(scenes)
    state.catch_up(ledger)  # type: ignore[arg-type] # a list is an iterator's source
    watched = {scene.id: dict.fromkeys(scene.fields, True) for scene in scenes.values()}
    health, limits = AgreementHealth(scenes, scenes, watched), thresholds()
    running = RunningHealth(health, limits, state, LATER)

    def reports() -> int:
        return sum(len(each.advice(limits)) for each in health.everybody(state, LATER))

    def aggregate() -> int:
        found = health.everybody(state, LATER)
        return found.total().granted + sum(int(r.sum()) for r in found.advised(limits).values())

    subjects = random.sample(state.subjects, CHANGES)

    def points() -> int:
        return sum(health.report(state, each, LATER).granted for each in subjects)

    rows = [
        Row("all reports with advice, as objects", rate(reports, CUSTOMERS)),
        Row("the same as arrays, with the aggregate", rate(aggregate, CUSTOMERS)),
        Row("one report at a time", rate(points, CHANGES)),
    ]
    show(f"Agreement health of {CUSTOMERS:,} customers, one core", "reports", rows)

    def again() -> RunningHealth:
        return RunningHealth(health, limits, state, LATER)

    show("Everybody counted again", "recounts", [Row("after time or a signal", rate(again, 1))])
    changes = [Row("one instruction taken in", _changes(ledger, state, running))]
    show("Aggregate after each change", "changes", changes)
    if running.total() != health.everybody(state, LATER).total() or running.recounts != 1:
        raise AssertionError("the running figures are not those of a recount")


def _changes(ledger: Grants, state: ConsentIndex, running: RunningHealth) -> float:
    def change() -> None:
        for _ in range(CHANGES):
            seen = ledger.size
            ledger.say(random.randrange(CUSTOMERS))
            state.catch_up(ledger)  # type: ignore[arg-type] # as above
            running.follow(ledger.follow(seen), state, LATER)

    return rate(change, CHANGES, rounds=3)
