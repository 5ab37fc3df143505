"""Several rows of one customer: the unit that is protected stays the customer."""

from fractions import Fraction
from functools import cache
from itertools import combinations
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.evaluation.noise_audit import audit
from synthetic.fitting import release as releases
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model import counts, select
from synthetic.model.counts import Counts
from synthetic.model.domain import Categories, Domain, DomainError, Numbers
from synthetic.model.graphical_model import GRAPHICAL, INDEPENDENT
from synthetic.model.inference import estimate
from synthetic.model.marginals import Clique
from synthetic.model.measure import Measurement
from synthetic.privacy.budget import GAUSSIAN_NOISE, LossError
from tests.campaign import sized
from tests.synthetic.material import AT, RepeatableNoise, Seeded, table

VISITS = Domain(
    {
        "what": Categories(("clicked", "opened", "replied"), "opened"),
        "hour": Numbers(0, 24, (8, 12, 18)),
        "paid": Categories(("no", "yes"), "no"),
    }
)
SCHEMA = {"who": "string", "what": "string", "hour": "int32", "paid": "string"}
CLIQUES: list[Clique] = [*((name,) for name in VISITS.columns), *combinations(VISITS.columns, 2)]

Visit = tuple[str, int, str]
visits = st.tuples(
    st.sampled_from(["clicked", "opened", "replied", "sent"]),
    st.integers(0, 24),
    st.sampled_from(["no", "yes"]),
)
histories = st.dictionaries(
    st.sampled_from(["ann", "bob", "eve"]), st.lists(visits, min_size=1, max_size=7), min_size=1
)


def database(histories: dict[str, list[Visit]], *, backwards: bool = False) -> Any:
    rows = [(who, *visit) for who, theirs in histories.items() for visit in theirs]
    rows = rows[::-1] if backwards else rows
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    return table(dict(zip(SCHEMA, columns, strict=True)), SCHEMA)


def counted(
    histories: dict[str, list[Visit]], contribution: int, **options: Any
) -> dict[Clique, Counts]:
    rows = counts.bounded(database(histories, **options), VISITS, "who", contribution)
    return counts.count(rows, VISITS, CLIQUES)


@settings(max_examples=sized(4, 60), deadline=None)
@given(histories, st.lists(visits, min_size=1, max_size=7), st.integers(1, 4))
def test_one_customer_with_all_their_rows_moves_a_marginal_by_at_most_their_contribution(
    others: dict[str, list[Visit]], theirs: list[Visit], contribution: int
) -> None:
    without = counted(others, contribution)
    with_them = counted({**others, "zoe": theirs}, contribution)
    for clique in CLIQUES:
        change = with_them[clique] - without[clique]
        assert change.min() >= 0  # nobody else's rows are chosen differently
        assert change.sum() == min(len(theirs), contribution)  # L1, and so L2


@settings(max_examples=sized(4, 30), deadline=None)
@given(histories, st.lists(visits, min_size=1, max_size=7), st.integers(1, 4), st.integers(0, 99))
def test_one_customer_with_all_their_rows_moves_a_score_by_at_most_their_contribution(
    others: dict[str, list[Visit]], theirs: list[Visit], contribution: int, seed: int
) -> None:
    worlds = [counted(o, contribution) for o in (others, {**others, "zoe": theirs})]
    generator = np.random.default_rng(seed)
    noisy = [
        Measurement(c, GAUSSIAN_NOISE, Fraction(9), 1, generator.integers(-5, 20, VISITS.shape(c)))
        for c in CLIQUES[:3]
    ]
    beliefs = estimate(VISITS, noisy)
    for clique in CLIQUES[3:]:
        ours, theirs_too = (select._distance(w[clique], beliefs.marginal(clique)) for w in worlds)
        assert abs(ours - theirs_too) <= contribution


@settings(max_examples=sized(4, 30), deadline=None)
@given(histories, st.integers(1, 4))
def test_the_same_rows_are_chosen_in_whatever_order_they_are_stored(
    everybody: dict[str, list[Visit]], contribution: int
) -> None:
    one, other = (counted(everybody, contribution, backwards=b) for b in (False, True))
    assert all(np.array_equal(one[clique], other[clique]) for clique in CLIQUES)


