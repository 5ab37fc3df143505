"""Privacy is tested, not assumed: samplers, sensitivities, audits and attacks."""

from fractions import Fraction
from math import erf, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import chdtrc

from synthetic.evaluation.noise_audit import audit
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model import counts, measure, select
from synthetic.model.domain import Categories, Domain
from synthetic.model.inference import estimate
from synthetic.model.measure import Measurement, gaussian
from synthetic.privacy import accounting, budget
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.mechanisms import Integers, Noise, OperatingSystemNoise
from tests.campaign import sized
from tests.synthetic.material import AT, BANK, WORKLOAD, RepeatableNoise, bank, table

TRIALS = 12_000
FREQUENT = 100  # of the trials
UNLIKELY = 1e-7  # farther away than five standard errors
DELTA = Fraction(7, 10**6)


def probability(drawn: Integers, expected: dict[int, float]) -> float:
    """How probable so large a chi-square is, if the numbers are distributed as expected.

    The rarest numbers are one cell with the rarest of the others: a cell of few has a longer tail
    than the chi-square distribution, and would fail by chance.
    """
    inside = {k: p * len(drawn) for k, p in expected.items() if p * len(drawn) >= FREQUENT}
    counted = {k: int((drawn == k).sum()) for k in inside}
    rarest = min(inside, key=inside.__getitem__)
    inside[rarest] += len(drawn) - sum(inside.values())
    counted[rarest] += len(drawn) - sum(counted.values())
    statistic = sum((counted[k] - n) ** 2 / n for k, n in inside.items())
    return float(chdtrc(len(inside) - 1, statistic))


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(3), Fraction(41, 4)])
def test_gaussian_noise_has_the_discrete_gaussian_distribution(sigma: Fraction) -> None:
    drawn = OperatingSystemNoise().gaussian(np.zeros(TRIALS, dtype=np.int64), sigma)
    weights = {k: np.exp(-(k**2) / (2 * float(sigma) ** 2)) for k in range(-200, 201)}
    total = sum(weights.values())
    found = probability(drawn, {k: w / total for k, w in weights.items()})
    assert found > UNLIKELY


@pytest.mark.parametrize("epsilon", [Fraction(1, 4), Fraction(2)])
def test_laplace_noise_has_the_discrete_laplace_distribution(epsilon: Fraction) -> None:
    drawn = OperatingSystemNoise().laplace(np.zeros(TRIALS, dtype=np.int64), 1, epsilon)
    q = np.exp(-float(epsilon))
    expected = {k: (1 - q) / (1 + q) * q ** abs(k) for k in range(-200, 201)}
    assert probability(drawn, expected) > UNLIKELY


def test_noise_is_whole_so_no_digit_tells_the_true_count() -> None:
    """With floating-point Laplace noise the last bits tell neighbours apart; integers have none."""
    from diffprivlib.mechanisms import Laplace

    floats = Laplace(epsilon=2, sensitivity=1)
    low, high = ([floats.randomise(count) for _ in range(3000)] for count in (0.0, 1.0))
    coarse = [[(v * 2**53) % 1 == 0 for v in world if abs(v) < 0.25] for world in (low, high)]
    assert all(coarse[1])  # 1 + noise lies on a grid
    assert not all(coarse[0])  # off the grid: the count was 0, for certain
    ours = OperatingSystemNoise().laplace(np.arange(2000), 1, Fraction(1, 10))
    assert ours.dtype == np.int64


SMALL = Domain(
    {
        "a": Categories(("x", "y", "z"), "x"),
        "b": Categories(("no", "yes"), "no"),
        "c": Categories(("1", "2", "3", "4"), "1"),
    }
)
people = st.tuples(st.sampled_from("xyz?"), st.sampled_from(["no", "yes"]), st.sampled_from("1234"))
CLIQUES = [("a",), ("b",), ("c",), ("a", "b"), ("b", "c"), ("a", "c")]


def counted(rows: list[tuple[str, str, str]]) -> dict[Any, Integers]:
    columns = dict(zip("abc", zip(*rows, strict=True), strict=True))
    return counts.count(table(columns, dict.fromkeys("abc", "string")), SMALL, CLIQUES)


