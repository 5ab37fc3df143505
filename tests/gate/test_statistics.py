"""Counting everybody who does not object, and completing tables to these counts (G165 to G167)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gate.contracts.scene import (
    ENDLESS,
    Fallback,
    LegalBasis,
    Population,
    ReadShape,
    Scene,
    Surrogates,
)
from gate.decision.decide import Reason, View
from gate.factory import build
from gate.readlog.by_customer import entries_of
from gate.reads.bulk import statistics
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.statistics import StatisticsRefusedError
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.request import ReadRequest
from gate.reads.sources import data_keys
from gate.reads.sources.duckdb import DuckDBSource
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from ledger.events.envelope import Granted, SyntheticReleased, Withdrawn
from ledger.follower import Follower
from ledger.service import Ledger
from synthetic.fitting.budget_split import MeasuredMarginals
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from tests.gate.completing import (
    ANCHORED,
    FIELDS,
    LOSS,
    WORKLOAD,
    Watched,
    customer,
    database,
    true_rows,
)
from tests.gate.scenes import DOMAINS, scene
from tests.gate.world import INSTANCE, NOON, WORDING, World, journal, shipped

OBJECTORS, CONSENTING = [customer(n) for n in range(6)], [customer(n) for n in range(300, 600)]
COUNTED = replace(
    scene(
        "counts",
        dict.fromkeys(DOMAINS, Fallback.WITHHOLD),
        fallback=Fallback.WITHHOLD,
        basis=LegalBasis.INTEREST,
        longest=ENDLESS,
    ),
    shapes=frozenset({ReadShape.STATISTICS}),
    surrogates=None,
    workload=WORKLOAD,
)
SERVED = replace(ANCHORED, population=Population.NOT_OBJECTING, surrogates=Surrogates.INDEPENDENT)
SCENES = {each.id: each for each in (SERVED, COUNTED)}


class Open(Watched):
    """A source whose rows may be counted whatever their customers consented to."""

    def everybody(self, columns: Sequence[str]) -> object:
        return self.source.everybody(columns)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    """Of 1,200 customers 300 consent and 6 object."""
    source = Open(DuckDBSource(database(tmp_path / "people.duckdb", true_rows())))
    ledger = Ledger.open(tmp_path, origin="test.example/consent")
    data_keys.create(ledger, source)
    said = [(who, Granted(SERVED.id, FIELDS, None)) for who in CONSENTING]
    ledger.record([ledger.draft(who, act, at=NOON, wording=WORDING) for who, act in said])
    objection = Withdrawn(COUNTED.id)
    ledger.record([ledger.draft(who, objection, at=NOON, wording=WORDING) for who in OBJECTORS])
    made = build(ledger, source, SCENES, journal(tmp_path, ledger), shipped(), bytes(32))
    return World(ledger, made)


def released(bank: World, of: Scene = COUNTED) -> Release:
    counted = statistics.population(bank.gate, of, NOON)
    made = fit(
        counted.rows,
        scene=of.id,
        domain=of.domain,
        workload=of.workload,
        loss=LOSS,
        at=NOON,
        ledger_size=counted.point.size,
        marginals=MeasuredMarginals.DECLARED,
    )
    bank.ledger.announce([SyntheticReleased(made.id, of.id, made.body(), NOON)])
    bank.gate.serve(of.id, made)
    return made


def finds(bank: World, who: str) -> list[str]:
    found = entries_of(bank.gate.journal.reads, bank.ledger, who)
    return [entry["action"] for _, entry in found]


def derived(bank: World, home: Path) -> tuple[int, int, int]:
    grounds = ReplayGrounds(SCENES, shipped())
    report = replay(partial(Follower, home), home, INSTANCE, grounds)
    return report.derived, len(report.differences), len(report.faults)


def test_g166_everybody_is_counted_but_objectors_and_the_erased(
    bank: World, tmp_path: Path
) -> None:
    bank.ledger.erase(customer(20), NOON)
    left_out = {*OBJECTORS, customer(20)}
    counted = statistics.population(bank.gate, COUNTED, NOON)
    ids = {*counted.rows.to_pyarrow()["id"].to_pylist()}
    assert ids == {customer(n) for n in range(1200)} - left_out
    assert counted.people == len(ids) == 1193
    assert finds(bank, customer(700)) == finds(bank, CONSENTING[0]) == ["statistics"]
    assert not any(finds(bank, each) for each in left_out)
    assert derived(bank, tmp_path) == (1, 0, 0)


def test_g166_nothing_is_counted_without_its_entry(bank: World) -> None:
    assert isinstance(bank.gate.source, Open)
    bank.gate.suspend(COUNTED.id)
    with pytest.raises(StatisticsRefusedError, match="policy permit it"):
        statistics.population(bank.gate, COUNTED, NOON)
    assert finds(bank, customer(700)) == []
    assert bank.gate.source.asked == []


def test_g167_tables_are_completed_to_the_counts_of_everybody(bank: World, tmp_path: Path) -> None:
    before = read_table(bank.gate, TableRequest("analytics", SERVED.id, FIELDS, NOON))
    assert (before.mode, before.synthetic) == ("none", 0)
    made = released(bank)
    table = read_table(bank.gate, TableRequest("analytics", SERVED.id, FIELDS, NOON))
    assert (table.mode, table.release) == ("release-anchored", made.id)
    assert (table.authorised, table.synthetic) == (300, 900)
    young = sum(age < 30 for age in table.table["age"].to_pylist())
    assert abs(young - 400) < 20, "as many as there are, whoever consented"
    assert table.error is not None
    # Six objected; the noise of the release's total may hide them.
    assert ("never counted" in table.error.covers) is (made.rows < 1200)
    assert derived(bank, tmp_path) == (3, 0, 0)


def test_g167_the_last_release_for_statistics_counts(bank: World, tmp_path: Path) -> None:
    first, second = released(bank), released(bank)
    table = read_table(bank.gate, TableRequest("analytics", SERVED.id, FIELDS, NOON))
    assert first.id != second.id == table.release
    assert derived(bank, tmp_path) == (3, 0, 0)


def test_g167_no_answer_about_one_customer_is_drawn_from_the_counts(
    bank: World, tmp_path: Path
) -> None:
    released(bank)
    answer = bank.gate.read(ReadRequest("analytics", SERVED.id, customer(700), FIELDS, NOON))
    assert {*answer.views.values()} == {View.WITHHELD}
    assert answer.decision.reason is Reason.NEVER_GRANTED
    assert derived(bank, tmp_path) == (2, 0, 0)


def test_g165_a_scene_for_statistics_answers_nobody(bank: World, tmp_path: Path) -> None:
    released(bank)
    read = ReadRequest("analytics", COUNTED.id, customer(700), ("age",), NOON)
    table = TableRequest("analytics", COUNTED.id, ("age",), NOON)
    assert bank.gate.read(read).decision.reason is Reason.SHAPE_OUTSIDE_SCENE
    assert read_table(bank.gate, table).reason is Reason.SHAPE_OUTSIDE_SCENE
    assert read_rows(bank.gate, table).reason is Reason.SHAPE_OUTSIDE_SCENE
    assert derived(bank, tmp_path) == (4, 0, 0)
