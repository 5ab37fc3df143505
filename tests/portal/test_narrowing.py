"""Clauses E18 to E20 of specs/event.md: what the commands make of two customers' choices."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as edited

from gate.contracts import versions
from gate.contracts.versions import Version
from ledger.events import reducer
from ledger.events.envelope import Act, Granted, TriggerSet, Withdrawn
from ledger.events.reducer import ConsentState
from portal.commands.customers import narrowing
from portal.consent.centre import live_fields
from tests.gate.scenes import MARKETING, NEWS, SCENES, SEGMENTATION
from tests.ledger.events import INSTRUCTION, NOON

OFFERED = {each.id: each for each in (NEWS, MARKETING, SEGMENTATION, *SCENES.values())}
OPEN = [each for each in OFFERED.values() if not each.locked]
DAY = timedelta(days=1)


@st.composite
def said(draw: st.DrawFn) -> list[Act]:
    scene = draw(st.sampled_from(OPEN))
    fields = tuple(draw(st.lists(st.sampled_from([*scene.fields]), min_size=1, unique=True)))
    until = draw(st.none() | st.integers(-1, 9).map(lambda days: NOON + days * DAY))
    choices: list[Act] = [Granted(scene.id, fields, until), Withdrawn(scene.id)]
    return [draw(st.sampled_from(choices))]


GONE = "not-offered-now"


histories = st.lists(said(), max_size=6).map(lambda each: [act for one in each for act in one])


def state(who: str, acts: Sequence[Act]) -> ConsentState:
    made = ConsentState(who)
    for index, act in enumerate(acts):
        made = reducer.apply(made, edited(INSTRUCTION, subject=who, act=act, at=NOON), index)
    return made


def after(mine: ConsentState, acts: Sequence[Act]) -> ConsentState:
    one = edited(INSTRUCTION, subject=mine.subject, at=NOON)
    return reduce(lambda made, act: reducer.apply(made, edited(one, act=act), 99), acts, mine)


@given(histories, histories)
def test_e18_after_a_merge_nothing_is_allowed_that_only_one_of_them_allowed(
    theirs: list[Act], mine: list[Act]
) -> None:
    other, before = state("c1", theirs), state("c2", mine)
    acts = [*narrowing.shared(OFFERED, before, other, NOON, {})]
    merged = after(before, acts)
    for scene in OFFERED.values():
        for days in range(12):
            at = NOON + days * DAY
            allowed = {*live_fields(scene, merged, at)}
            assert allowed <= {*live_fields(scene, before, at)} & {*live_fields(scene, other, at)}
    assert not [*narrowing.shared(OFFERED, merged, other, NOON, {})], "once is enough"


@given(histories)
def test_e18_two_who_chose_alike_keep_it_all(acts: list[Act]) -> None:
    mine = state("c2", acts)
    live = (scene.id for scene in OPEN if live_fields(scene, mine, NOON))
    changed = {each.scene for each in narrowing.shared(OFFERED, mine, state("c1", acts), NOON, {})}
    assert not changed & {*live} - {NEWS.id}


def test_e18_the_end_the_items_and_the_conditions_are_those_of_the_narrower() -> None:
    name = SEGMENTATION.id
    mine = state("c2", [Granted(name, ("age", "job"), None)])
    soon = Granted(name, ("age",), NOON + DAY)
    (limit,) = narrowing.shared(OFFERED, mine, state("c1", [soon]), NOON, {})
    assert (limit.fields, getattr(limit, "until", None)) == (("age",), NOON + DAY)
    armed = TriggerSet(name, "metric_below", "accuracy", 9200)
    same = Granted(name, ("age", "job"), None)
    assert [*narrowing.shared(OFFERED, mine, state("c1", [same, armed]), NOON, {})] == [
        Withdrawn(name)
    ], "a condition that only one of them set"
    assert [*narrowing.shared(OFFERED, mine, state("c1", [same]), NOON, {name: 0})] == []
    later = replace(mine, scenes={name: replace(mine.scenes[name], index=9)})
    assert [*narrowing.shared(OFFERED, later, state("c1", [same]), NOON, {name: 5})] == [
        Withdrawn(name)
    ], "agreed to the earlier contract only"


def test_e18_a_condition_ends_the_silence_of_somebody_who_did_not_set_it() -> None:
    armed = TriggerSet(NEWS.id, "metric_below", "accuracy", 9200)
    silent, careful = ConsentState("c2"), state("c1", [armed])
    assert [*narrowing.shared(OFFERED, silent, careful, NOON, {})] == [Withdrawn(NEWS.id)]
    assert [*narrowing.shared(OFFERED, state("c2", [armed]), careful, NOON, {})] == []
    assert [*narrowing.shared(OFFERED, careful, silent, NOON, {})] == []


def test_e18_the_silence_of_somebody_who_was_erased_before_allows_nothing() -> None:
    mine, other = ConsentState("c2"), ConsentState("c1", returned=True)
    (ended,) = narrowing.shared(OFFERED, mine, other, NOON, {})
    assert ended == Withdrawn(NEWS.id)
    assert narrowing.silent(OFFERED, other) == ()
    assert narrowing.silent(OFFERED, mine) == (NEWS.id,)
    assert [*narrowing.objected(OFFERED, mine, other, NOON)] == [ended]


@given(histories)
def test_e19_after_a_split_the_new_one_allows_nothing_that_was_refused(acts: list[Act]) -> None:
    other, new = state("c1", acts), ConsentState("c9")
    made = after(new, [*narrowing.objected(OFFERED, new, other, NOON)])
    for scene in OPEN:
        allowed = {*live_fields(scene, made, NOON)}
        assert allowed <= {*scene.unsaid}
        if other.last(scene.id) is not None:
            assert allowed <= {*live_fields(scene, other, NOON)}


def agreed(_scene: str, _index: int) -> Version:
    return versions.parse("1.0.0")


def renamed(other: ConsentState, at: datetime = NOON) -> ConsentState:
    """The new number's state; its acts have the times of then."""
    new, acts = ConsentState("k9"), narrowing.taken_over(OFFERED, other, "old", at, agreed)
    assert [each for each, _ in acts] == sorted(each for each, _ in acts)
    for index, (when, act) in enumerate(acts):
        new = reducer.apply(new, edited(INSTRUCTION, subject="k9", act=act, at=when), index)
    return new


