"""Clauses G137 to G139 of specs/gate.md: legitimate interest and legal obligation in the gate."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from gate.contracts.scene import LegalBasis, Scene
from gate.decision import decide, eligibility
from gate.decision.decide import Decision, Reason
from gate.policy.compiled import compile_plan
from gate.replay.few import FewHistory
from gate.replay.history import History, ReplayGrounds
from gate.state import consent_bits, snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import (
    Act,
    Event,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    ScenePublished,
    SignalReported,
    SourceDeleted,
    TriggerSet,
    Withdrawn,
)
from ledger.follower import Follower
from ledger.service import Ledger
from tests.gate.differential import Told
from tests.gate.scenes import MARKETING, NEWS
from tests.gate.world import NOON, WORDING, shipped

FIELDS = tuple(NEWS.fields)
OBJECTION = Withdrawn(NEWS.id)
YEARS = timedelta(days=40_000)
PUBLISHED = ScenePublished(NEWS.id, "1.0.0", "0" * 64, NOON)


def acts(*said: Act, of: str = "c1") -> list[Event]:
    return [
        Instruction(
            "log", of, number, bytes(32), bytes(16), NOON, WORDING, EvidenceClass.SESSION, act
        )
        for number, act in enumerate(said, 1)
    ]


def state(events: Sequence[Event], scene: Scene = NEWS) -> ConsentIndex:
    made = ConsentIndex({scene.id: scene, MARKETING.id: MARKETING})
    made.catch_up(Told([PUBLISHED, *events]))
    return made


def decided(
    events: Sequence[Event], scene: Scene = NEWS, of: str = "c1", years: timedelta = timedelta()
) -> Decision:
    plan = compile_plan("analytics", scene, offered=FIELDS, release=None)
    now, minute = state(events, scene), consent_bits.minute(NOON + years)
    bits, index = now.bits_and_entry(scene.id, of)
    stale = now.stale(scene.id, minute)
    found = decide.decide(plan, FIELDS, bits, minute, index=index, size=1, stale=stale)
    if of in now.subjects:  # G8: the cohort has the customer just then
        cohort = eligibility.readable(
            plan, now.all_bits(scene.id), plan.mask(FIELDS) or 0, minute, stale
        )
        assert bool(cohort[now.subjects.row(of)]) is found.allowed
    return found


def test_g137_silence_allows_it_for_ever_and_rests_on_no_instruction() -> None:
    for events in ([], acts(Granted(MARKETING.id, ("name",), None))):
        found = decided(events, years=YEARS)
        assert found.allowed
        assert (found.reason, found.determined_by) == (Reason.LEGITIMATE_INTEREST, None)


ENDED: dict[str, list[Act]] = {
    "an objection": [OBJECTION],
    "a deletion at the source": [SourceDeleted()],
    "a deletion at the source after a yes": [Granted(NEWS.id, FIELDS, None), SourceDeleted()],
    "an objection to an item, which a verifier reads as one to the scene": [
        Withdrawn(NEWS.id, ("name",))
    ],
    "an objection after a yes": [Granted(NEWS.id, FIELDS, None), OBJECTION],
    "an objection to each item after a yes": [
        Granted(NEWS.id, FIELDS, None),
        Withdrawn(NEWS.id, FIELDS),
    ],
}


@pytest.mark.parametrize("why", ENDED)
@pytest.mark.parametrize("version", ["1.0.0", "1.9.0"])
def test_g137_an_objection_holds_through_new_versions(why: str, version: str) -> None:
    found = decided(acts(*ENDED[why]), replace(NEWS, version=version), years=YEARS)
    assert not found.allowed
    assert found.reason is Reason.OBJECTED
    assert found.determined_by == len(ENDED[why])


def test_g148_a_scene_that_is_published_later_is_not_open_to_silence() -> None:
    first, later = ConsentIndex({MARKETING.id: MARKETING}), ConsentIndex({NEWS.id: NEWS})
    for index in (first, later):
        index.catch_up(Told(acts(SourceDeleted())))
    assert first.index(MARKETING.id, "c1") == 0
    assert not later.bits(NEWS.id, "c1") & consent_bits.ALL_FIELDS
    assert later.bits(NEWS.id, "c2") & consent_bits.ALL_FIELDS


def test_g137_who_no_longer_objects_is_read_again_without_an_end() -> None:
    found = decided(acts(OBJECTION, Granted(NEWS.id, FIELDS, None)), years=YEARS)
    assert (found.allowed, found.reason, found.determined_by) == (
        True,
        Reason.LEGITIMATE_INTEREST,
        2,
    )


def test_g144_a_condition_alone_is_neither_a_grant_nor_a_withdrawal() -> None:
    """Whoever set one and never granted is answered like one who never granted."""
    armed = TriggerSet(NEWS.id, "count_over", "complaints", 3)
    for scene in (TWO, replace(NEWS, legal_basis=LegalBasis.CONSENT)):
        found = decided(acts(armed), scene)
        assert (found.reason, found.determined_by) == (Reason.NEVER_GRANTED, None)
        ended = decided(acts(armed, OBJECTION), scene)
        assert (ended.reason, ended.determined_by) == (ENDED_AS[scene.legal_basis], 2)


ENDED_AS = {LegalBasis.CONSENT: Reason.WITHDRAWN, LegalBasis.INTEREST: Reason.OBJECTED}


def test_g137_a_condition_freezes_it_like_any_scene() -> None:
    armed = acts(TriggerSet(NEWS.id, "count_over", "complaints", 3))
    assert decided(armed).reason is Reason.FROZEN
    over = SignalReported("monitor", "complaints", 4, NOON)
    assert not decided([*armed, over]).allowed


TWO = replace(NEWS, version="2.0.0", consent_since=(2, 0, 0))
BEFORE: dict[str, list[Act]] = {
    "nobody said anything": [],
    "a withdrawal": [OBJECTION],
    "a yes to the earlier terms": [Granted(NEWS.id, FIELDS, None)],
    "a yes that left an item out": [Granted(NEWS.id, FIELDS[:1], None)],
    "an import": [Imported(NEWS.id, FIELDS, None, "crm")],
}


@pytest.mark.parametrize("why", BEFORE)
def test_g140_where_the_basis_changed_only_a_yes_to_the_new_terms_counts(why: str) -> None:
    assert not decided(acts(*BEFORE[why]), TWO).allowed
    published = ScenePublished(NEWS.id, "2.0.0", "0" * 64, NOON)
    yes = acts(*BEFORE[why], Granted(NEWS.id, FIELDS, None))[len(BEFORE[why]) :]
    assert decided([*acts(*BEFORE[why]), published, *yes], TWO).allowed


def test_g140_silence_does_not_cover_a_field_that_came_later() -> None:
    name, email = FIELDS
    later = {**NEWS.fields, email: replace(NEWS.fields[email], since=(1, 1, 0))}
    found = decided([], replace(NEWS, version="1.1.0", fields=later))
    assert (found.allowed, found.reason) == (False, Reason.FIELD_NOT_GRANTED)
    assert {field for field, view in found.views.items() if view == "personal"} == {name}


@pytest.mark.parametrize(
    ("basis", "reason"),
    [
        (LegalBasis.CONTRACT, Reason.LEGAL_BASIS_CONTRACT),
        (LegalBasis.OBLIGATION, Reason.LEGAL_OBLIGATION),
    ],
)
def test_g139_a_locked_scene_is_read_whatever_was_said(basis: LegalBasis, reason: Reason) -> None:
    locked = replace(NEWS, legal_basis=basis)
    for events in ([], acts(OBJECTION)):
        found = decided(events, locked)
        assert (found.allowed, found.reason) == (True, reason)


def test_g138_a_customer_who_was_erased_has_no_bits_in_their_row() -> None:
    now = state(acts(Granted(MARKETING.id, ("name",), None)))
    assert np.count_nonzero(now.all_bits(NEWS.id)) == 1
    now._end(0)
    assert np.count_nonzero(now.all_bits(NEWS.id)) == 0


COMES_BACK = Granted(MARKETING.id, ("name",), None)


def came_back(home: Path) -> Ledger:
    """c1 objected and was erased; c1 and c2 then allow another scene."""
    ledger = Ledger.open(home, origin="test.example/consent")
    ledger.announce([PUBLISHED])
    ledger.record([ledger.draft("c1", OBJECTION, at=NOON, wording=WORDING)])
    ledger.erase("c1", NOON)
    for each in ("c1", "c2"):
        ledger.record([ledger.draft(each, COMES_BACK, at=NOON, wording=WORDING)])
    return ledger


def test_g138_an_id_that_was_erased_is_not_silent_before_and_after_it_speaks(
    tmp_path: Path,
) -> None:
    ledger = came_back(tmp_path)
    ledger.create_keys(["c3"])  # who never said anything
    ledger.erase("c3", NOON)
    state = ConsentIndex({NEWS.id: NEWS, MARKETING.id: MARKETING})
    state.keep_up(ledger)
    assert [state.bits(NEWS.id, each) for each in ("c1", "c3")] == [0, 0]
    assert state.bits(NEWS.id, "c2") == state.bits(NEWS.id, "c4") == state.unsaid(NEWS.id) > 0
    saved = tmp_path / "consent.snapshot"
    snapshot.save(state, ConsentPoint(*ledger.root()), saved)
    resumed = snapshot.load(saved, state.scenes, ledger)
    assert resumed is not None
    resumed.keep_up(ledger)  # there is no new entry, and still it learns who was erased
    assert [resumed.bits(NEWS.id, each) for each in ("c1", "c3")] == [0, 0]
    ledger.close()


def test_g138_a_replay_knows_who_was_erased(tmp_path: Path) -> None:
    came_back(tmp_path).close()
    follower = Follower(tmp_path)
    grounds = ReplayGrounds({NEWS.id: NEWS, MARKETING.id: MARKETING}, shipped())
    for kind in (History, FewHistory):
        history = kind(follower, grounds)
        history.advance(follower.size)
        state = history._states[0]
        assert state.bits_and_entry(NEWS.id, "c1") == (0, None)
        assert state.bits_and_entry(NEWS.id, "c2")[0] > 0
    follower.close()
