"""Checks a sample of the gate's answers against the full Cedar policy.

The gate decides by compiled plans. This module evaluates the policy itself, off the hot path, in a
background thread that runs only while there are samples. If one answer differs, the gate suspends
its scene: it refuses everything there with reason `suspended`, raises an alert and reports it as
unhealthy, until somebody has investigated and restarted the gate.

Samples that cannot be compared because the ledger has moved on are counted and left to a replay of
the read log. Samples beyond the queue's capacity are counted and dropped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, Full, Queue
from random import Random
from threading import Lock, Thread
from typing import Any

import numpy as np

from gate.decision.alert import AlertKind, GateAlert
from gate.decision.decide import Reason, View, frozen
from gate.policy import cedar
from gate.policy.cedar import PolicyFacts
from gate.readlog.writer import Asked, Several
from gate.reads.point import Gate
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.customer_numbers import NOBODY
from ledger import clock
from ledger.vault import number_sets

MAX_WAITING = 256
MAX_MEMBERS = 16  # customers of a cohort checked per sample
IDLE_S = 2.0  # seconds without samples after which the thread ends

Sample = tuple[bytes, str | None]  # read-log entry, its customer (None: a cohort)


@dataclass(slots=True)
class CrosscheckResult:
    """How many samples had which result."""

    agreed: int = 0
    differed: int = 0
    passed: int = 0  # not comparable: refusals, and answers on an earlier ledger size
    dropped: int = 0  # the queue was full


class Crosscheck:
    """Checks one in `every` answers of a gate, on average. Thread-safe.

    Subscribe `see` to the gate's journal.
    """

    def __init__(self, gate: Gate, every: int, random: Random | None = None) -> None:
        self.checked = CrosscheckResult()
        self._gate, self._every, self._random = gate, every, random or Random()  # noqa: S311 - a sample
        self._waiting: Queue[Sample] = Queue(MAX_WAITING)
        self._skip = self._gap() - 1
        self._thread: Thread | None = None
        self._lock = Lock()

    def see(self, entries: Sequence[bytes], asked: Sequence[Asked]) -> None:
        """Sample the entries of one commit. Never blocks."""
        skip = self._skip
        for entry, each in zip(entries, asked, strict=True):
            count = len(each.subjects) if isinstance(each, Several) else 1
            while skip < count:
                self._take(_sample(entry, each, skip))
                skip += self._gap()
            skip -= count
        self._skip = skip

    def drain(self) -> None:
        """Block until all samples taken so far are checked."""
        self._waiting.join()

    def check(self, sample: Sample) -> None:
        """Evaluate one sample with full Cedar; suspend its scene if the results differ."""
        entry, subject = sample
        logged = json.loads(entry)
        agrees = self._agrees(logged, subject)
        if agrees is None:
            self.checked.passed += 1
        elif agrees:
            self.checked.agreed += 1
        else:
            self.checked.differed += 1
            self._suspend(logged)

    def _gap(self) -> int:
        return self._random.randint(1, 2 * self._every - 1)

    def _take(self, sample: Sample) -> None:
        try:
            self._waiting.put_nowait(sample)
        except Full:
            self.checked.dropped += 1
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                sample = self._waiting.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._thread = None
                        return
                continue
            try:
                self.check(sample)
            finally:
                self._waiting.task_done()

    def _agrees(self, logged: Mapping[str, Any], subject: str | None) -> bool | None:
        """Whether full Cedar decides as the entry says; None if they cannot be compared."""
        scene = self._gate.scenes.get(logged["scene"])
        if scene is None or logged["reason"] in _REFUSED or scene.id in self._gate.suspended:
            return None
        with self._gate.lock:
            state, point = self._gate.current(0)
            if point.size != logged["consent"]["size"]:
                return None
            if subject is None:
                asked = self._members(state, logged)
            else:
                asked = [(self._facts(state, logged, subject), None)]
        return all(self._same(logged, facts, member) for facts, member in asked)

    def _members(
        self, state: ConsentIndex, logged: Mapping[str, Any]
    ) -> list[tuple[list[PolicyFacts], bool | None]]:
        """For a random few customers: their policy facts, and whether the cohort has them."""
        cohort = self._gate.journal.sets.get(logged["cohort"])
        everybody = state.subjects.selected(np.ones(state.people, np.bool_))
        people = len(everybody.rows)
        chosen = np.array(self._random.sample(range(people), min(MAX_MEMBERS, people)), np.int64)
        some = everybody.some(chosen)
        numbers = self._gate.numbers.of_rows(state.replays, some).tolist()
        return [
            (self._facts(state, logged, name), number_sets.contains(cohort, number))
            for name, number in zip(some.names(), numbers, strict=True)
            if number != NOBODY
        ]

    def _facts(
        self, state: ConsentIndex, logged: Mapping[str, Any], subject: str
    ) -> list[PolicyFacts]:
        scene = logged["scene"]
        at = datetime.strptime(logged["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        minute = consent_bits.minute(at)
        consent, _ = self._gate.consent(state, scene, subject)
        stopped = frozen(consent, state.stale(scene, minute))
        bit = {
            name: consent_bits.field(place)
            for place, name in enumerate(self._gate.scenes[scene].fields)
        }
        until = consent_bits.expiry(consent)
        return [
            PolicyFacts(name, bool(consent & bit[name]), minute, until, stopped)
            for name in self._looked_at(logged)
        ]

    def _looked_at(self, logged: Mapping[str, Any]) -> list[str]:
        """The entry's fields; a generalised one is replaced by the coarser field it came from."""
        fields = self._gate.scenes[logged["scene"]].fields
        generalised = View.GENERALISED.value
        return [
            str(fields[name].generalised_by)
            if logged["views"].get(name) == generalised and logged["cohort"] is None
            else name
            for name in logged["fields"]
        ]

    def _same(
        self, logged: Mapping[str, Any], facts: list[PolicyFacts], member: bool | None
    ) -> bool:
        scene = self._gate.scenes[logged["scene"]]
        permitted = cedar.permits(self._gate.policy, scene, logged["service"], facts)
        if member is not None:
            return all(permitted) == member
        complete = logged["action"] == "evaluate"  # a read may give less: its source may be down
        return all(
            yes if logged["views"][name] in _GIVEN else not (complete and yes)
            for name, yes in zip(logged["fields"], permitted, strict=True)
        )

    def _suspend(self, logged: Mapping[str, Any]) -> None:
        scene, service = logged["scene"], logged["service"]
        self._gate.suspend(scene)
        detail = f"plan {logged['plan'][:16]} and policy {self._gate.policy.digest[:16]} disagree"
        alert = GateAlert(AlertKind.POLICY_MISMATCH, service, scene, clock.now(), 1, detail)
        self._gate.options.alarm(alert)


def _sample(entry: bytes, asked: Asked, place: int) -> Sample:
    """The entry to check; for a batch, that of the decision at `place` as a single entry."""
    if isinstance(asked, Several):
        return asked.line.alone(place), asked.subjects[place]
    return entry, asked[1]


_GIVEN = {View.PERSONAL.value, View.GENERALISED.value}
_REFUSED = {
    Reason.UNKNOWN_SCENE,
    Reason.UNKNOWN_SERVICE,
    Reason.FIELD_OUTSIDE_SCENE,
    Reason.NO_FIELDS,
    Reason.POLICY_FORBIDS,
    Reason.PURPOSE_DIFFERS,
    Reason.SHAPE_OUTSIDE_SCENE,
    Reason.QUOTA_EXCEEDED,
    Reason.SUSPENDED,
}
