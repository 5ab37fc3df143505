"""Enforcement: what leaves the gate, and what it leaves behind (G6, G7, G20–G32)."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.decision.decide import Reason, View
from gate.readlog.by_customer import entries_of
from gate.reads.request import Answer, ReadRequest, StaleStateError
from gate.reads.sources.interface import SourceUnavailableError
from ledger.events.envelope import (
    Act,
    Granted,
    SignalReported,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from specs.model import gate as model
from specs.model.gate import Facts
from tests.campaign import sized
from tests.gate import modelled
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, PEOPLE, World, world

AGE = ("age",)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    return world(tmp_path)


def ask(bank: World, scene: str, fields: tuple[str, ...], subject: str = "c1") -> Answer:
    return bank.gate.read(ReadRequest("analytics", scene, subject, fields, NOON))


def test_a_live_grant_is_answered_personally(bank: World) -> None:
    index = bank.says("c1", Granted("segmentation", AGE, None))
    answer = ask(bank, "segmentation", AGE)
    assert answer.values == {"age": 31}
    assert answer.views == {"age": View.PERSONAL}
    assert answer.decision.determined_by == index
    assert answer.decision.ledger_size == bank.ledger.size


def test_from_the_receipt_of_a_withdrawal_on_nothing_is_read(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    index = bank.says("c1", Withdrawn("segmentation"))
    answer = ask(bank, "segmentation", AGE)
    assert answer.decision.reason is Reason.WITHDRAWN
    assert answer.decision.determined_by == index
    assert answer.views == {"age": View.SYNTHETIC}
    assert answer.values == {"age": 20}
    assert answer.release == "release-constant"


def test_a_withdrawn_item_leaves_the_others(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    bank.says("c1", Withdrawn("segmentation", ("job",)))
    answer = ask(bank, "segmentation", ("age", "job"))
    assert answer.views == {"age": View.PERSONAL, "job": View.SYNTHETIC}
    assert answer.values == {"age": 31, "job": "synthetic"}


def test_withheld_fields_keep_their_place(bank: World) -> None:
    answer = ask(bank, "direct-marketing", ("name", "email"))
    assert answer.values == {"name": None, "email": None}
    assert {*answer.views.values()} == {View.WITHHELD}


def test_location_is_answered_by_its_area_under_the_areas_grant(bank: World) -> None:
    bank.says("c1", Granted("nearest-branch", ("postcode_area",), None))
    answer = ask(bank, "nearest-branch", ("location",))
    assert answer.values == {"location": "LX01"}
    assert answer.views == {"location": View.GENERALISED}


def test_the_contract_itself_needs_no_grant(bank: World) -> None:
    assert ask(bank, "contract-service", ("name",)).values == {"name": "Ada"}


def test_an_unknown_customer_is_answered_like_one_who_never_granted(bank: World) -> None:
    known, unknown = (ask(bank, "segmentation", AGE, who) for who in ("c2", "nobody"))
    assert (known.values, known.views) == (unknown.values, unknown.views)
    assert known.decision.reason is unknown.decision.reason is Reason.NEVER_GRANTED


def test_a_grant_without_a_row_is_withheld(bank: World) -> None:
    bank.says("c9", Granted("segmentation", AGE, None))
    answer = ask(bank, "segmentation", AGE, "c9")
    assert answer.values == {"age": None}
    assert answer.views == {"age": View.WITHHELD}
    assert not answer.decision.allowed


REFUSED = {
    "unknown scene": ("no-such-scene", AGE, Reason.UNKNOWN_SCENE),
    "unknown field": ("segmentation", ("shoe_size",), Reason.FIELD_OUTSIDE_SCENE),
    "field of another scene": ("segmentation", ("email",), Reason.FIELD_OUTSIDE_SCENE),
    "no field": ("segmentation", (), Reason.NO_FIELDS),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_contract_refuses_is_journalled_and_empty(bank: World, why: str) -> None:
    scene, fields, reason = REFUSED[why]
    answer = ask(bank, scene, fields)
    assert answer.decision.refused
    assert answer.decision.reason is reason
    assert not answer.values
    (entry,) = bank.gate.journal.log.entries(answer.entry, answer.entry + 1)
    assert json.loads(entry)["reason"] == reason


def test_a_gate_that_has_not_seen_the_demanded_entry_answers_nothing(bank: World) -> None:
    demanding = ReadRequest("analytics", "segmentation", "c1", AGE, NOON, minimum_size=10**6)
    with pytest.raises(StaleStateError, match="want at least 1000000"):
        bank.gate.read(demanding)
    assert bank.gate.journal.log.size == 0


class DownSource:
    def row(self, subject: str, columns: object) -> None:
        raise SourceUnavailableError(f"no connection for {len(subject)} characters, {columns!r}")


def test_a_source_that_is_down_withholds_what_needs_it_and_nothing_else(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    bank.gate.source = DownSource()  # type: ignore[assignment] # only `row` is asked for
    answer = ask(bank, "segmentation", ("age", "job"))
    assert answer.views == {"age": View.WITHHELD, "job": View.SYNTHETIC}
    assert answer.values == {"age": None, "job": "synthetic"}
    assert answer.decision.reason is Reason.SOURCE_UNAVAILABLE
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    assert not ask(bank, "segmentation", ("age", "job")).decision.allowed


def test_no_answer_without_its_entry(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    answer = ask(bank, "segmentation", AGE)
    (entry,) = bank.gate.journal.log.entries(answer.entry, answer.entry + 1)
    found = json.loads(entry)
    assert found["views"] == {"age": "personal"}
    assert found["consent"]["size"] == bank.ledger.size
    assert "31" not in json.dumps({k: v for k, v in found.items() if k in {"fields", "views"}})


def test_entries_of_one_customer_do_not_link(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    for _ in range(3):
        ask(bank, "segmentation", AGE)
    log = bank.gate.journal.log
    assert len({json.loads(entry)["subject"] for entry in log.entries(0, log.size)}) == 3
    assert not any(b'"c1"' in entry for entry in log.entries(0, log.size))


def test_a_customer_can_list_every_read_of_their_data(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    mine = [ask(bank, scene, AGE).entry for scene in ("segmentation", "no-such-scene")]
    bank.says("c2", Granted("segmentation", AGE, None))
    ask(bank, "segmentation", AGE, "c2")
    assert [index for index, _ in entries_of(bank.gate.journal.reads, bank.ledger, "c1")] == sorted(
        mine, reverse=True
    )


acts = st.one_of(
    st.builds(
        Granted,
        st.sampled_from([*SCENES, "gone"]),
        st.sampled_from([AGE, ("age", "job"), ("name",), ("postcode_area",), ("location", "x")]),
        st.none() | st.integers(-50_000, 50_000).map(lambda m: NOON + timedelta(minutes=m)),
    ),
    st.builds(
        Withdrawn, st.sampled_from([*SCENES, "gone"]), st.none() | st.sampled_from([AGE, ("name",)])
    ),
)
watched = st.sampled_from(
    [
        ("metric_below", "accuracy"),
        ("count_over", "complaints"),
        ("incident_open", "incident"),
        ("metric_below", "unheard"),
    ]
)
figures = st.sampled_from([0, 9199, 9200, 9201])
triggers = st.one_of(
    st.builds(lambda pair, at: TriggerSet("segmentation", pair[0], pair[1], at), watched, figures),
    st.builds(lambda pair: TriggerCleared("segmentation", *pair), watched),
)
reports = st.builds(
    SignalReported,
    st.sampled_from(["monitor", "monitor", "somebody"]),
    watched.map(lambda pair: pair[1]),
    figures,
    st.integers(0, 60 * 24 * 12).map(lambda m: NOON + timedelta(minutes=m)),
)
histories = st.lists(
    st.tuples(st.sampled_from([*PEOPLE]), acts | triggers | reports, st.integers(0, 60 * 24 * 10)),
    max_size=14,
)
requests = st.lists(
    st.tuples(
        st.sampled_from(["analytics", "crm", "stranger"]),
        st.sampled_from([*SCENES, "gone"]),
        st.sampled_from([*PEOPLE]),
        st.sampled_from([AGE, ("age", "job", "housing"), ("name",), ("location", "postcode_area")]),
        st.integers(0, 60 * 24 * 14),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=sized(33, 500), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, asked=requests, released=st.booleans())
def test_the_gate_answers_as_the_model_does(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[tuple[str, Act | SignalReported, int]],
    asked: list[tuple[str, str, str, tuple[str, ...], int]],
    released: bool,
) -> None:
    bank = world(tmp_path_factory.mktemp("world"), release=released)
    for subject, act, minutes in history:
        if isinstance(act, SignalReported):
            bank.reports(act.signal, act.value, act.at, act.source)
        else:
            bank.says(subject, act, NOON + timedelta(minutes=minutes))
    past, contracts = modelled.history(bank.history), modelled.contracts(SCENES)
    facts = Facts(contracts, {"segmentation"} if released else (), rows=PEOPLE)
    for service, scene, subject, fields, minutes in asked:
        at = NOON + timedelta(minutes=minutes)
        answer = bank.gate.read(ReadRequest(service, scene, subject, fields, at))
        wanted = model.answer(past, facts, model.Request(service, scene, subject, fields, at))
        assert answer.views == wanted.views
        found = answer.decision
        assert (found.reason, found.determined_by) == (wanted.reason, wanted.determined_by)
        assert found.allowed == wanted.allowed
        for field, view in answer.views.items():
            if view == "personal":
                truth = PEOPLE[subject] | {"location": "38.7,-9.1", "postcode_area": "LX01"}
                assert answer.values[field] == truth[field]
            elif view != "generalised":
                assert answer.values[field] in {None, 20, "synthetic"}