@settings(max_examples=sized(5, 75), deadline=None)
@given(st.lists(people, min_size=1, max_size=12), people)
def test_one_customer_changes_one_cell_of_every_marginal_by_one(
    rows: list[tuple[str, str, str]], one: tuple[str, str, str]
) -> None:
    without, with_one = counted(rows), counted([*rows, one])
    for clique in CLIQUES:
        changed = np.abs(with_one[clique] - without[clique])
        assert changed.sum() == changed.max() == 1


@settings(max_examples=sized(5, 75), deadline=None)
@given(st.lists(people, min_size=1, max_size=12), people, st.integers(0, 2**32))
def test_one_customer_changes_every_score_by_at_most_one(
    rows: list[tuple[str, str, str]], one: tuple[str, str, str], seed: int
) -> None:
    without, with_one = counted(rows), counted([*rows, one])
    generator = np.random.default_rng(seed)
    noisy = [
        Measurement(
            c, budget.GAUSSIAN_NOISE, Fraction(9), 1, generator.integers(-5, 20, SMALL.shape(c))
        )
        for c in CLIQUES[:3]
    ]
    beliefs = estimate(SMALL, noisy)
    for clique in CLIQUES[3:]:
        model = beliefs.marginal(clique)
        ours, theirs = (select._distance(world[clique], model) for world in (without, with_one))
        assert abs(ours - theirs) <= 1


@pytest.fixture(scope="module")
def loud() -> Release:
    """A release with so large a budget that an audit of few trials sees everything."""
    given: dict[str, Any] = {"domain": BANK, "workload": WORKLOAD, "loss": (8, 7e-6)}
    given |= {"noise": RepeatableNoise(1)}
    return fit(bank(), scene="segmentation", at=AT, ledger_size=7, **given)


def test_an_audit_finds_the_claim_and_no_more(loud: Release) -> None:
    found = audit(loud, trials=4_000, noise=RepeatableNoise(1))
    assert found.holds
    assert 0.95 * found.claimed <= found.empirical <= 1.05 * found.claimed


def test_an_audit_catches_noise_that_is_a_fifth_too_small(loud: Release) -> None:
    class TooQuiet(RepeatableNoise):
        def gaussian(self, counts: Integers, sigma: Fraction) -> Integers:
            return super().gaussian(counts, Fraction(round(sigma * 4 / 5 * 2**20), 2**20))

    assert not audit(loud, trials=1_000, noise=TooQuiet(1)).holds


def test_the_tight_epsilon_lies_between_continuous_noise_and_zcdp(loud: Release) -> None:
    said = loud.statement
    assert accounting.gaussian_epsilon(said.rho, said.delta) <= said.epsilon
    assert said.epsilon <= said.rho.epsilon(said.delta)
    assert Fraction(98, 100) * 8 < said.epsilon <= 8


@pytest.mark.parametrize("sigma", [Fraction(3, 2), Fraction(203, 100), Fraction(4)])
def test_no_statement_is_below_that_of_continuous_noise(sigma: Fraction) -> None:
    """Of two marginals and three columns with a sigma of about 2, the exact epsilon is."""
    spent = [((sigma, 1), 2), ((Fraction(49, 5), 1), 3)]
    rho = sum((Fraction(times) / (2 * each**2) for (each, _), times in spent), Fraction(0))
    least = accounting.gaussian_epsilon(PrivacyLoss(rho), DELTA)
    assert least <= float(accounting.epsilon(spent, DELTA)) <= least * 1.01


def test_one_gaussian_gets_the_exact_epsilon() -> None:
    sigma = Fraction(4)
    found = float(accounting.epsilon([((sigma, 1), 1)], DELTA))
    ks = np.arange(-400, 401, dtype=np.float64)
    weights = np.exp(-(ks**2) / 32)
    weights /= weights.sum()
    shifted = np.roll(weights, 1)
    exceeded = np.maximum(shifted - np.exp(found) * weights, 0).sum()
    assert exceeded <= float(DELTA) * 1.001
    assert np.maximum(shifted - np.exp(found * 0.99) * weights, 0).sum() > float(DELTA)


FILLED = [(a, b, c) for a in "xyz" for b in ("no", "yes") for c in "1234"] * 5
Person = tuple[str, str, str]


