"""Alerts of the gate become cases and notices (clause S45 of specs/steward.md)."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from gate.decision.alert import AlertKind, GateAlert
from ledger.events.envelope import Granted
from portal.operations import wiring as products
from portal.operations.settings import Settings
from steward.alert_cases import Alarms
from steward.cases.case import Cases
from steward.cases.case_store import CaseStore
from steward.cases.changes import ChangeKind
from steward.storage.cases import OUTBOX
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, world

OFFICER = "data-protection-officer"


def alert(
    kind: AlertKind = AlertKind.MASS_EXPORT, customers: int = 7, minutes: int = 0
) -> GateAlert:
    at = NOON + timedelta(minutes=minutes)
    detail = f"one answer holds {customers} of 9 customers"
    return GateAlert(kind, "analytics", "segmentation", at, customers, detail)


@pytest.fixture
def alarms(home: Path) -> Alarms:
    return Alarms(home, SCENES, "test.example/consent", lambda role: [f"to {role}"])


def letters(home: Path) -> list[dict[str, object]]:
    with CaseStore(home).reading() as database:
        rows = database.execute(select(OUTBOX).order_by(OUTBOX.c.seq)).all()
    return [json.loads(row.body) | {"channel": row.channel} for row in rows]


@pytest.mark.parametrize("kind", AlertKind)
def test_an_alert_opens_a_case_and_tells_the_last_responsible(
    alarms: Alarms, home: Path, kind: AlertKind
) -> None:
    number = alarms.raised(alert(kind))
    case = Cases(home).case(number)
    assert (case.kind, case.scene, case.count) == (ChangeKind(kind), "segmentation", 7)
    assert case.due == NOON + timedelta(days=3)
    (act,) = Cases(home).acts(number)
    assert act.note == "service analytics: one answer holds 7 of 9 customers"
    (letter,) = letters(home)
    assert letter["channel"] == f"to {OFFICER}"
    assert "segmentation" in str(letter["data"])


def test_alerts_of_an_hour_are_one_case(alarms: Alarms, home: Path) -> None:
    first = alarms.raised(alert())
    assert alarms.raised(alert(customers=8, minutes=10)) == first
    assert alarms.raised(alert(customers=9, minutes=70)) != first
    assert Cases(home).case(first).count == 8
    assert [act.act for act in Cases(home).acts(first)] == ["opened", "grew"]
    assert len(letters(home)) == 2


def test_the_product_hands_alerts_of_its_gate_to_the_steward(tmp_path: Path) -> None:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age",), None))
    settings = Settings(data_dir=tmp_path)
    raised = products.alarm(settings, bank.ledger.origin, SCENES)
    raised(alert())
    (case,) = Cases(tmp_path).open_cases()
    assert case.kind is ChangeKind.MASS_EXPORT


def test_an_alert_that_cannot_be_filed_is_logged_and_the_read_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bank = world(tmp_path)
    raised = products.alarm(Settings(data_dir=tmp_path), bank.ledger.origin, {})
    raised(alert())
    assert "no case was opened" in caplog.text


def test_a_quota_names_a_service_and_a_scene_of_a_contract(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "quota": {"analytics/segmentation": {"points_per_minute": 1}}}
    )
    quotas = products.quotas(settings, SCENES, lambda _alert: None)
    assert quotas.admits_point("analytics", "segmentation", NOON)
    assert not quotas.admits_point("analytics", "segmentation", NOON)
    assert quotas.admits_point("crm", "segmentation", NOON)
    wrong = Settings.model_validate({"quota": {"analytics/nothing": {}}})
    with pytest.raises(ValueError, match="analytics/nothing"):
        products.quotas(wrong, SCENES, lambda _alert: None)
