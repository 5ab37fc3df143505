"""Real customers, the real contract: three in ten withdraw, the young above all."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from gate.reads.bulk.table import TableAnswer
from gate.reads.sources.duckdb import DuckDBSource
from portal.demo.sources import customers
from portal.demo.sources.grants import initial_grants
from synthetic.completion.mode import Mode
from synthetic.fitting.fit import Loss
from synthetic.model.domain import Numbers
from synthetic.privacy.mechanisms import Noise
from tests.bank import contracts
from tests.gate.completing import LOSS, ask, leave, opened, released
from tests.gate.world import World

SCENE = contracts()[1]["segmentation"]
FIELDS = ("age", "y")
LARGE = 0.01  # of all rows: smaller segments are not looked at
Segments = Counter[tuple[int, str]]


@dataclass(frozen=True)
class Bank:
    world: World
    true: Segments  # of everybody, whatever they consent to

    def errors(self, answer: TableAnswer) -> list[float]:
        """Of each large segment of the table: its relative error."""
        found = segments(answer.table.select(FIELDS))
        large = {k: n for k, n in self.true.items() if n >= LARGE * self.true.total()}
        return [abs(found[each] - n) / n for each, n in large.items()]


def withdrawn(home: Path, each: int, loss: Loss = LOSS, noise: Noise | None = None) -> Bank:
    """Every `each`-th customer agreed, a release was made, three in ten left, another was made."""
    source, known = _customers(home, each)
    world = opened(home, source, SCENE, [who for who, _, _ in known])
    released(world, loss, noise)
    gone = [who for n, (who, age, _) in enumerate(known) if n % 20 < (15 if age < 35 else 2)]
    assert 0.27 < len(gone) / len(known) < 0.33
    leave(world, gone)
    released(world, loss, noise)
    return Bank(world, _counted((age, y) for _, age, y in known))


def never_agreed(home: Path, each: int, loss: Loss = LOSS, noise: Noise | None = None) -> Bank:
    """Of every `each`-th customer, those agreed who do when the demonstration begins."""
    source, known = _customers(home, each)
    everything = {
        (who, len(fields)) for who, scene, fields in initial_grants() if scene == SCENE.id
    }
    agreed = [who for who, _, _ in known if (who, len(SCENE.fields)) in everything]
    world = opened(home, source, SCENE, agreed)
    released(world, loss, noise)
    return Bank(world, _counted((age, y) for _, age, y in known))


def _customers(home: Path, each: int) -> tuple[DuckDBSource, list[tuple[str, int, str]]]:
    with duckdb.connect(home / "customers.duckdb") as connection:
        customers.load(connection)
        connection.execute(f"DELETE FROM customer WHERE substr(id, 2)::INTEGER % {each} <> 0")
        known = connection.execute("SELECT id, age, y FROM customer ORDER BY id").fetchall()
    return DuckDBSource(home / "customers.duckdb"), known


def segments(rows: Any) -> Segments:
    return _counted(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def _counted(rows: Iterable[tuple[int, str]]) -> Segments:
    ages = SCENE.domain["age"]
    assert isinstance(ages, Numbers)
    return Counter((sum(age >= edge for edge in ages.edges), y) for age, y in rows)


def naively(bank: Bank) -> TableAnswer:
    """What the table would be, had the contract named no mode."""
    gate = bank.world.gate
    anchored, served = gate.scenes, gate.served(SCENE.id).releases
    try:
        gate.scenes = {**anchored, SCENE.id: replace(SCENE, completion=Mode.NAIVE)}
        gate.serve(SCENE.id, *served)
        return ask(bank.world, FIELDS)
    finally:
        gate.scenes = anchored
        gate.serve(SCENE.id, *served)