@given(histories)
def test_e20_a_new_number_allows_what_the_old_one_did_and_as_long(acts: list[Act]) -> None:
    other = state("c1", acts)
    new = renamed(other)
    assert {*new.scenes} == {*other.scenes}, "silence stays silence"
    for scene in OPEN:
        for days in range(400):
            at = NOON + days * DAY
            assert [*live_fields(scene, new, at)] == [*live_fields(scene, other, at)]


def test_e20_conditions_are_taken_over_also_of_what_is_silent_or_refused() -> None:
    name = SEGMENTATION.id
    armed, silent = (TriggerSet(n, "metric_below", "accuracy", 9200) for n in (name, NEWS.id))
    histories: list[list[Act]] = [
        [Granted(name, ("age",), None), armed],
        [armed, Withdrawn(name)],
        [silent],
    ]
    for acts in histories:
        other = state("c1", acts)
        assert renamed(other).triggers == other.triggers
        assert {*renamed(other).scenes} == {*other.scenes}


def test_e20_only_what_was_agreed_to_under_the_contract_of_today_is_taken_over() -> None:
    name, later = SEGMENTATION.id, versions.parse("2.0.0")
    other = state("c1", [Granted(name, ("age", "job"), None)])
    scene = OFFERED[name]
    fields = {**scene.fields, "job": replace(scene.fields["job"], since=later)}
    for changed, left in (
        (replace(scene, version="2.0.0", fields=fields), {"age"}),
        (replace(scene, version="2.0.0", consent_since=later), set()),
    ):
        acts = narrowing.taken_over({name: changed}, other, "old", NOON, agreed)
        assert {item for _, act in acts for item in getattr(act, "fields", None) or ()} == left
        assert len(acts) == 1, "what is not taken over is refused"


def test_a_use_that_is_not_offered_now_is_refused_afterwards() -> None:
    """It may be offered again, on legitimate interest too, where silence would allow it."""
    for said_of_it in (Withdrawn(GONE), Granted(GONE, ("age",), None)):
        other = state("c1", [said_of_it])
        for acts in (
            narrowing.shared(OFFERED, ConsentState("c2"), other, NOON, {}),
            narrowing.objected(OFFERED, ConsentState("c2"), other, NOON),
            (act for _, act in narrowing.taken_over(OFFERED, other, "old", NOON, agreed)),
        ):
            assert Withdrawn(GONE) in [*acts]
