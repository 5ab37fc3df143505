"""The cohort rule is the point rule, row by row (G8)."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.decision import eligibility
from gate.decision.decide import personal
from gate.policy.compiled import Plan, compile_plan
from gate.state import consent_bits
from tests.campaign import sized
from tests.gate.scenes import SCENES
from tests.gate.test_decide import ALL, AT, minutes, plans, words


@given(
    plans,
    st.lists(words, min_size=1, max_size=40),
    st.integers(0, 2**28 - 1),
    minutes,
    st.integers(0, 15).map(lambda bits: bits << 28),
)
def test_a_cohort_holds_exactly_those_whom_the_point_decision_allows(
    plan: Plan, consents: list[int], wanted: int, minute: int, stale: int
) -> None:
    members = eligibility.readable(plan, np.array(consents, np.uint64), wanted, minute, stale)
    alone = [wanted & ~personal(plan, consent, minute, stale) == 0 for consent in consents]
    assert members.tolist() == alone


# What stands between a customer who granted everything and a permit, in half of the cases nothing.
OBSTACLES = ("a field fewer", "expired", "superseded", "crossed", "stale", "withdrawn")
ENDS = {"expired": (2, AT), "superseded": (1, 1), "withdrawn": (2, AT)}


def consent(random: Random, wanted: int, obstacle: str | None) -> tuple[int, int]:
    """Consent bits, and the triggers whose signal is stale, with one obstacle or none."""
    armed = random.randrange(1, 16) << consent_bits.ARMED_SHIFT
    crossed, stale = 0, 0
    if obstacle == "crossed":
        crossed = armed << consent_bits.CROSSED_SHIFT - consent_bits.ARMED_SHIFT
    elif obstacle == "stale":
        stale = armed & -armed  # one of the armed ones
    elif random.random() < 0.5:
        armed = 0
    fields = wanted | random.getrandbits(consent_bits.FIELDS.bit_length())
    if obstacle == "a field fewer":
        fields &= ~(wanted & -wanted)
    if obstacle == "withdrawn":
        fields = 0
    lo, hi = ENDS.get(obstacle or "", (AT + 1, consent_bits.LAST_MINUTE))
    end = random.choice((lo, hi, random.randint(lo, hi)))
    return end << consent_bits.EXPIRY_SHIFT | crossed | armed | fields, stale


@pytest.mark.campaign
def test_g8_permits_and_refusals_alike() -> None:
    """Half of the decisions are permits, and one in twelve has each of the obstacles."""
    random, permits, cases = Random(8), 0, sized(4_000, 200_000)
    for case in range(cases):
        scene = random.choice([each for each in SCENES.values() if not each.locked])
        plan = compile_plan("analytics", scene, offered=ALL, release=None)
        named = random.sample([*scene.fields], random.randint(1, len(scene.fields)))
        wanted = plan.mask(tuple(named)) or 0
        obstacle = random.choice(OBSTACLES) if case % 2 else None
        bits, stale = consent(random, wanted, obstacle)
        alone = wanted & ~personal(plan, bits, AT, stale) == 0
        (member,) = eligibility.readable(plan, np.array([bits], np.uint64), wanted, AT, stale)
        assert bool(member) == alone == (obstacle is None), (obstacle, bin(bits), bin(stale))
        permits += alone
    assert permits == cases // 2


@pytest.mark.parametrize("minute", [consent_bits.LAST_MINUTE - 1, consent_bits.LAST_MINUTE])
def test_g8_at_the_last_minute_there_is(minute: int) -> None:
    """No grant reaches beyond it, and nothing overflows."""
    scene = next(each for each in SCENES.values() if not each.locked)
    plan = compile_plan("analytics", scene, offered=ALL, release=None)
    bits = consent_bits.LAST_MINUTE << consent_bits.EXPIRY_SHIFT | 1
    (member,) = eligibility.readable(plan, np.array([bits], np.uint64), 1, minute)
    assert bool(member) is (minute < consent_bits.LAST_MINUTE)
    assert bool(member) is (personal(plan, bits, minute) == 1)