def test_no_row_of_a_customer_is_favoured() -> None:
    """Of three opened and one replied, one in four chosen is replied, over many customers."""
    visits = [("opened", 9, "no")] * 3 + [("replied", 9, "no")]
    found = counted({f"customer-{n}": visits for n in range(2_000)}, 1)[("what",)]
    assert found.tolist()[0] == 0
    assert abs(found[2] - 500) < 4 * isqrt(375)


def test_a_row_of_nobody_is_not_counted() -> None:
    rows: dict[str, list[Any]] = {
        "who": [None, "ann"],
        "what": ["opened"] * 2,
        "hour": [9] * 2,
        "paid": ["no"] * 2,
    }
    bounded = counts.bounded(table(rows, SCHEMA), VISITS, "who", 5)
    assert counts.count(bounded, VISITS, [("what",)])["what",].sum() == 1


def test_the_column_that_says_whose_a_row_is_may_be_a_number_and_in_the_domain() -> None:
    domain = Domain({"who": Numbers(0, 10, (5,))})
    rows = table({"who": [1, 1, 1, 7]}, {"who": "int64"})
    bounded = counts.bounded(rows, domain, "who", 2)
    assert counts.count(bounded, domain, [("who",)])["who",].tolist() == [2, 1]


@cache
def released(mechanism: str) -> Release:
    """Of six rows of each of a thousand customers, three are counted."""
    generator = np.random.default_rng(3)
    hours = generator.integers(0, 25, 6_000)
    rows = {
        "who": [f"customer-{n % 1_000}" for n in range(6_000)],
        "what": generator.choice(["clicked", "opened", "replied"], 6_000).tolist(),
        "hour": hours.tolist(),
        "paid": np.where(hours > 12, "yes", "no").tolist(),
    }
    return fit(
        table(rows, SCHEMA),
        scene="lead-scoring",
        domain=VISITS,
        workload=[("hour", "paid")],
        loss=(4, 1e-5),
        at=AT,
        ledger_size=7,
        mechanism=mechanism,
        contribution=3,
        customer="who",
        noise=Seeded(1),
    )


@pytest.mark.parametrize("mechanism", [GRAPHICAL, INDEPENDENT])
def test_measurements_scores_and_statement_follow_the_contribution(mechanism: str) -> None:
    release = released(mechanism)
    assert {each.sensitivity for each in release.measurements} == {3}
    assert {each.sensitivity for each in release.selections} <= {3}
    assert release.statement.contribution == 3
    assert "all their rows (at most 3)" in str(release.statement)
    assert release.statement.epsilon <= 4
    assert release.mechanism == INDEPENDENT or release.statement.epsilon > 3.96
    assert abs(release.rows - 3_000) < 150
    releases.verify(Release.from_body(release.body()))


def test_several_rows_are_promised_what_zcdp_promises() -> None:
    noisy = Measurement(("paid",), GAUSSIAN_NOISE, Fraction(30), 3, np.zeros(2, dtype=np.int64))
    said = releases.statement([noisy], [], Fraction(1, 10**5), GRAPHICAL, 3)
    assert said.epsilon == said.rho.epsilon(said.delta)
    alone = releases.statement([noisy], [], Fraction(1, 10**5), GRAPHICAL, 1)
    assert alone.epsilon < said.epsilon


def test_an_audit_finds_the_claim_for_several_rows() -> None:
    found = audit(released(GRAPHICAL), trials=1_500, noise=RepeatableNoise(1))
    assert found.holds
    assert 0.9 * found.claimed <= found.empirical <= 1.1 * found.claimed


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "several rows, but nobody's": ({"contribution": 2}, LossError, "no column identifies"),
    "no row at all": ({"contribution": 0, "customer": "who"}, LossError, "at least 1"),
    "a column the table lacks": (
        {"customer": "owner"},
        DomainError,
        "to identify the customer of a row",
    ),
}


@pytest.mark.parametrize(("options", "error", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_contribution_that_cannot_be_bounded_is_refused(
    options: dict[str, Any], error: type[Exception], said: str
) -> None:
    given: dict[str, Any] = {"domain": VISITS, "workload": (), "loss": (1, 1e-5), **options}
    with pytest.raises(error, match=said):
        fit(database({"ann": []}), scene="lead-scoring", at=AT, ledger_size=7, **given)
