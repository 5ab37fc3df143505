"""The cohort rule is the point rule, row by row (G8)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gate.decision import eligibility
from gate.decision.decide import personal
from gate.policy.compiled import Plan
from tests.gate.test_decide import minutes, plans, words


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
