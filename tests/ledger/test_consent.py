"""Clauses E10 to E15 of specs/event.md: the state that is computed from instructions."""

from datetime import timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.events import envelope, reducer, state_document
from ledger.events.acts import Limited, Merged, Renamed, Split
from ledger.events.authority import EMPTY_AUTHORITY
from ledger.events.envelope import (
    Act,
    Granted,
    Imported,
    SourceDeleted,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.events.reducer import ActiveTrigger, ConsentState, SceneConsent, SceneWithdrawal
from tests.ledger.events import (
    INSTRUCTION,
    NOON,
    acts,
    company_acts,
    ends,
    fields,
    key_acts,
    texts,
)

SCENE = "segmentation"


def after(*given_acts: Act) -> ConsentState:
    """The state after these acts, the first at index 10 and noon, then one a minute."""
    state: ConsentState | None = None
    for number, act in enumerate(given_acts):
        at = NOON + timedelta(minutes=number)
        state = reducer.apply(state, replace(INSTRUCTION, act=act, at=at), 10 + number)
    assert state is not None
    return state


def test_e10_a_grant_holds_exactly_its_fields() -> None:
    state = after(Granted(SCENE, ("age", "job"), None), Granted(SCENE, ("age",), NOON))
    later = NOON + timedelta(minutes=1)
    assert state.scenes == {SCENE: SceneConsent(frozenset({"age"}), NOON, later, 11)}


def test_e10_an_import_is_a_grant() -> None:
    imported = after(Imported(SCENE, ("age",), NOON, "legacy"))
    assert imported.scenes == after(Granted(SCENE, ("age",), NOON)).scenes


def test_e11_a_withdrawal_of_the_scene_leaves_nothing() -> None:
    state = after(Granted(SCENE, ("age",), None), Withdrawn(SCENE))
    assert state.scenes == {SCENE: SceneWithdrawal(NOON + timedelta(minutes=1), 11)}


def test_e11_a_withdrawal_of_fields_leaves_the_others() -> None:
    state = after(Granted(SCENE, ("age", "job"), None), Withdrawn(SCENE, ("age",)))
    assert state.scenes == {SCENE: SceneConsent(frozenset({"job"}), None, NOON, 11)}


def test_e11_taking_the_last_field_withdraws_the_scene() -> None:
    state = after(Granted(SCENE, ("age",), None), Withdrawn(SCENE, ("age", "job")))
    assert isinstance(state.scenes[SCENE], SceneWithdrawal)


def test_e12_a_trigger_replaces_the_one_on_its_signal_and_is_cleared_by_it() -> None:
    below = TriggerSet(SCENE, "below", "accuracy", 9200)
    other = TriggerSet(SCENE, "above", "accuracy", 9900)
    state = after(below, other, replace(below, threshold=9000))
    kept = ActiveTrigger("above", "accuracy", 9900)
    assert state.triggers == {SCENE: (kept, ActiveTrigger("below", "accuracy", 9000))}
    cleared = after(below, other, TriggerCleared(SCENE, "below", "accuracy"))
    assert cleared.triggers == {SCENE: (kept,)}


@given(st.lists(acts | key_acts, max_size=8))
def test_e16_after_a_deletion_at_the_source_nothing_is_allowed_or_unsaid(said: list[Act]) -> None:
    before = reduce(_apply, said, ConsentState("c1"))
    state = _apply(before, SourceDeleted())
    assert state.deleted == SceneWithdrawal(NOON, 10)
    for scene in (*before.scenes, "a scene that nobody named"):
        assert state.last(scene) == state.deleted
    assert not any(state.triggers.values())
    assert state.authority == before.authority
    assert state_document.document(state)["deleted"] == {"at": "2026-01-01T12:00:00Z", "index": 10}


def test_e16_a_later_act_changes_its_scene_and_no_other() -> None:
    state = after(Granted("a", ("age",), None), SourceDeleted(), Granted("b", ("age",), None))
    assert isinstance(state.last("b"), SceneConsent)
    assert isinstance(state.last("a"), SceneWithdrawal)
    assert isinstance(state.last("c"), SceneWithdrawal)


@given(st.lists(acts | company_acts, max_size=6), st.builds(Limited, texts, fields, ends))
def test_e17_a_limit_never_widens(said: list[Act], limit: Limited) -> None:
    before = reduce(_apply, said, ConsentState("c1"))
    last, left = before.last(limit.scene), _apply(before, limit).last(limit.scene)
    if isinstance(left, SceneConsent):
        assert isinstance(last, SceneConsent)
        assert left.fields <= last.fields & {*limit.fields}
        assert left.until is not None
        assert limit.until is not None
        assert left.until <= min(limit.until, last.until or limit.until)
        assert left.at == last.at, "the longest duration counts from the grant"
    else:
        assert isinstance(left, SceneWithdrawal)


@given(st.lists(acts, max_size=6), st.sampled_from([Merged("c2", ()), Split("c2"), Renamed("c2")]))
def test_e18_a_merge_a_split_or_a_rename_alone_changes_nothing(said: list[Act], act: Act) -> None:
    before = reduce(_apply, said, ConsentState("c1"))
    after_it = _apply(before, act)
    assert (after_it.scenes, after_it.triggers, after_it.deleted) == (
        before.scenes,
        before.triggers,
        before.deleted,
    )


def _apply(state: ConsentState, act: Act) -> ConsentState:
    return reducer.apply(state, replace(INSTRUCTION, act=act), 10)


@given(st.lists(acts, min_size=1), acts)
def test_e13_no_act_touches_another_scene(history: list[Act], act: Act) -> None:
    before, now = after(*history), after(*history, act)
    touched = getattr(act, "scene", None)
    for scene in {*before.scenes} - {touched}:
        assert now.scenes[scene] == before.scenes[scene]
    for scene in {*before.triggers} - {touched}:
        assert now.triggers[scene] == before.triggers[scene]


@given(st.lists(acts | key_acts, min_size=1), key_acts)
def test_e15_no_act_on_keys_touches_a_scene(history: list[Act], act: Act) -> None:
    before, now = after(*history), after(*history, act)
    assert (now.scenes, now.triggers) == (before.scenes, before.triggers)


@given(st.lists(acts, min_size=1))
def test_e15_no_act_on_a_scene_touches_keys(history: list[Act]) -> None:
    assert after(*history).authority is EMPTY_AUTHORITY


@given(st.lists(acts | key_acts, min_size=1))
def test_e14_the_version_and_head_are_those_of_the_last_instruction(history: list[Act]) -> None:
    instructions = reduce(
        lambda chain, act: [
            *chain,
            chain[-1].next(act, at=NOON, wording=INSTRUCTION.wording),
        ],
        history[1:],
        [replace(INSTRUCTION, act=history[0])],
    )
    state: ConsentState | None = None
    for index, instruction in enumerate(instructions):
        state = reducer.apply(state, instruction, index)
    assert state is not None
    assert (state.seq, state.head) == (len(history), envelope.digest(instructions[-1]))
