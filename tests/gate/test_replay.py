"""Every logged decision can be derived again, and one that cannot is named (G60, G61)."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gate.authzen import ResourceSearch, search_resources
from gate.decide import Reason, View
from gate.journal import Reading
from gate.read import ReadRequest
from gate.replay import Report, replay
from gate.table import TableRequest, read_table
from ledger.event import Granted, SyntheticReleased, TriggerSet, Withdrawn
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, World, shipped, world

AGE = ("age",)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    """Every kind of answer, over a ledger that moves between them."""
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])

    def read(scene: str, fields: tuple[str, ...], who: str = "c1", minutes: int = 0) -> None:
        at = NOON + timedelta(minutes=minutes)
        bank.gate.read(ReadRequest("analytics", scene, who, fields, at))

    bank.says("c1", Granted("segmentation", AGE, NOON + timedelta(minutes=30)))
    bank.says("c2", Granted("nearest-branch", ("postcode_area",), None))
    read("segmentation", AGE)
    read("segmentation", ("age", "job"))
    read("segmentation", AGE, minutes=31)
    read("nearest-branch", ("location",), "c2")
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    bank.says("c2", Granted("segmentation", AGE, None))
    bank.reports("accuracy", 9300)
    read("segmentation", AGE, "c2")
    bank.reports("accuracy", 9100)
    read("segmentation", AGE, "c2")
    read_table(bank.gate, TableRequest("analytics", "segmentation", AGE, NOON))
    bank.says("c1", Withdrawn("segmentation"))
    read("segmentation", AGE)
    read("no-such-scene", AGE)
    read("segmentation", ("shoe_size",))
    read_table(bank.gate, TableRequest("crm", "segmentation", (), NOON))
    search = {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer"},
        "context": {"scene": "segmentation", "fields": ["age"]},
    }
    search_resources(bank.gate, msgspec.convert(search, ResourceSearch), NOON)
    return bank


def replayed(bank: World, home: Path) -> Report:
    return replay(bank.ledger, home / "reads", SCENES, shipped())


def test_every_answer_is_derived_again(bank: World, tmp_path: Path) -> None:
    report = replayed(bank, tmp_path)
    assert report.differences == []
    assert (report.derived, report.unopened) == (report.entries, 0)
    assert report.entries == bank.gate.journal.log.size == 12


def last(bank: World) -> Reading:
    log = bank.gate.journal.log
    for entry in reversed(list(log.entries(0, log.size))):
        found = json.loads(entry)
        if found["reason"] == Reason.WITHDRAWN:
            return msgspec.convert(found, Reading)
    raise AssertionError("no withdrawn read in the log")


LIES = {
    "more was given than allowed": {"views": {"age": View.PERSONAL}},
    "another reason": {"reason": Reason.GRANTED},
    "another determining entry": {"determined_by": 0},
    "another plan": {"plan": "0" * 64},
    "another scene's silence": {"scene": "no-such-scene"},
    "another root": {"consent": {"root": "A" * 43 + "=", "size": 9}},
}


@pytest.mark.parametrize("why", LIES)
def test_an_answer_that_does_not_follow_is_named(bank: World, tmp_path: Path, why: str) -> None:
    honest = json.loads(last(bank).encode()) | {"subject": None}
    consent = honest["consent"] | {
        "size": bank.ledger.size,
        "root": bank.ledger.root()[1],
    }
    lie = {"consent": consent} | json.loads(json.dumps(LIES[why]))
    if why == "another root":
        lie["consent"]["size"] = bank.ledger.size
    entry = bank.gate.journal.record(msgspec.convert(honest | lie, Reading), "c1")
    report = replayed(bank, tmp_path)
    assert [each.entry for each in report.differences] == [entry]


def test_entries_of_an_erased_customer_stay_unopened(bank: World, tmp_path: Path) -> None:
    bank.ledger.erase("c1", NOON)
    report = replayed(bank, tmp_path)
    assert report.unopened == 6
