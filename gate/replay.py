"""Re-derive every decision of a read log from the ledger, the contracts and the policy.

The read log says what was answered, why, and on which ledger prefix it rests. A replay folds the
consent log up to that prefix and asks the same pure function again. An answer may have given less
than the decision allowed (a source was down, a row was missing), never more.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from gate import cohort, policy, word
from gate.contract import Scene
from gate.decide import Decision, Reason, View, decide, refusal
from gate.journal import INDEX, LOG, pseudonym, tag
from gate.plan import Plan, compile_plan
from gate.policy import Policy
from gate.state import ConsentState
from ledger import checkpoint, note, tile
from ledger.event import SyntheticReleased
from ledger.ledger import Ledger
from ledger.reader import Recorded
from ledger.stores.sql import SqlStore

# Refusals that rest on more than ledger, contracts and policy. They give nothing.
BARRED = {Reason.PURPOSE_DIFFERS, Reason.QUOTA_EXCEEDED, Reason.SUSPENDED}


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry whose answer cannot be derived, and what was derived instead."""

    entry: int
    found: str
    derived: str


@dataclass(slots=True)
class Report:
    entries: int = 0
    derived: int = 0  # entries whose answer follows from ledger, contracts and policy
    unopened: int = 0  # entries about customers who cannot be named any more
    differences: list[Difference] = field(default_factory=list)


def replay(ledger: Ledger, folder: Path, scenes: Mapping[str, Scene], rules: Policy) -> Report:
    """Replay the read log under `folder`, which belongs to a gate over `ledger`."""
    origin, entries = _entries(folder)
    owners = _owners(ledger, folder, origin)
    past = _Past(ledger, scenes, rules)
    report = Report()
    for index, entry in enumerate(entries):
        reading = json.loads(entry)
        report.entries += 1
        past.advance(reading["consent"]["size"])
        subject = owners.get(index)
        if reading["subject"] is not None and (
            subject is None or tag(ledger, subject, origin, index) != reading["subject"]
        ):
            report.unopened += 1
        elif _barred(reading) or (derived := past.derive(reading, subject)) is None:
            report.derived += 1
        else:
            found = f"{reading['reason']} {reading['views']}"
            report.differences.append(Difference(index, found, derived))
    return report


def _barred(reading: Mapping[str, Any]) -> bool:
    return reading["reason"] in BARRED and not reading["views"]


class _Past:
    """The consent state as of one ledger prefix after another, and the plans of then."""

    def __init__(self, ledger: Ledger, scenes: Mapping[str, Scene], rules: Policy) -> None:
        self.size = 0
        self._ledger, self._scenes, self._rules = ledger, scenes, rules
        self._coming = ledger.follow(0)
        self._next: Recorded | None = next(self._coming, None)
        self._state = ConsentState(scenes)
        self._releases: dict[str, list[str | None]] = {scene: [None] for scene in scenes}
        self._offered: dict[tuple[str, str], frozenset[str]] = {}

    def follow(self, since: int) -> Iterator[Recorded]:
        """The entries that the state has not seen, up to `size`."""
        while self._next is not None and self._next.index < self.size:
            if self._next.index >= since:
                yield self._next
            if isinstance(self._next.event, SyntheticReleased):
                self._releases.setdefault(self._next.event.scene, [None]).append(
                    self._next.event.release
                )
            self._next = next(self._coming, None)

    def advance(self, size: int) -> None:
        self.size = max(self.size, size)
        self._state.catch_up(self)

    def derive(self, reading: Mapping[str, Any], subject: str | None) -> str | None:
        """None if the reading follows from what was in force; else what follows instead."""
        if self.size != reading["consent"]["size"]:
            return f"entry goes back to ledger size {reading['consent']['size']}"
        if self._ledger.root_at(self.size) != reading["consent"]["root"]:
            return "the ledger has another root at this size"
        if reading["scene"] not in self._scenes:
            derived = reading["reason"] == Reason.UNKNOWN_SCENE and not reading["views"]
            return None if derived else Reason.UNKNOWN_SCENE.value
        plan = self._plan(reading)
        if plan is None:
            return "no plan of this digest: the contract or policy of then is another"
        if reading["subject"] is None:
            return self._table(plan, reading)
        assert subject is not None  # noqa: S101 - the caller found whose tag it is
        return _compare(reading, self._point(plan, reading, subject))

    def _plan(self, reading: Mapping[str, Any]) -> Plan | None:
        service, scene = reading["service"], reading["scene"]
        if (service, scene) not in self._offered:
            offered = policy.offered(self._rules, self._scenes[scene], service)
            self._offered[service, scene] = offered
        for release in reversed(self._releases[scene]):
            plan = compile_plan(
                service,
                self._scenes[scene],
                offered=self._offered[service, scene],
                release=release,
                policy=self._rules.digest,
            )
            if plan.digest == reading["plan"]:
                return plan
        return None

    def _point(self, plan: Plan, reading: Mapping[str, Any], subject: str) -> Decision:
        minute = _minute(reading)
        return decide(
            plan,
            tuple(reading["fields"]),
            self._state.word(plan.scene.id, subject),
            minute,
            index=self._state.index(plan.scene.id, subject),
            size=self.size,
            stale=self._state.stale(plan.scene.id, minute),
        )

    def _table(self, plan: Plan, reading: Mapping[str, Any]) -> str | None:
        fields = tuple(reading["fields"])
        if (refused := refusal(plan, fields)) is not None:
            return None if reading["reason"] == refused else refused.value
        minute = _minute(reading)
        words, stale = self._state.words(plan.scene.id), self._state.stale(plan.scene.id, minute)
        members = cohort.readable(plan, words, plan.mask(fields) or 0, minute, stale)
        digest = sha256(np.packbits(members).tobytes()).hexdigest()
        return None if digest == reading["cohort"] else f"cohort {digest}"


def _compare(reading: Mapping[str, Any], derived: Decision) -> str | None:
    """None if the answer gave what the decision allows, or less and said so."""
    views = {name: view.value for name, view in derived.views.items()}
    less = all(
        reading["views"].get(name) in {view, View.WITHHELD.value} for name, view in views.items()
    )
    reasons = {derived.reason.value}
    if reading["action"] == "read":
        reasons.add(Reason.SOURCE_UNAVAILABLE.value)
    else:
        less = reading["views"] == views
    same = (
        reading["views"].keys() == views.keys()
        and less
        and reading["reason"] in reasons
        and reading["determined_by"] == derived.determined_by
    )
    return None if same else f"{derived.reason.value} {views}"


def _minute(reading: Mapping[str, Any]) -> int:
    at = datetime.strptime(reading["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return word.minute(at)


def _entries(folder: Path) -> tuple[str, Iterator[bytes]]:
    """The read log's origin, and its entries as they were committed."""
    store = SqlStore(folder / LOG)
    head = store.head()
    if head is None:
        return "", iter(())
    at = checkpoint.parse(note.parse(head.note).text)
    bundles = (store.bundle(n) or b"" for n in range(-(-at.size // tile.WIDTH)))
    return at.origin, (entry for bundle in bundles for entry in tile.unbundle(bundle))


def _owners(ledger: Ledger, folder: Path, origin: str) -> dict[int, str]:
    """Entry -> customer, for those whose keys still exist."""
    names = {pseudonym(ledger, subject, origin): subject for subject in ledger.subjects()}
    rows: Sequence[tuple[bytes, int]]
    index = sqlite3.connect(folder / INDEX)
    try:
        rows = index.execute("SELECT pseudonym, entry FROM reading").fetchall()
    finally:
        index.close()
    return {entry: names[each] for each, entry in rows if each in names}
