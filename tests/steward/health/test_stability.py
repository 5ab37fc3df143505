"""The authorisation stability coefficient, and who may see it (H8–H10)."""

from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from gate.decision.decide import Reason, View
from gate.factory import build
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_table
from gate.reads.request import Answer, ReadRequest
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from ledger.events.envelope import Granted, SubjectErased, Withdrawn
from ledger.service import Ledger
from steward.agreements.stability import FIELD, WithStability, coefficient, ten_thousandths
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, World, journal, people, shipped, world

TWO = {
    "segmentation": SCENES["segmentation"],
    "direct-marketing": SCENES["direct-marketing"],
    "contract-service": SCENES["contract-service"],
}
SCENE = "renewal-forecast"


def days(count: float) -> datetime:
    return NOON - timedelta(days=count)


HISTORIES: dict[str, tuple[list[tuple[str, float]], Fraction | None]] = {
    "granted once, long ago": ([("segmentation", 800)], Fraction(1)),
    # 73 days as now, of the 292 since the first instruction; the other scene never moved
    "granted, withdrawn, granted": (
        [("segmentation", 292), ("-segmentation", 146), ("segmentation", 73)],
        (Fraction(146 + 73, 292) + 1) / 2,
    ),
    "withdrawn and left so": ([("segmentation", 730), ("-segmentation", 400)], Fraction(1)),
    "withdrawn yesterday, a year after": (
        [("segmentation", 730), ("-segmentation", 73)],
        (Fraction(73, 365) + 1) / 2,
    ),
    "both changed half a year ago": (
        [("segmentation", 365), ("-segmentation", 182.5), ("direct-marketing", 182.5)],
        Fraction(1, 2),
    ),
    "said again what held": ([("segmentation", 365), ("segmentation", 10)], Fraction(1)),
    "a scene based on the contract does not count": ([("contract-service", 100)], Fraction(1)),
}


@pytest.mark.parametrize("why", HISTORIES)
def test_the_coefficient_is_the_one_worked_out_by_hand(why: str, tmp_path: Path) -> None:
    told, expected = HISTORIES[why]
    bank = world(tmp_path, release=False)
    for name, ago in told:
        named = name.removeprefix("-")
        fields = tuple(TWO[named].fields)
        act = Withdrawn(named) if name[0] == "-" else Granted(named, fields, None)
        bank.says("c1", act, days(ago))
    assert coefficient(bank.ledger.history("c1"), TWO, NOON) == expected


def test_a_steady_refusal_is_as_stable_as_a_steady_permission(tmp_path: Path) -> None:
    bank = world(tmp_path, release=False)
    for subject, act in (
        ("c1", Granted("segmentation", ("age",), None)),
        ("c2", Withdrawn("segmentation")),
    ):
        bank.says(subject, act, days(500))
    one, other = (coefficient(bank.ledger.history(each), TWO, NOON) for each in ("c1", "c2"))
    assert one == other == 1


def test_without_a_history_or_time_there_is_no_coefficient(tmp_path: Path) -> None:
    bank = world(tmp_path, release=False)
    assert coefficient([], TWO, NOON) is None
    bank.says("c1", Granted("segmentation", ("age",), None))
    assert coefficient(bank.ledger.history("c1"), TWO, NOON) is None
    assert coefficient(bank.ledger.history("c1"), TWO, days(1)) is None
    assert ten_thousandths(None) is None


def test_h8_before_a_whole_second_has_passed_there_is_no_coefficient(tmp_path: Path) -> None:
    """A read in the second of the customer's first instruction divides by nothing."""
    bank = world(tmp_path, release=False)
    bank.says("c1", Granted("segmentation", ("age",), None), NOON)
    history = bank.ledger.history("c1")
    assert coefficient(history, TWO, NOON + timedelta(milliseconds=999)) is None
    assert coefficient(history, TWO, NOON + timedelta(seconds=1)) == 1


