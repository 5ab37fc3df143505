"""What was agreed to under one version of a contract, under the next (G15, V1–V9)."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.contracts import versions
from gate.contracts.scene import Scene
from gate.decision.decide import Reason, View
from gate.factory import build
from gate.reads.point import Gate
from gate.reads.request import Answer, ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.state import consent_bits, snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import Event, Granted, ScenePublished, Withdrawn
from ledger.follower import Follower
from specs.model import gate as model
from specs.model.gate import Facts
from tests.campaign import sized
from tests.gate import modelled
from tests.gate.scenes import SCENES, SEGMENTATION
from tests.gate.world import INSTANCE, NOON, World, options, shipped, source, world

AGE, BOTH = ("age",), ("age", "job")
WIDER = replace(SEGMENTATION, version="2.0.0", digest="2" * 64, consent_since=(2, 0, 0))
LONGER = replace(
    SEGMENTATION,
    version="1.1.0",
    digest="11" * 32,
    fields={
        **SEGMENTATION.fields,
        "job": replace(SEGMENTATION.fields["job"], since=(1, 1, 0)),
    },
)


def under(bank: World, scene: Scene) -> Gate:
    """Another gate over the same ledger, that works under `scene`."""
    journal = bank.gate.journal
    scenes = SCENES | {scene.id: scene}
    return build(bank.ledger, source(), scenes, journal, shipped(), bytes(32), options=options())


def publishes(bank: World, scene: Scene) -> None:
    published = ScenePublished(scene.id, scene.version, scene.digest, NOON)
    bank.ledger.announce([published])
    bank.history.append(published)


def ask(gate: Gate, fields: tuple[str, ...] = AGE) -> Answer:
    return gate.read(ReadRequest("analytics", "segmentation", "c1", fields, NOON))


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path, release=False)
    publishes(bank, SEGMENTATION)
    return bank


def test_a_grant_under_a_narrower_purpose_is_not_read_until_granted_again(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    assert ask(bank.gate).views == {"age": View.PERSONAL}
    wider = under(bank, WIDER)
    for _ in ("before the log has published it", "after"):
        answer = ask(wider)
        assert answer.values == {"age": None}
        assert answer.decision.reason is Reason.SUPERSEDED
        publishes(bank, WIDER)
    bank.says("c1", Granted("segmentation", AGE, None))
    assert ask(wider).values == {"age": 31}


def test_nobody_who_lapsed_is_in_a_cohort(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    publishes(bank, WIDER)
    bank.says("c2", Granted("segmentation", AGE, None))
    assert under(bank, WIDER).consenting("segmentation", AGE, NOON) == ["c2"]


def test_a_field_added_later_is_not_covered_by_an_earlier_grant(bank: World) -> None:
    bank.says("c1", Granted("segmentation", BOTH, None))
    longer = under(bank, LONGER)
    assert ask(longer, BOTH).values == {"age": 31, "job": None}
    publishes(bank, LONGER)
    assert ask(longer, BOTH).values == {"age": 31, "job": None}
    bank.says("c1", Granted("segmentation", BOTH, None))
    assert ask(longer, BOTH).values == {"age": 31, "job": "admin"}


def test_a_gate_of_the_old_contract_reads_nothing_granted_under_the_wider_one(bank: World) -> None:
    publishes(bank, WIDER)
    bank.says("c1", Granted("segmentation", AGE, None))
    assert ask(bank.gate).decision.reason is Reason.SUPERSEDED


def test_a_minor_version_lets_grants_stand(bank: World) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    publishes(bank, LONGER)
    assert ask(under(bank, LONGER)).values == {"age": 31}
    assert ask(bank.gate).values == {"age": 31}


def test_a_lapsed_grant_can_be_withdrawn_and_stays_withdrawn(bank: World) -> None:
    bank.says("c1", Granted("segmentation", BOTH, None))
    publishes(bank, WIDER)
    wider = under(bank, WIDER)
    bank.says("c1", Withdrawn("segmentation", ("job",)))
    assert ask(wider).decision.reason is Reason.SUPERSEDED
    bank.says("c1", Withdrawn("segmentation"))
    assert ask(wider).decision.reason is Reason.WITHDRAWN


def test_a_published_version_that_cannot_be_read_is_older_than_any_other(bank: World) -> None:
    bank.ledger.announce([ScenePublished("segmentation", "next", "0" * 64, NOON)])
    bank.says("c1", Granted("segmentation", AGE, None))
    assert ask(under(bank, WIDER)).decision.reason is Reason.SUPERSEDED


def test_a_snapshot_remembers_which_version_is_in_force(bank: World, tmp_path: Path) -> None:
    publishes(bank, WIDER)
    scenes = SCENES | {"segmentation": WIDER}
    bank.says("c2", Granted("segmentation", AGE, None))
    state = ConsentIndex(scenes)
    state.catch_up(bank.ledger)
    snapshot.save(state, ConsentPoint(*bank.ledger.root()), tmp_path / "consent.npz")
    resumed = snapshot.load(tmp_path / "consent.npz", scenes, bank.ledger)
    assert resumed is not None
    bank.says("c1", Granted("segmentation", AGE, None))
    resumed.catch_up(bank.ledger)
    assert consent_bits.FIELDS & resumed.bits("segmentation", "c1") == 1
    assert not resumed.superseded("segmentation", "c1")


def test_a_replay_derives_lapsed_answers_too(bank: World, tmp_path: Path) -> None:
    bank.says("c1", Granted("segmentation", AGE, None))
    publishes(bank, WIDER)
    wider = under(bank, WIDER)
    ask(wider)
    bank.says("c1", Granted("segmentation", AGE, None))
    ask(wider)
    found = replay(
        partial(Follower, tmp_path), tmp_path, INSTANCE, ReplayGrounds(wider.scenes, shipped())
    )
    assert (found.entries, found.derived, found.differences) == (2, 2, [])


VERSIONS = ("1.0.0", "1.1.0", "2.0.0", "3.0.0")
steps = st.one_of(
    st.sampled_from(VERSIONS),
    st.builds(Granted, st.just("segmentation"), st.sampled_from([AGE, BOTH]), st.none()),
    st.builds(Withdrawn, st.just("segmentation"), st.sampled_from([None, AGE])),
)
contracts = st.builds(
    lambda own, since, job: replace(
        SEGMENTATION,
        version=own,
        consent_since=versions.parse(since),
        fields={
            **SEGMENTATION.fields,
            "job": replace(SEGMENTATION.fields["job"], since=versions.parse(job)),
        },
    ),
    *[st.sampled_from(VERSIONS)] * 3,
)


@settings(max_examples=sized(20, 600), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(steps, max_size=8), contract=contracts)
def test_the_gate_and_the_model_agree_on_what_a_version_covers(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[str | Granted | Withdrawn],
    contract: Scene,
) -> None:
    bank = world(tmp_path_factory.mktemp("world"), release=False)
    gate, history = under(bank, contract), bank.history
    for step in told:
        if isinstance(step, str):
            publishes(bank, replace(SEGMENTATION, version=step))
        else:
            bank.says("c1", step)
    at = NOON + timedelta(days=1)
    answer = gate.read(ReadRequest("analytics", "segmentation", "c1", BOTH, at))
    assert answer.views == _model(history, contract, BOTH)


def _model(history: list[Event], scene: Scene, fields: tuple[str, ...]) -> dict[str, str]:
    at = NOON + timedelta(days=1)
    facts = Facts(modelled.contracts({scene.id: scene}))
    request = model.Request("analytics", scene.id, "c1", fields, at, "evaluate")
    return {**model.answer(modelled.history(history), facts, request).views}


BAD = {
    "two numbers": "1.0",
    "four numbers": "1.0.0.0",
    "a leading zero": "1.01.0",
    "a sign": "1.-1.0",
    "a word": "latest",
    "a blank": "1.0.0 ",
    "other digits": "１.0.0",
    "too large": "1.0.10000000",
    "nothing": "",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_version_is_three_plain_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="want three numbers"):
        versions.parse(text)
    assert versions.published(text) == versions.NONE


def test_a_version_from_which_consent_counts_is_not_in_the_future() -> None:
    assert versions.since("1.0.0", "1.0.0") == (1, 0, 0)
    with pytest.raises(ValueError, match=r"agreed since 1\.0\.1, but this is only version 1\.0\.0"):
        versions.since("1.0.1", "1.0.0")
