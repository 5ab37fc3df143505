"""Estimates of those who withdrew, from earlier noisy counts and exact counts of who stayed."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.completion import leavers
from synthetic.model.consistency import Reconciled, components, freedom
from tests.campaign import sized

SIZES = {"age": 8, "job": 6}
PAIR = ("age", "job")
EVERYBODY = 20_000


def population(seed: int) -> tuple[np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(seed)
    return generator.multinomial(EVERYBODY, generator.dirichlet(np.ones(48))).reshape(
        8, 6
    ), generator


def believed(
    everybody: np.ndarray, left: np.ndarray, variance: float, generator: np.random.Generator
) -> tuple[Reconciled, Reconciled]:
    """What is believed, and the noisy difference that it was made of."""
    noisy = everybody + generator.normal(0, sqrt(variance), everybody.shape)
    stayed: dict[tuple[str, ...], np.ndarray] = {PAIR: everybody - left}
    (difference,) = leavers.differences([Reconciled(PAIR, noisy, variance)], stayed, 1.0)
    (found,) = leavers.marginals([difference], stayed, int(left.sum()))
    return found, difference


@settings(deadline=None, max_examples=sized(12, 125))
@given(st.integers(0, 2**32))
def test_as_many_are_believed_to_have_left_as_are_missing(seed: int) -> None:
    everybody, generator = population(seed)
    left = generator.binomial(everybody, 0.3)
    found, _ = believed(everybody, left, 400.0, generator)
    assert found.values.sum() == pytest.approx(left.sum())


def test_most_of_the_noise_is_taken_out_where_those_who_left_are_like_those_who_stayed() -> None:
    errors = []
    for seed in range(20):
        everybody, generator = population(seed)
        left = generator.binomial(everybody, 0.3)
        found, noisy = believed(everybody, left, 900.0, generator)
        errors.append([np.abs(each.values - left).mean() for each in (found, noisy)])
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 0.6 * theirs


def test_who_left_for_their_age_is_recognised() -> None:
    """Closer than the noisy counts, and far closer than those who stayed, scaled."""
    errors = []
    for seed in range(20):
        everybody, generator = population(seed)
        chance = np.linspace(0.8, 0.05, 8)[:, None]
        left = generator.binomial(everybody, np.broadcast_to(chance, everybody.shape))
        found, noisy = believed(everybody, left, 900.0, generator)
        alike = (everybody - left) * (left.sum() / (everybody - left).sum())
        errors.append([np.abs(each - left).mean() for each in (found.values, noisy.values, alike)])
    ours, counted, scaled = np.mean(errors, axis=0)
    assert ours < 0.85 * counted
    assert ours < 0.25 * scaled


@settings(deadline=None, max_examples=sized(13, 200))
@given(st.integers(0, 2**32), st.integers(0, 7), st.integers(0, 5))
def test_no_cell_is_moved_far_beyond_its_noise(seed: int, age: int, job: int) -> None:
    """Not even when a single group left for reasons of its own."""
    everybody, generator = population(seed)
    left = generator.binomial(everybody, 0.1)
    left[age, job] = everybody[age, job]
    found, noisy = believed(everybody, left, 900.0, generator)
    for part, said in components([noisy]).items():
        if part:
            sigma = sqrt(said.variance * freedom(part, SIZES))
            moved = components([found])[part].values - said.values
            assert np.abs(moved).max() <= 2 * leavers.MAX_SHIFT * sigma + 1e-6


def test_exact_counts_of_before_are_believed() -> None:
    everybody, generator = population(3)
    left = generator.binomial(everybody, generator.uniform(0, 1, everybody.shape))
    found, _ = believed(everybody, left, 1e-9, generator)
    assert found.values == pytest.approx(left, abs=1e-3)


def test_nobody_left() -> None:
    everybody, generator = population(5)
    found, _ = believed(everybody, np.zeros_like(everybody), 900.0, generator)
    assert found.values.sum() == pytest.approx(0)
    assert np.isfinite(found.values).all()


def test_nobody_stayed() -> None:
    everybody, generator = population(6)
    found, noisy = believed(everybody, everybody, 100.0, generator)
    assert np.abs(found.values - everybody).mean() < 2 * np.abs(noisy.values - everybody).mean()


def test_where_few_stayed_who_are_unlike_the_others_the_noisy_counts_hold() -> None:
    """As of a table of whole groups, in which only the largest groups are shown."""
    errors = []
    for seed in range(20):
        everybody, generator = population(seed)
        shown = np.where(everybody >= np.quantile(everybody, 0.9), everybody // 10, 0)
        found, noisy = believed(everybody, everybody - shown, 400.0, generator)
        left = everybody - shown
        small = (left > 0) & (left < np.median(left))
        errors.append([np.abs(each.values - left)[small].mean() for each in (found, noisy)])
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 1.05 * theirs
