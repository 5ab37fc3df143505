"""Triggers: a customer's condition, executed without anybody's doing (G40-G44)."""

from datetime import timedelta
from pathlib import Path

import pytest

from gate.decision.decide import Reason, View
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.request import ReadRequest
from gate.state import snapshot
from ledger.events.envelope import Granted, TriggerCleared, TriggerSet
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, PEOPLE, World, world

AGE = ("age",)
ARMED = TriggerSet("segmentation", "metric_below", "accuracy", 9200)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    for who in PEOPLE:
        bank.says(who, Granted("segmentation", AGE, None))
    bank.says("c1", ARMED)
    bank.reports("accuracy", 9500)
    return bank


def reason(bank: World, who: str = "c1", at_minutes: int = 0) -> Reason:
    at = NOON + timedelta(minutes=at_minutes)
    return bank.gate.read(ReadRequest("analytics", "segmentation", who, AGE, at)).decision.reason


def test_ninety_two_passes_and_a_hundredth_less_freezes(bank: World) -> None:
    bank.reports("accuracy", 9200)
    assert reason(bank) is Reason.GRANTED
    bank.reports("accuracy", 9199)
    assert reason(bank) is Reason.FROZEN
    bank.reports("accuracy", 9200)
    assert reason(bank) is Reason.GRANTED


def test_a_report_moves_exactly_those_whose_threshold_it_crosses(bank: World) -> None:
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9000))
    size = bank.ledger.size
    bank.reports("accuracy", 9150)
    assert bank.ledger.size == size + 1
    assert [reason(bank, who) for who in PEOPLE] == [
        Reason.FROZEN,
        Reason.GRANTED,
        Reason.GRANTED,
    ]
    answer = read_table(bank.gate, TableRequest("analytics", "segmentation", AGE, NOON))
    assert (answer.authorised, answer.synthetic) == (2, 1)


def test_a_signal_never_reported_freezes(bank: World) -> None:
    bank.says("c1", TriggerSet("segmentation", "incident_open", "incident", 0))
    assert reason(bank) is Reason.FROZEN
    bank.reports("incident", 0)
    assert reason(bank) is Reason.GRANTED
    bank.reports("incident", 1)
    assert reason(bank) is Reason.FROZEN


def test_a_stale_signal_freezes_only_who_watches_it(bank: World) -> None:
    week = 7 * 24 * 60
    assert reason(bank, at_minutes=week - 1) is Reason.GRANTED
    assert reason(bank, at_minutes=week) is Reason.FROZEN
    assert reason(bank, "c2", at_minutes=week) is Reason.GRANTED


def test_a_stale_signal_takes_its_customers_out_of_tables_and_rows(bank: World) -> None:
    week = NOON + timedelta(days=7)
    for at, count in ((week - timedelta(minutes=1), 3), (week, 2)):
        for read in (read_table, read_rows):
            answer = read(bank.gate, TableRequest("analytics", "segmentation", AGE, at))
            assert answer.authorised == count
    rows = read_rows(bank.gate, TableRequest("analytics", "segmentation", AGE, week))
    assert rows.table["customer"].to_pylist() == ["c2", "c3"]


def test_a_report_from_the_future_does_not_count(bank: World) -> None:
    bank.reports("accuracy", 9900, at=NOON + timedelta(days=1))
    assert reason(bank) is Reason.FROZEN


def test_a_report_from_somebody_else_does_not_count(bank: World) -> None:
    bank.reports("accuracy", 9100)
    bank.reports("accuracy", 9900, source="somebody")
    assert reason(bank) is Reason.FROZEN


def test_clearing_thaws_and_arming_again_takes_the_new_threshold(bank: World) -> None:
    bank.reports("accuracy", 9100)
    bank.says("c1", TriggerCleared("segmentation", "metric_below", "accuracy"))
    assert reason(bank) is Reason.GRANTED
    bank.says("c1", TriggerSet("segmentation", "metric_below", "accuracy", 9100))
    assert reason(bank) is Reason.GRANTED
    bank.says("c1", TriggerSet("segmentation", "metric_below", "accuracy", 9101))
    assert reason(bank) is Reason.FROZEN


def test_a_frozen_read_keeps_its_schema(bank: World) -> None:
    bank.reports("accuracy", 9000)
    answer = bank.gate.read(ReadRequest("analytics", "segmentation", "c1", AGE, NOON))
    assert answer.views == {"age": View.SYNTHETIC}
    assert not answer.decision.allowed


def test_a_snapshot_keeps_thresholds_and_reports(bank: World, tmp_path: Path) -> None:
    with bank.gate.lock:
        snapshot.save(*bank.gate.current(0), tmp_path / "consent.npz")
    resumed = snapshot.load(tmp_path / "consent.npz", SCENES, bank.ledger)
    assert resumed is not None
    bank.reports("accuracy", 9199)
    resumed.catch_up(bank.ledger)
    with bank.gate.lock:
        state, _ = bank.gate.current(0)
    for who in PEOPLE:
        assert resumed.bits("segmentation", who) == state.bits("segmentation", who)
    assert resumed.reports == state.reports
