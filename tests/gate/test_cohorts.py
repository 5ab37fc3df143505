"""Clause G9 of specs/gate.md: a kept cohort is the one that the rule gives, after every step."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.decision import eligibility, eligibility_cache
from gate.decision.eligibility_cache import Cohorts
from gate.policy.compiled import Plan, compile_plan
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.state_changes import _MAX_CHANGES
from ledger.events.envelope import (
    FIRST,
    Act,
    EvidenceClass,
    Granted,
    PublicEvent,
    SignalReported,
    SubjectErased,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
    Wording,
    instruction,
)
from ledger.reader import RecordedEvent
from tests.campaign import sized
from tests.gate.scenes import SCENES

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCENE = "segmentation"
FIELDS = ("age", "job", "housing")
WORDING = Wording("en", bytes(32))


@dataclass
class Said:
    """A ledger in memory. Who was erased is no longer there when it is read from the beginning."""

    entries: list[tuple[str | None, PublicEvent | Act, datetime]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        return len(self.entries)

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        for index, (who, what, at) in enumerate(self.entries[since:], since):
            if index in self.gone:
                continue
            if who is None:
                yield RecordedEvent(index, what)  # type: ignore[arg-type] # a public event then
            else:
                seq = sum(1 for n, (w, *_) in enumerate(self.entries[:index]) if w == who
                          and n not in self.gone)  # fmt: skip
                said = instruction("t/c", who, seq, FIRST, what, at, WORDING, EvidenceClass.SESSION)  # type: ignore[arg-type] # an act then
                yield RecordedEvent(index, said)

    def erase(self, who: str, at: datetime) -> None:
        self.gone |= {n for n, (w, *_) in enumerate(self.entries) if w == who}
        self.entries.append((None, SubjectErased(at), at))


people = st.sampled_from([f"c{n}" for n in range(12)])
minutes = st.integers(0, 60 * 24 * 10)
some = st.lists(st.sampled_from(FIELDS), unique=True, min_size=1).map(tuple)
acts = st.one_of(
    st.builds(Granted, st.sampled_from([SCENE, "direct-marketing"]), some, st.none()),
    st.builds(Granted, st.just(SCENE), some, minutes.map(lambda n: NOON + timedelta(minutes=n))),
    st.builds(Withdrawn, st.just(SCENE), st.none() | some),
    st.builds(
        TriggerSet,
        st.just(SCENE),
        st.just("metric_below"),
        st.just("accuracy"),
        st.sampled_from([9000, 9500]),
    ),
    st.builds(TriggerCleared, st.just(SCENE), st.just("metric_below"), st.just("accuracy")),
)
steps = st.one_of(
    st.tuples(st.just("says"), people, acts),
    st.tuples(st.just("says"), people, acts),
    st.tuples(st.just("reports"), st.sampled_from([8900, 9200, 9600]), st.none()),
    st.tuples(st.just("erases"), people, st.none()),
    st.tuples(st.just("waits"), minutes, st.none()),
)


def plan(scene: str = SCENE) -> Plan:
    return compile_plan("analytics", SCENES[scene], offered=FIELDS, release=None)


def begun() -> Said:
    """Some granted, some of them armed a trigger, and its signal was reported."""
    said, armed = Said(), TriggerSet(SCENE, "metric_below", "accuracy", 9100)
    said.entries += [(f"c{n}", Granted(SCENE, FIELDS, None), NOON) for n in range(6)]
    said.entries += [(f"c{n}", armed, NOON) for n in range(3)]
    said.entries.append((None, SignalReported("monitor", "accuracy", 9200, NOON), NOON))
    return said


def agree(kept: Cohorts, state: ConsentIndex, minute: int) -> list[np.ndarray]:
    """The kept cohorts of a few questions; each is the one the rule gives."""
    found = []
    for scene, asked in ((SCENE, ("age",)), (SCENE, FIELDS), ("contract-service", ("name",))):
        by = plan(scene)
        wanted = by.mask(asked) or 0
        members = kept.readable(state, by, wanted, minute)
        stale = state.stale(scene, minute)
        ruled = eligibility.readable(by, state.all_bits(scene), wanted, minute, stale)
        assert members.tolist() == ruled.tolist()
        found.append(members)
    return found


@settings(max_examples=sized(50, 750), deadline=None)
@given(st.lists(steps, max_size=25), st.lists(minutes, max_size=3))
def test_g9_a_kept_cohort_is_the_one_the_rule_gives_after_every_step(
    history: list[tuple[str, object, object]], looks: list[int]
) -> None:
    said, state, kept = begun(), ConsentIndex(SCENES), Cohorts()
    at, held = NOON, []
    for what, who, act in history:
        match what:
            case "says":
                said.entries.append((str(who), act, at))  # type: ignore[arg-type] # an act
            case "reports":
                report = SignalReported("monitor", "accuracy", who, at)  # type: ignore[arg-type]
                said.entries.append((None, report, at))
            case "erases":
                said.erase(str(who), at)
            case "waits":
                at = NOON + timedelta(minutes=who)  # type: ignore[arg-type] # backwards, too
        state.catch_up(said)
        for minute in (consent_bits.minute(at), *(consent_bits.minute(NOON) + n for n in looks)):
            held += [(each, each.tolist()) for each in agree(kept, state, minute)]
    assert all(each.tolist() == before for each, before in held), "an answer changed afterwards"


def grown(people: int) -> tuple[Said, ConsentIndex]:
    said, state = Said(), ConsentIndex(SCENES)
    for n in range(people):
        said.entries.append((f"c{n}", Granted(SCENE, FIELDS, None), NOON))
    state.catch_up(said)
    return said, state


def test_g9_a_cohort_is_kept_while_nothing_changes_and_one_word_makes_another() -> None:
    said, state = grown(100)
    kept, minute = Cohorts(), consent_bits.minute(NOON)
    first, *_ = agree(kept, state, minute)
    assert agree(kept, state, minute + 1)[0] is first
    said.entries.append(("c7", Withdrawn(SCENE, None), NOON))
    state.catch_up(said)
    second, *_ = agree(kept, state, minute)
    assert (first[7], second[7]) == (True, False)
    with pytest.raises(ValueError, match="read-only"):
        second[7] = True


def test_g9_nobody_inherits_the_row_of_somebody_erased() -> None:
    said, state = grown(3)
    said.entries.append(("silent", Granted("direct-marketing", ("name",), None), NOON))
    state.catch_up(said)
    kept, minute = Cohorts(), consent_bits.minute(NOON)
    agree(kept, state, minute)
    said.erase("c2", NOON)
    said.entries.append(("new", Granted("direct-marketing", ("name",), None), NOON))
    state.catch_up(said)
    assert [*state.subjects] == ["c0", "c1", "silent", "new"]
    assert agree(kept, state, minute)[0].tolist() == [True, True, False, False]


def test_g9_changes_too_many_to_name_are_changes_all_the_same() -> None:
    said, state = grown(50)
    kept, minute = Cohorts(), consent_bits.minute(NOON)
    agree(kept, state, minute)
    for _ in range(_MAX_CHANGES + 10):
        state.changes(SCENE).one(3)
    said.entries.append(("c3", Withdrawn(SCENE, None), NOON))
    state.catch_up(said)
    assert not agree(kept, state, minute)[0][3]


def test_g9_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = grown(50)
    monkeypatch.setattr(eligibility_cache, "MAX_BYTES", 120)
    kept = Cohorts()
    for wanted in (1, 2, 3, 4, 5):
        kept.readable(state, plan(), wanted, consent_bits.minute(NOON))
        assert sum(each.members.nbytes for each in kept._cache.values()) <= 120
