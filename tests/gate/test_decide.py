"""The theorems of specs/gate.md on the pure decision."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.decision.decide import Reason, View, decide, personal, reason, refusal, verdict, views
from gate.policy.compiled import Plan, compile_plan
from gate.state import consent_bits
from tests.gate.scenes import MARKETING, NEAREST_BRANCH, SCENES, SEGMENTATION, SERVICE

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = consent_bits.minute(NOON)
YEAR = timedelta(days=365)
ALL = frozenset(field for scene in SCENES.values() for field in scene.fields)

words = st.integers(0, 2**64 - 1)
plans = st.builds(
    compile_plan,
    st.sampled_from(["analytics", "crm", "stranger"]),
    st.sampled_from([*SCENES.values()]),
    offered=st.sampled_from([ALL, (), ("age", "name", "location")]),
    release=st.none() | st.just("release-1"),
)
minutes = st.integers(0, 2**28)
fields = st.lists(
    st.sampled_from(["age", "job", "housing", "location", "postcode_area", "name", "email"]),
    unique=True,
    max_size=4,
).map(tuple)


def plan(scene: str, release: str | None = "release-1") -> Plan:
    return compile_plan("analytics", SCENES[scene], offered=ALL, release=release)


@given(plans, fields, words, minutes)
def test_no_personal_field_without_a_live_grant(
    plan: Plan, fields: tuple[str, ...], consent: int, minute: int
) -> None:
    decision = decide(plan, fields, consent, minute, index=1, size=2)
    for field, view in decision.views.items():
        if view in {View.PERSONAL, View.GENERALISED} and not plan.scene.locked:
            source = plan.scene.fields[field].generalised_by if view is View.GENERALISED else field
            assert consent & plan.bits[str(source)]
            assert consent >> consent_bits.EXPIRY_SHIFT > minute
            assert not consent & consent_bits.ARMED & consent >> 4


@given(plans, fields, words, minutes)
def test_every_field_has_a_view_or_the_request_is_refused(
    plan: Plan, fields: tuple[str, ...], consent: int, minute: int
) -> None:
    decision = decide(plan, fields, consent, minute, index=None, size=0)
    wanted = plan.mask(fields)
    inside = bool(fields) and wanted is not None and wanted & ~plan.offered == 0
    assert tuple(decision.views) == (fields if inside else ())
    assert decision.refused is not inside
    assert decision.allowed is (inside and {*decision.views.values()} == {View.PERSONAL})


stales = st.integers(0, 15).map(lambda bits: bits << consent_bits.ARMED_SHIFT)
ends = st.sampled_from([0, 1, 2, 3, AT - 1, AT, AT + 1, consent_bits.LAST_MINUTE])
worded = st.builds(
    lambda rest, end: rest | end << consent_bits.EXPIRY_SHIFT, st.integers(0, 2**36 - 1), ends
)


@given(plans, fields, words | worded, minutes | st.integers(0, 3) | st.just(AT), stales)
def test_a_verdict_that_is_remembered_is_the_one_the_law_gives(
    plan: Plan, fields: tuple[str, ...], consent: int, minute: int, stale: int
) -> None:
    found = verdict(plan, fields, consent, minute, stale)
    if (refused := refusal(plan, fields)) is not None:
        assert (found.reason, found.allowed, found.views) == (refused, False, {})
        return
    readable, wanted = personal(plan, consent, minute, stale), plan.mask(fields) or 0
    assert found.views == views(plan, fields, readable)
    assert found.allowed is (wanted & ~readable == 0)
    assert found.reason is reason(plan, consent, minute, wanted, stale)


@given(plans, fields, words, minutes)
def test_synthetic_only_while_a_release_exists(
    plan: Plan, fields: tuple[str, ...], consent: int, minute: int
) -> None:
    decision = decide(plan, fields, consent, minute, index=None, size=0)
    if plan.release is None:
        assert View.SYNTHETIC not in decision.views.values()


REFUSALS = {
    "service not in the contract": ("stranger", ALL, ("age",), Reason.UNKNOWN_SERVICE),
    "service the organisation forbids": ("analytics", (), ("age",), Reason.UNKNOWN_SERVICE),
    "field the organisation forbids": ("analytics", ("job",), ("age",), Reason.POLICY_FORBIDS),
    "no fields": ("analytics", ALL, (), Reason.NO_FIELDS),
    "field of another scene": ("analytics", ALL, ("email",), Reason.FIELD_OUTSIDE_SCENE),
    "one field too many": ("analytics", ALL, ("age", "email"), Reason.FIELD_OUTSIDE_SCENE),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_contract_refuses_whatever_was_consented(why: str) -> None:
    service, offered, fields, reason = REFUSALS[why]
    asked = compile_plan(service, SEGMENTATION, offered=offered, release=None)
    decision = decide(asked, fields, 2**64 - 1, AT, index=None, size=0)
    assert decision.reason is reason
    assert decision.refused


def live(fields: int) -> int:
    return consent_bits.granted(fields, NOON, NOON + YEAR, YEAR)


REASONS = {
    "granted": (live(0b111), ("age", "job"), Reason.GRANTED),
    "one field granted": (live(0b001), ("age", "job"), Reason.FIELD_NOT_GRANTED),
    "withdrawn": (consent_bits.withdrawn(NOON), ("age",), Reason.WITHDRAWN),
    "never granted": (0, ("age",), Reason.NEVER_GRANTED),
    "expired": (consent_bits.granted(1, NOON - YEAR, NOON, YEAR), ("age",), Reason.EXPIRED),
    "frozen by its signal": (live(1) | 0b1 << 28 | 0b1 << 32, ("age",), Reason.FROZEN),
    "frozen by silence": (live(1) | 0b10 << 28, ("age",), Reason.FROZEN),
}


@pytest.mark.parametrize("why", REASONS)
def test_the_reason_says_why(why: str) -> None:
    consent, fields, reason = REASONS[why]
    assert decide(plan("segmentation"), fields, consent, AT, index=1, size=2).reason is reason


def test_a_grant_ends_exactly_at_its_end() -> None:
    consent = consent_bits.granted(1, NOON - YEAR, NOON, 2 * YEAR)
    before = consent_bits.minute(NOON - timedelta(microseconds=1))
    assert decide(plan("segmentation"), ("age",), consent, before, index=1, size=2).allowed
    assert not decide(plan("segmentation"), ("age",), consent, AT, index=1, size=2).allowed


def test_a_fresh_signal_below_nobodys_threshold_freezes_nobody() -> None:
    armed = live(1) | 0b10 << 28
    asked = plan("segmentation")
    assert decide(asked, ("age",), armed, AT, index=1, size=2, stale=0b01 << 28).allowed
    assert not decide(asked, ("age",), armed, AT, index=1, size=2, stale=0b10 << 28).allowed


def test_location_is_generalised_under_the_grant_of_its_coarser_field() -> None:
    asked = plan(NEAREST_BRANCH.id)
    only_area = live(asked.bits["postcode_area"])
    views = decide(asked, ("location", "postcode_area"), only_area, AT, index=1, size=2).views
    assert views == {"location": View.GENERALISED, "postcode_area": View.PERSONAL}
    nothing = decide(asked, ("location",), consent_bits.withdrawn(NOON), AT, index=1, size=2).views
    assert nothing == {"location": View.WITHHELD}


def test_contract_scenes_need_no_grant() -> None:
    decision = decide(plan(SERVICE.id), ("name",), 0, AT, index=None, size=0)
    assert decision.allowed
    assert decision.reason is Reason.LEGAL_BASIS_CONTRACT


def test_nothing_outlives_the_contracts_longest_duration() -> None:
    consent = consent_bits.granted(1, NOON, None, MARKETING.longest)
    last = consent_bits.minute(NOON + MARKETING.longest) - 1
    assert decide(plan(MARKETING.id), ("name",), consent, last, index=1, size=2).allowed
    assert not decide(plan(MARKETING.id), ("name",), consent, last + 1, index=1, size=2).allowed


@given(words, st.integers(0, consent_bits.FIELDS))
def test_withdrawing_fields_leaves_only_the_others(consent: int, gone: int) -> None:
    left = consent_bits.without(consent, gone, NOON)
    assert left & consent_bits.FIELDS == consent & consent_bits.FIELDS & ~gone
    assert left & consent_bits.TRIGGERS == consent & consent_bits.TRIGGERS
    assert left != 0


def test_g144_reasons_and_views_have_the_names_of_the_specification() -> None:
    """Services compare them, and read logs have them for ever."""
    clause = SPECIFICATION.read_text("utf-8").partition("- **G144**")[2].partition("\n- **")[0]
    named = {*re.findall(r"`([a-z-]+)`", clause)} - NO_REASONS
    assert named | {"source-unavailable"} == {each.value for each in Reason}
    assert {each.value for each in View} == {"personal", "generalised", "synthetic", "withheld"}


SPECIFICATION = Path(__file__).parents[2] / "specs" / "gate.md"
NO_REASONS = {"allowed", "imported"}  # and `determined_by`, which has another form


def test_g10_g11_the_layout_of_consent_bits() -> None:
    """Snapshots have it, so it is not only a matter of agreeing with oneself."""
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    assert consent_bits.minute(new_year) == 3_156_480
    assert consent_bits.minute(new_year - timedelta(seconds=1)) == 3_156_479
    bits = consent_bits.granted(0b101, NOON - YEAR, new_year, YEAR)
    assert bits == 3_156_480 << 36 | 0b101
    assert (
        consent_bits.granted(1, NOON - YEAR, None, timedelta(days=1))
        == 3_156_480 - (364 * 24 - 12) * 60 << 36 | 1
    )
    assert consent_bits.superseded(0b11) == 1 << 36 | 0b11
    assert consent_bits.withdrawn(new_year) == 3_156_480 << 36
    assert consent_bits.withdrawn(datetime(2019, 1, 1, tzinfo=UTC)) == 1 << 36
    assert consent_bits.granted(1, datetime(2019, 1, 1, tzinfo=UTC), None, YEAR) == 2 << 36 | 1
    old = datetime(2019, 1, 1, tzinfo=UTC)
    assert consent_bits.limited(bits, 0b1, old) == 2 << 36 | 0b1, "expired, and not superseded"
    assert consent_bits.limited(bits, 0b1, None) == 3_156_480 << 36 | 0b1
    assert consent_bits.unsaid(0) == 0
    assert consent_bits.unsaid(0b10) == (1 << 64) - (1 << 36) | 0b10
    fields = {0: 0, 27: 27, 28: 64, 83: 119, 84: 128, 531: 9 * 64 + 55}
    assert {n: consent_bits.field(n) for n in fields} == {n: 1 << b for n, b in fields.items()}
    armed = {0: 28, 3: 31, 4: 120, 7: 123, 8: 184, 39: 9 * 64 + 59}
    assert {n: consent_bits.armed(n) for n in armed} == {n: 1 << b for n, b in armed.items()}
    assert {n: consent_bits.crossed(n) for n in armed} == {n: 16 << b for n, b in armed.items()}
    assert consent_bits.offered(5) == 0b1111 << 28 | 1 << 120
    sizes = {(1, 0): 1, (28, 4): 1, (29, 0): 2, (1, 5): 2, (84, 8): 2, (85, 0): 3, (532, 40): 10}
    assert {each: consent_bits.words(*each) for each in sizes} == sizes
    assert (consent_bits.MAX_FIELDS, consent_bits.MAX_TRIGGERS) == (532, 40)
    assert consent_bits.expiry(bits) == 3_156_480
    assert consent_bits.TRIGGERS == 0xFF << 28
