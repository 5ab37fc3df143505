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

from gate.contract import Scene
from gate.journal import LOG, Journal
from gate.read import Gate
from gate.sources import Source
from gate.sources.duckdb import DuckDBSource
from gate.table import TableAnswer, TableRequest, read_table
from ledger import note
from ledger.event import Granted, SyntheticReleased, Withdrawn
from ledger.ledger import Ledger
from ledger.log import Log
from synthetic.budget import PrivacyLoss
from synthetic.fit import fit
from synthetic.release import Release
from synthetic.reweight import Mode
from tests.gate.scenes import DOMAINS, SCENES, SEGMENTATION
from tests.gate.world import NOON, WORDING, World, shipped

PEOPLE = 1200
LOSS = PrivacyLoss(Fraction(1, 4))  # little noise: a few rows
WORKLOAD = (("age", "job"), ("age", "housing"))
ANCHORED = replace(SEGMENTATION, completion=Mode.RELEASE_ANCHORED, digest="a" * 64)
FIELDS = tuple(DOMAINS)
ORIGIN = "test.example/reads-1"


@dataclass
class Watched:
    """A source that remembers whose rows were asked for, and in which columns."""

    source: Source
    asked: list[tuple[frozenset[str], tuple[str, ...]]] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.source.key

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        self.asked.append((frozenset([subject]), tuple(columns)))
        return self.source.row(subject, columns)

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        self.asked.append((frozenset(subjects), tuple(columns)))
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
    ledger = Ledger.open(home, origin="test.example/consent")
    drafts = [
        ledger.draft(customer(n), Granted(scene.id, FIELDS, None), at=NOON, wording=WORDING)
        for n in range(PEOPLE)
    ]
    ledger.record(drafts)
    log = Log.open(home / "reads" / LOG, ORIGIN, note.generate(ORIGIN))
    watched = Watched(DuckDBSource(database(home / "people.duckdb", true_rows())))
    journal = Journal(log, ledger, home / "reads")
    scenes = SCENES | {scene.id: scene}
    return World(ledger, Gate(ledger, watched, scenes, journal, shipped(), bytes(32)))


def released(bank: World, scene: str = "segmentation") -> Release:
    """Fit a release on those who consent, announce it, serve it."""
    contract = bank.gate.scenes[scene]
    who = bank.gate.consenting(scene, list(contract.domain.columns), NOON)
    if (found := _fitted.get((contract.digest, *who))) is None:
        found = _fitted[contract.digest, *who] = _fit(bank, contract, who)
    bank.ledger.announce([SyntheticReleased(found.id, scene, found.body(), NOON)])
    bank.gate.serve(scene, found)
    return found


_fitted: dict[tuple[str, ...], Release] = {}  # by contract and population: fitting takes seconds


def _fit(bank: World, scene: Scene, who: Sequence[str]) -> Release:
    return fit(
        bank.gate.source.rows(who, list(scene.domain.columns)),
        scene=scene.id,
        domain=scene.domain,
        workload=WORKLOAD,
        loss=LOSS,
        at=NOON,
        ledger_size=bank.ledger.size,
    )


def the_young_leave(bank: World, scene: str = "segmentation") -> None:
    """Nine in ten of them."""
    leaving = [customer(n) for n in range(PEOPLE) if young(n) and n % 10]
    shown = {"at": NOON, "wording": WORDING}
    bank.ledger.record([bank.ledger.draft(who, Withdrawn(scene), **shown) for who in leaving])


def ask(bank: World, fields: Sequence[str] = FIELDS, at: datetime = NOON) -> TableAnswer:
    return read_table(bank.gate, TableRequest("analytics", "segmentation", tuple(fields), at))


def young_admins(answer: TableAnswer) -> int:
    """How many of the table's rows are of the segment that has left."""
    age, job = (answer.table[name].to_numpy(zero_copy_only=False) for name in ("age", "job"))
    return int(np.sum((age < 30) & (job == "admin")))