def test_ten_thousandths_are_rounded_down() -> None:
    assert ten_thousandths(Fraction(2, 3)) == 6666


@pytest.fixture
def bank(tmp_path: Path) -> World:
    """The shipped contracts over three people, and the product's own source."""
    source = load_source(SOURCE_CONTRACT)
    scenes = load_scenes(SCENES_FOLDER, source)
    ledger = Ledger.open(tmp_path, origin="test.example/consent")
    table = people(tmp_path / "people.duckdb")
    with duckdb.connect(table) as connection:
        connection.execute("ALTER TABLE customer ADD COLUMN balance INTEGER DEFAULT 7")
    rows = WithStability(DuckDBSource(table), ledger, scenes, clock=lambda: NOON)
    return World(
        ledger, build(ledger, rows, scenes, journal(tmp_path, ledger), shipped(), bytes(32))
    )


def ask(bank: World, service: str, named: str, *fields: str) -> Answer:
    return bank.gate.read(ReadRequest(service, named, "c1", fields, NOON))


def test_lead_scoring_never_sees_it(bank: World) -> None:
    every = tuple(bank.gate.scenes["lead-scoring"].fields)
    bank.says("c1", Granted("lead-scoring", (*every, FIELD), None), days(10))
    bank.says("c1", Granted(SCENE, (FIELD,), None), days(10))
    inside = ask(bank, "sales-desk", "lead-scoring", FIELD)
    assert (inside.decision.reason, inside.values) == (Reason.FIELD_OUTSIDE_SCENE, {})
    across = ask(bank, "sales-desk", SCENE, FIELD)
    assert (across.decision.reason, across.values) == (Reason.UNKNOWN_SERVICE, {})


def test_it_is_read_only_under_a_grant_of_its_own(bank: World) -> None:
    bank.says("c1", Granted(SCENE, ("age", "balance"), None), days(10))
    without = ask(bank, "risk-desk", SCENE, "age", FIELD)
    assert without.values == {"age": 31, FIELD: None}
    assert without.views[FIELD] is View.WITHHELD
    bank.says("c1", Granted(SCENE, ("age", FIELD), None), days(5))
    # eleven scenes ask for consent; this one is as now for 5 of 10 days
    expected = ten_thousandths((10 + Fraction(1, 2)) / 11)
    assert ask(bank, "risk-desk", SCENE, "age", FIELD).values == {"age": 31, FIELD: expected}
    bank.says("c1", Withdrawn(SCENE, (FIELD,)), days(1))
    assert ask(bank, "risk-desk", SCENE, FIELD).values == {FIELD: None}


def test_a_table_holds_it_for_those_who_grant_it(bank: World) -> None:
    for subject, fields in (("c1", ("balance", FIELD)), ("c2", ("balance",))):
        bank.says(subject, Granted(SCENE, fields, None), days(10))
    answer = read_table(bank.gate, TableRequest("risk-desk", SCENE, ("balance", FIELD), NOON))
    assert answer.authorised == 1
    shown = answer.table.to_pylist()
    assert [(row["balance"], row[FIELD]) for row in shown] == [(7, 10_000)]


def test_it_dies_with_the_customers_key(bank: World) -> None:
    bank.says("c1", Granted(SCENE, (FIELD,), None), days(10))
    bank.ledger.erase("c1", NOON)
    assert isinstance([*bank.ledger.announced()][-1].event, SubjectErased)
    assert bank.gate.source.row("c1", [FIELD]) == {FIELD: None}


def test_without_a_row_there_is_no_figure_and_it_is_never_read_for_everybody(bank: World) -> None:
    assert bank.gate.source.row("c9", ["age", FIELD]) is None
    assert bank.gate.source.row("c1", ["age"]) == {"age": 31}
    assert bank.gate.source.count() == 3
    everybody: Any = bank.gate.source.everybody
    assert everybody(["age"]).count().execute() == 3
    with pytest.raises(SourceUnavailableError, match="read it by customer"):
        everybody([FIELD])
