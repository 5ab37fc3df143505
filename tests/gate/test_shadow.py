"""A share of the answers is decided again by full Cedar; a mismatch stops the scene (G38, G39)."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event

import pytest

from gate.decision.alert import AlertKind, GateAlert
from gate.decision.decide import Reason
from gate.http.authzen import Action, Context, Entity, Evaluation, ask
from gate.policy.cedar import CedarPolicy
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.crosscheck import MAX_WAITING, Crosscheck
from gate.reads.request import ReadRequest
from gate.state.consent_bits import FIELDS
from ledger.events.envelope import Granted, TriggerSet, Withdrawn
from tests.gate.test_policy import checked
from tests.gate.world import NOON, World, with_options, world

NO_AGE = 'forbid (principal, action, resource) when { context.field == "age" };'


@pytest.fixture
def alerts() -> list[GateAlert]:
    return []


@pytest.fixture
def bank(tmp_path: Path, alerts: list[GateAlert]) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    bank.says("c2", Granted("segmentation", ("age",), None))
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    bank.says("c3", Withdrawn("segmentation"))
    bank.says("c3", Granted("nearest-branch", ("postcode_area",), None))
    return with_options(bank, alarm=alerts.append)


def watching(bank: World, every: int = 1) -> Crosscheck:
    """A crosscheck of every answer that the gate gives from now on."""
    made = Crosscheck(bank.gate, every, Random(7))
    bank.gate.journal.subscribe(made.see)
    return made


@pytest.fixture
def shadow(bank: World) -> Crosscheck:
    return watching(bank)


def evaluate(bank: World, customer: str, *fields: str) -> bool:
    context = Context("segmentation", [*fields])
    who, what = Entity("service", "analytics"), Entity("customer", customer)
    (ruling,) = ask(bank.gate, who.id, [Evaluation(who, Action("read"), what, context)], NOON)
    bank.gate.journal.record(ruling, customer)
    return ruling.allowed


def read(bank: World, customer: str, scene: str, *fields: str) -> Reason:
    request = ReadRequest("analytics", scene, customer, fields, NOON)
    return bank.gate.read(request).decision.reason


def ask_everything(bank: World) -> int:
    for customer in ("c1", "c2", "c3", "nobody"):
        evaluate(bank, customer, "age")
        read(bank, customer, "segmentation", "age", "job")
        read(bank, customer, "nearest-branch", "location")
        read(bank, customer, "contract-service", "name")
    request = TableRequest("analytics", "segmentation", ("age", "job"), NOON)
    everybody = TableRequest("analytics", "contract-service", ("name",), NOON)
    for answer in (read_rows(bank.gate, request), read_table(bank.gate, request)):
        assert answer.table is not None
    assert read_rows(bank.gate, everybody).table.num_rows == 3
    return 4 * 4 + 3


def test_what_the_gate_answers_full_cedar_decides_alike(bank: World, shadow: Crosscheck) -> None:
    asked = ask_everything(bank)
    shadow.drain()
    assert (shadow.checked.agreed, shadow.checked.differed) == (asked, 0)
    assert not bank.gate.suspended


def stricter(bank: World) -> CedarPolicy:
    """The policy behind the plans is another by now: they give what it forbids."""
    return checked(NO_AGE)


def test_a_mismatch_suspends_the_scene_and_is_told(
    bank: World, shadow: Crosscheck, alerts: list[GateAlert]
) -> None:
    assert read(bank, "c1", "segmentation", "age") is Reason.GRANTED
    shadow.drain()
    bank.gate.policy = stricter(bank)
    read(bank, "c1", "segmentation", "age")
    shadow.drain()
    assert bank.gate.suspended == {"segmentation"}
    (alert,) = alerts
    assert (alert.kind, alert.scene) == (AlertKind.POLICY_MISMATCH, "segmentation")
    assert read(bank, "c1", "segmentation", "age") is Reason.SUSPENDED
    assert evaluate(bank, "c1", "age") is False
    request = TableRequest("analytics", "segmentation", ("job",), NOON)
    assert read_rows(bank.gate, request).reason is Reason.SUSPENDED
    assert read_table(bank.gate, request).batches is None
    assert read(bank, "c1", "contract-service", "name") is Reason.LEGAL_BASIS_CONTRACT


@pytest.mark.parametrize("form", ["evaluate", "rows", "table"])
def test_every_kind_of_answer_is_compared(bank: World, form: str) -> None:
    request = TableRequest("analytics", "segmentation", ("age",), NOON)
    evaluate(bank, "c1", "age")  # the plan is compiled under the policy of before
    bank.gate.policy = stricter(bank)
    shadow = watching(bank)
    match form:
        case "evaluate":
            evaluate(bank, "c1", "age")
        case "rows":
            assert read_rows(bank.gate, request).authorised == 1  # a condition freezes c2
        case _:
            answer = read_table(bank.gate, request)
            assert (answer.authorised, answer.synthetic) == (1, 2)
    shadow.drain()
    assert shadow.checked.differed == 1


def test_a_plan_that_gives_less_than_the_policy_is_a_mismatch_too(
    bank: World, shadow: Crosscheck
) -> None:
    plan = bank.gate.plan("analytics", "segmentation")
    assert plan is not None
    bank.gate._plans["analytics", "segmentation"] = replace(plan, bits=dict.fromkeys(plan.bits, 4))
    assert evaluate(bank, "c1", "age") is False
    shadow.drain()
    assert bank.gate.suspended == {"segmentation"}


def test_a_plan_that_forgets_consent_is_noticed(bank: World, shadow: Crosscheck) -> None:
    plan = bank.gate.plan("analytics", "segmentation")
    assert plan is not None
    bank.gate._plans["analytics", "segmentation"] = replace(plan, always=FIELDS)
    assert evaluate(bank, "c3", "age") is True  # the defect: c3 withdrew
    shadow.drain()
    assert bank.gate.suspended == {"segmentation"}


def test_what_the_ledger_has_left_behind_is_passed(bank: World, shadow: Crosscheck) -> None:
    request = ReadRequest("analytics", "segmentation", "c1", ("age",), NOON)
    answer = bank.gate.read(request)
    shadow.drain()
    (entry,) = bank.gate.journal.log.entries(answer.entry, answer.entry + 1)
    bank.says("c1", Withdrawn("segmentation"))
    shadow.check((entry, "c1"))
    assert (shadow.checked.passed, shadow.checked.differed) == (1, 0)


def test_refusals_are_passed(bank: World, shadow: Crosscheck) -> None:
    read(bank, "c1", "segmentation", "shoe")
    read(bank, "c1", "nowhere", "age")
    shadow.drain()
    assert (shadow.checked.passed, shadow.checked.agreed) == (2, 0)


def test_about_one_answer_of_so_many_is_taken(bank: World) -> None:
    taken: list[object] = []
    shadow = watching(bank, every=10)
    shadow._take = taken.append  # type: ignore[method-assign,assignment] # counted, not checked
    for together in (1, 3, 100, 7, 889, 9000):
        shadow.see([b""] * together, [(object(), None)] * together)  # type: ignore[list-item] # only counted
    assert 900 < len(taken) < 1100


def test_a_suspended_scene_says_so_in_the_read_log(bank: World) -> None:
    bank.gate.suspend("segmentation")
    request = ReadRequest("analytics", "segmentation", "c1", ("age",), NOON)
    answer = bank.gate.read(request)
    (entry,) = bank.gate.journal.log.entries(answer.entry, answer.entry + 1)
    assert json.loads(entry)["reason"] == "suspended"
    assert answer.values == {}


def test_what_is_more_than_can_be_checked_is_counted_and_let_go(
    bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, going_on = Event(), Event()
    shadow = watching(bank)

    def slow(_sample: object) -> None:
        checking.set()
        going_on.wait(180)

    monkeypatch.setattr(shadow, "check", slow)
    asked = [(object(), None)] * (MAX_WAITING + 10)
    shadow.see([b""], asked[:1])  # type: ignore[arg-type] # only counted
    assert checking.wait(180)  # that one is being checked; the others wait
    shadow.see([b""] * len(asked), asked)  # type: ignore[arg-type] # only counted
    assert shadow.checked.dropped == 10
    going_on.set()
    shadow.drain()


def test_the_thread_ends_when_there_is_nothing_to_do_and_begins_again(
    bank: World, shadow: Crosscheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.reads.crosscheck.IDLE_S", 0.01)
    for agreed in (1, 2):
        read(bank, "c1", "segmentation", "age")
        shadow.drain()
        assert shadow.checked.agreed == agreed
        thread = shadow._thread
        if thread is not None:
            thread.join(180)
            assert not thread.is_alive()
