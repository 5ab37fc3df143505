"""A bank whose customers withdraw, and not at random: the young leave more readily.

Everybody's housing and job follow from their age, so that who drops the leavers is badly off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from gate.contracts.scene import Scene
from gate.factory import build
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import TableAnswer, read_table
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import RowSource, SourceUnavailableError
from ledger.events.envelope import Granted, SyntheticReleased, Withdrawn
from ledger.service import Ledger
from synthetic.completion.mode import Mode
from synthetic.fitting.fit import Loss, fit
from synthetic.fitting.release import Release
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.mechanisms import Noise
from tests.gate.scenes import DOMAINS, SCENES, SEGMENTATION
from tests.gate.world import NOON, WORDING, World, journal, shipped

PEOPLE = 1200
LOSS = PrivacyLoss(Fraction(1, 4))  # little noise: a few rows
WORKLOAD = (("age", "job"), ("age", "housing"))
ANCHORED = replace(SEGMENTATION, completion=Mode.RELEASE_ANCHORED, digest="a" * 64)
FIELDS = tuple(DOMAINS)
ORIGIN = "test.example/reads-1"


@dataclass
class Watched:
    """A source that remembers whose rows were asked for, and in which columns."""

    source: RowSource
    down: bool = False
    asked: list[tuple[frozenset[str], tuple[str, ...]]] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.source.key

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        self.asked.append((frozenset([subject]), tuple(columns)))
        return self.source.row(subject, columns)

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        self.asked.append((frozenset(subjects), tuple(columns)))
        if self.down and len(self.asked) > 1:
            raise SourceUnavailableError("down after the first answer")
        return self.source.rows(subjects, columns)

    def everybody(self, columns: Sequence[str]) -> Any:
        raise AssertionError(f"{columns} of everybody, whatever they consented to")

    def count(self) -> int:
        return self.source.count()


def young(person: int) -> bool:
    return person % 3 == 0


def customer(person: int) -> str:
    return f"c{person:04d}"


def true_rows() -> list[dict[str, Any]]:
    return [
        {"age": 22 + person % 7, "job": "admin", "housing": "no"}
        if young(person)
        else {"age": 50 + person % 30, "job": "retired", "housing": "yes"}
        for person in range(PEOPLE)
    ]


def database(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = {"id": [customer(each) for each in range(len(rows))]}
    named = pa.table(columns | {name: [row[name] for row in rows] for name in FIELDS})
    with duckdb.connect(path) as connection:
        connection.register("people", named)
        connection.execute("CREATE TABLE customer AS SELECT *, id AS name FROM people")
    return path


def bank(home: Path, scene: Scene = ANCHORED) -> World:
    """Everybody has granted every field, at noon."""
    source = DuckDBSource(database(home / "people.duckdb", true_rows()))
    return opened(home, source, scene, [customer(n) for n in range(PEOPLE)])


def opened(home: Path, source: RowSource, scene: Scene, people: Sequence[str]) -> World:
    """A gate over `source`, in whose scene all of `people` have granted every field, at noon."""
    ledger = Ledger.open(home, origin="test.example/consent")
    act = Granted(scene.id, tuple(scene.fields), None)
    ledger.record([ledger.draft(who, act, at=NOON, wording=WORDING) for who in people])
    return over(ledger, home, source, scene)


def over(ledger: Ledger, home: Path, source: RowSource, scene: Scene) -> World:
    """A gate over a ledger and a source."""
    scenes = SCENES | {scene.id: scene}
    return World(
        ledger, build(ledger, Watched(source), scenes, journal(home, ledger), shipped(), bytes(32))
    )


def reopened(home: Path, releases: Sequence[Release]) -> World:
    """A bank over the data directory of one, whose `releases` are served."""
    ledger = Ledger.open(home, origin="test.example/consent")
    world = over(ledger, home, DuckDBSource(home / "people.duckdb"), ANCHORED)
    for each in releases:
        world.gate.serve(ANCHORED.id, each)
    return world


def released(bank: World, loss: Loss = LOSS, noise: Noise | None = None) -> Release:
    """Fit a release on those who consent, announce it, serve it."""
    scene = bank.gate.scenes["segmentation"]
    who = bank.gate.consenting(scene.id, list(scene.domain.columns), NOON)
    if (found := _fitted.get((scene.digest, *who))) is None:
        found = _fitted[scene.digest, *who] = _fit(bank, scene, who, loss, noise)
    bank.ledger.announce([SyntheticReleased(found.id, scene.id, found.body(), NOON)])
    bank.gate.serve(scene.id, found)
    return found


_fitted: dict[tuple[str, ...], Release] = {}  # by contract and population: fitting takes seconds


def _fit(bank: World, scene: Scene, who: Sequence[str], loss: Loss, noise: Noise | None) -> Release:
    return fit(
        bank.gate.source.rows(who, list(scene.domain.columns)),
        scene=scene.id,
        domain=scene.domain,
        workload=scene.workload or WORKLOAD,
        loss=loss,
        at=NOON,
        ledger_size=bank.ledger.size,
        noise=noise,
    )


def the_young_leave(bank: World) -> None:
    """Nine in ten of them."""
    leave(bank, [customer(n) for n in range(PEOPLE) if young(n) and n % 10])


def leave(bank: World, people: Sequence[str], scene: str = "segmentation") -> None:
    act, draft = Withdrawn(scene), bank.ledger.draft
    bank.ledger.record([draft(who, act, at=NOON, wording=WORDING) for who in people])


def ask(bank: World, fields: Sequence[str] = FIELDS, at: datetime = NOON) -> TableAnswer:
    return read_table(bank.gate, TableRequest("analytics", "segmentation", tuple(fields), at))


def young_admins(answer: TableAnswer) -> int:
    """How many of the table's rows are of the segment that has left."""
    age, job = (answer.table[name].to_numpy(zero_copy_only=False) for name in ("age", "job"))
    return int(np.sum((age < 30) & (job == "admin")))
