"""Clause G85 of specs/gate.md: a batch says of each of its members what is said of it alone."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.http.authzen import Action, Context, Entity, Evaluation, Evaluations, ask
from ledger.events.envelope import Granted
from tests.gate.world import NOON, World, world

subjects = st.sampled_from([
    Entity("service", "analytics"), Entity("service", "mailer"), Entity("person", "analytics")
])  # fmt: skip
actions = st.sampled_from([Action("read"), Action("write")])
resources = st.builds(
    Entity, st.sampled_from(["customer", "customer", "account"]), st.sampled_from(["c1", "c2", "?"])
)
contexts = st.sampled_from([
    Context("segmentation", ["age"]), Context("segmentation"), Context("segmentation", ["job"]),
    Context("direct-marketing", ["name"]), Context("nowhere", ["age"]), Context(),
])  # fmt: skip
members = st.builds(
    Evaluation, st.none() | subjects, st.none() | actions, st.none() | resources,
    st.none() | contexts,
)  # fmt: skip
batches = st.builds(
    Evaluations, subjects, actions, resources, st.none() | contexts, st.lists(members, max_size=12)
)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    made = world(tmp_path)
    made.says("c1", Granted("segmentation", ("age",), None))
    made.says("c2", Granted("segmentation", ("age", "job"), NOON - timedelta(minutes=5)))
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches)
def test_g85_a_member_of_a_batch_is_answered_as_it_would_be_alone(
    bank: World, batch: Evaluations
) -> None:
    alone = [
        ask(bank.gate, "analytics", [whole(each, batch)], NOON)[0] for each in batch.evaluations
    ]
    together = ask(bank.gate, "analytics", batch.evaluations, NOON, batch)
    assert together == alone
    assert [each.entry("00") for each in together] == [each.entry("00") for each in alone]


def whole(member: Evaluation, batch: Evaluations) -> Evaluation:
    return Evaluation(
        member.subject or batch.subject,
        member.action or batch.action,
        member.resource or batch.resource,
        member.context or batch.context,
    )
