"""A replay of few entries reads their customers, and nobody else (G118)."""

import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from gate.readlog.writer import ReadLogEntry
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_table
from gate.reads.request import ReadRequest
from gate.replay.history import History, ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from ledger.events.envelope import Granted, SyntheticReleased, TriggerSet, Withdrawn
from ledger.follower import Follower
from tests.gate.scenes import SCENES
from tests.gate.test_replay import AGE, LIES, last, rule
from tests.gate.world import INSTANCE, NOON, World, shipped, world

NEAREST = Granted("nearest-branch", ("postcode_area",), None)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    """Answers about single customers, over a ledger that moves between them."""
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])
    bank.says("c1", Granted("segmentation", AGE, NOON + timedelta(minutes=30)))
    bank.says("c2", NEAREST)
    read(bank, "c1")
    read(bank, "c1", minutes=31)
    read(bank, "nobody")
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    bank.says("c2", Granted("segmentation", AGE, None))
    for accuracy in (9300, 9100):
        bank.reports("accuracy", accuracy)
        read(bank, "c2")
    bank.says("c1", Withdrawn("segmentation"))
    read(bank, "c1")
    read(bank, "c1", scene="no-such-scene")
    return bank


def read(bank: World, who: str, minutes: int = 0, scene: str = "segmentation") -> None:
    at = NOON + timedelta(minutes=minutes)
    bank.gate.read(ReadRequest("analytics", scene, who, AGE, at))


def replayed(home: Path, since: int = 0) -> ReplayReport:
    grounds = ReplayGrounds(SCENES, shipped())
    return replay(partial(Follower, home), home, INSTANCE, grounds, since=since)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    def everybody(_history: History, _versions: object) -> None:
        raise AssertionError("all customers' instructions were read")

    monkeypatch.setattr("gate.replay.replay.FEW", 0)
    monkeypatch.setattr(History, "_opened_states", everybody)


@pytest.mark.usefixtures("few")
def test_g118_few_answers_are_derived_from_their_customers_alone(
    bank: World, tmp_path: Path
) -> None:
    bank.gate.journal.record(rule(bank, "c1"), "c1")
    report = replayed(tmp_path)
    assert (report.differences, report.unopened) == ([], 0)  # "nobody" included
    assert report.entries == bank.gate.journal.log.size


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("why", LIES)
def test_g118_an_answer_that_does_not_follow_is_named(
    bank: World, tmp_path: Path, why: str
) -> None:
    honest = json.loads(last(bank).encode()) | {"subject": None}
    size, root = bank.ledger.root()
    lie = LIES[why] | {"consent": {"root": root, "size": size} | LIES[why].get("consent", {})}
    entry = bank.gate.journal.record(msgspec.convert(honest | lie, ReadLogEntry), "c1")
    assert [each.entry for each in replayed(tmp_path).differences] == [entry]
    assert [each.entry for each in replayed(tmp_path, entry).differences] == [entry]
    assert replayed(tmp_path, entry + 1).entries == 0


@pytest.mark.usefixtures("few")
def test_g118_what_rests_on_an_erased_customer_stays_unopened(bank: World, tmp_path: Path) -> None:
    bank.ledger.erase("c1", NOON)
    read(bank, "c2")
    report = replayed(tmp_path)
    assert (report.differences, report.unopened) == ([], 4)


@pytest.mark.usefixtures("few")
def test_g118_answers_may_be_written_in_another_order_than_decided(
    bank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.replay.replay.WINDOW", 1)
    slow = rule(bank)
    bank.says("c2", Withdrawn("segmentation"))
    bank.gate.journal.record_all([(rule(bank), "c2")] * 600)
    bank.gate.journal.record(slow, "c2")
    assert replayed(tmp_path).differences == []


def test_g118_a_table_is_derived_from_everybody(
    bank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.replay.replay.FEW", 0)
    read_table(bank.gate, TableRequest("analytics", "segmentation", AGE, NOON))
    report = replayed(tmp_path)
    assert (report.differences, report.entries) == ([], bank.gate.journal.log.size)