def two_releases(leaver: Person, noises: tuple[Noise, Noise]) -> list[Release]:
    """Around the withdrawal of one customer. Two rows of each may count: it spares time."""
    here = [*FILLED, leaver], FILLED
    return [_released(rows, noise) for rows, noise in zip(here, noises, strict=True)]


def _released(people: list[Person], noise: Noise) -> Release:
    columns = dict(zip("abc", zip(*people, strict=True), strict=True))
    columns["who"] = tuple(str(n) for n in range(len(people)))
    return fit(
        table(columns, dict.fromkeys([*"abc", "who"], "string")),
        scene="segmentation",
        domain=SMALL,
        workload=[("a", "b"), ("b", "c")],
        loss=PrivacyLoss(Fraction(1, 50)),
        at=AT,
        ledger_size=7,
        contribution=2,
        customer="who",
        noise=noise,
    )


def who_left(first: Release, second: Release) -> Person:
    """The attack: whose cells fell most from one release to the next, weighed by their noise?"""

    def fallen(person: Person) -> float:
        codes = dict(zip("abc", map(_code, "abc", person), strict=True))
        return sum(
            float((m.values - n.values)[tuple(codes[name] for name in m.clique)]) / m.variance
            for m, n in zip(first.measurements, second.measurements, strict=False)
            if m.clique == n.clique
        )

    return max(dict.fromkeys(FILLED), key=fallen)


def _code(name: str, value: str) -> int:
    column = SMALL[name]
    assert isinstance(column, Categories)
    return column.values.index(value)


LEAVERS: list[Person] = FILLED[:24:2]


def test_with_one_seed_for_two_releases_their_difference_names_who_left() -> None:
    """Why no build that can publish has a seed: the same attack never fails."""
    seeds = [(RepeatableNoise(n), RepeatableNoise(n)) for n in range(len(LEAVERS))]
    found = [who_left(*two_releases(*each)) for each in zip(LEAVERS, seeds, strict=True)]
    assert found == LEAVERS


def test_the_difference_of_two_releases_does_not_name_who_left() -> None:
    """One in 24 would be right by chance; two releases of rho 1/50 allow little more."""
    noises = RepeatableNoise(1), RepeatableNoise(2)
    found = [who_left(*two_releases(leaver, noises)) for leaver in LEAVERS]
    right = sum(one == other for one, other in zip(found, LEAVERS, strict=True))
    assert right <= 5  # of 12: at 1/16 each, six or more are less probable than one in 10,000


def test_an_attacker_with_two_releases_does_no_better_than_the_claim_allows() -> None:
    """They know the leaver's row, and guess whether the leaver is in the second release. The claim:
    at most Phi(mu / 2) of guesses are right, with mu = sqrt(2 rho) (Dong, Roth & Su 2022)."""
    rho, attempts, noise = Fraction(1, 2), 20_000, OperatingSystemNoise()
    here = np.full(attempts, 300, dtype=np.int64)
    left = np.arange(attempts) % 2
    fallen, weight = np.zeros(attempts), 0.0
    for share in (Fraction(1, 6), Fraction(1, 3), Fraction(1, 2)):  # three marginals
        each = PrivacyLoss(rho * share)
        first, second = (gaussian(n, ("a",), 1, each, noise) for n in (here, here - left))
        fallen += (first.values - second.values) / first.variance
        weight += 1 / first.variance
    right = float(((fallen > weight / 2) == (left == 1)).mean())
    spread = 5 * sqrt(0.25 / attempts)  # chance exceeds it once in 3 million runs
    mu = sqrt(2 * rho)
    assert right <= _phi(mu / 2) + spread
    assert right >= _phi(mu / sqrt(8)) - spread  # as good as two noisy releases make it
    assert _phi(mu / sqrt(8)) > 0.5 + 2 * spread  # a real attack, not a coin


def _phi(x: float) -> float:
    return 0.5 * (1 + erf(x / sqrt(2)))


@pytest.mark.parametrize("integers", [1, 40, 500])
def test_a_budget_within_an_epsilon_is_promised_within_it_however_it_is_split(
    integers: int,
) -> None:
    budgeted = accounting.loss_within(Fraction(1), DELTA)
    each = PrivacyLoss(budgeted.rho / integers)
    sigma = measure.sigma_within(1, each)
    promised = accounting.epsilon([((sigma, 1), integers)], DELTA)
    assert Fraction(99, 100) < promised <= 1
