"""Rows, filters, stated purposes, quotas and suspended scenes can be derived again too (G60)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gate.decision.decide import Reason
from gate.decision.quota import Quota, Quotas
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.filter import FilterCondition
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from ledger.events.envelope import Granted, SyntheticReleased
from ledger.follower import Follower
from tests.gate.scenes import SCENES
from tests.gate.world import INSTANCE, NOON, World, shipped, with_options, world

AGE = ("age",)
REQUEST = TableRequest("analytics", "segmentation", AGE, NOON)
POINT = ReadRequest("analytics", "segmentation", "c1", AGE, NOON)
NOTHING = Quotas({("analytics", "segmentation"): Quota(points_per_minute=0, rows_per_day=0)})


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    bank.says("c2", Granted("segmentation", AGE, None))
    return bank


def replayed(home: Path) -> ReplayReport:
    return replay(partial(Follower, home), home, INSTANCE, ReplayGrounds(SCENES, shipped()))


def many(bank: World, request: TableRequest) -> list[Reason]:
    return [read(bank.gate, request).reason for read in (read_rows, read_table)]


def filtered(bank: World) -> list[Reason]:
    condition = (FilterCondition("job", "eq", "admin"),)
    return many(bank, replace(REQUEST, filter=condition))


def for_another_purpose(bank: World) -> list[Reason]:
    point = bank.gate.read(replace(POINT, purpose="Sharing")).decision.reason
    return [point, *many(bank, replace(REQUEST, purpose="Sharing"))]


def over_the_quota(bank: World) -> list[Reason]:
    bank = with_options(bank, quotas=NOTHING)
    return [bank.gate.read(POINT).decision.reason, *many(bank, REQUEST)]


def suspended(bank: World) -> list[Reason]:
    bank.gate.suspend("segmentation")
    return [bank.gate.read(POINT).decision.reason, *many(bank, REQUEST)]


KINDS: dict[str, tuple[Callable[[World], list[Reason]], Reason]] = {
    "rows and tables": (lambda bank: many(bank, REQUEST), Reason.GRANTED),
    "filtered": (filtered, Reason.GRANTED),
    "another purpose": (for_another_purpose, Reason.PURPOSE_DIFFERS),
    "over the quota": (over_the_quota, Reason.QUOTA_EXCEEDED),
    "suspended": (suspended, Reason.SUSPENDED),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_answer_follows(bank: World, tmp_path: Path, kind: str) -> None:
    ask, reason = KINDS[kind]
    reasons = ask(bank)
    assert {*reasons} == {reason}
    report = replayed(tmp_path)
    assert report.differences == []
    assert report.derived == len(reasons)


def test_rows_of_others_than_may_be_acted_upon_do_not_follow(
    bank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Gate.members
    lying = lambda *asked: genuine(*asked) | True  # noqa: E731 - the defect
    monkeypatch.setattr(Gate, "members", lying)
    read_rows(bank.gate, replace(REQUEST, fields=("job",)))
    monkeypatch.undo()
    (difference,) = replayed(tmp_path).differences
    assert difference.derived.startswith("cohort ")
