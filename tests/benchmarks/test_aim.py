"""AIM over mbi: what the paper promises of it, on rows small enough to count."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.peers_synthetic import aim, mst
from benchmarks.peers_synthetic.inference import mbi

SIZES = {"a": 3, "b": 3, "c": 2}
PAIRS: dict[tuple[str, ...], float] = dict.fromkeys(combinations(SIZES, 2), 1.0)


def rows(count: int = 3000) -> np.ndarray:
    """`b` follows `a`; `c` follows nobody."""
    generator = np.random.default_rng(5)
    a = generator.integers(0, 3, count)
    b = np.where(generator.random(count) < 0.9, a, generator.integers(0, 3, count))
    return np.stack([a, b, generator.integers(0, 2, count)], axis=1)


@pytest.fixture(scope="module")
def run() -> aim.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aim, "ROUNDS_PER_COLUMN", 8)  # each one compiles again
        return aim.fit(SIZES, rows(), 0.5, PAIRS, np.random.default_rng(1))


def test_measurements_and_choices_spend_rho_to_the_last(run: aim.Run) -> None:
    measured = [1 / (2 * sigma**2) for _, sigma in run.noise]
    alone, rounds = measured[: len(SIZES)], measured[len(SIZES) :]
    assert run.spent == run.rho
    assert sum(alone) + sum(rounds) / aim.MEASURED_SHARE == pytest.approx(run.rho, rel=1e-9)


def test_one_way_marginals_come_first_and_the_worst_pair_next(run: aim.Run) -> None:
    cliques = [clique for clique, _ in run.noise]
    assert cliques[: len(SIZES)] == [(name,) for name in SIZES]
    assert cliques[len(SIZES)] == ("a", "b")


def test_noise_only_ever_falls_but_for_the_last_round(run: aim.Run) -> None:
    noise = [sigma for _, sigma in run.noise][:-1]
    assert noise == sorted(noise, reverse=True)
    assert noise[-1] < noise[0]


@pytest.mark.parametrize("pair", PAIRS)
def test_the_model_answers_the_workload(run: aim.Run, pair: tuple[str, str]) -> None:
    exact = aim.counts(SIZES, rows(), pair)
    assert np.abs(run.answer(pair) - exact).sum() / exact.sum() < 0.02


@pytest.mark.parametrize("clique", [*PAIRS, ("c", "a", "b"), ("b",)])
def test_marginals_of_the_model_are_those_that_mbi_projects(
    run: aim.Run, clique: tuple[str, ...]
) -> None:
    projected = np.asarray(run.model.project(clique).datavector())
    assert run.answer(clique) == pytest.approx(projected, rel=1e-6, abs=1e-6)


def test_repeated_measurements_count_by_their_precision() -> None:
    earlier = mbi.LinearMeasurement(np.array([10.0, 0.0]), ("c",), stddev=2.0)
    later = mbi.LinearMeasurement(np.array([0.0, 5.0]), ("c",), stddev=1.0)
    both = aim.combined(earlier, later)
    assert both.noisy_measurement.tolist() == [2.0, 4.0]
    assert both.stddev == pytest.approx(0.8**0.5)


def test_candidates_are_every_part_weighted_by_what_it_shares() -> None:
    assert aim.candidates({("a", "b"): 2.0, ("b", "c"): 1.0}) == {
        ("a",): 2.0,
        ("b",): 3.0,
        ("c",): 1.0,
        ("a", "b"): 5.0,
        ("b", "c"): 4.0,
    }


def test_a_pair_whose_model_is_too_large_is_not_a_candidate(
    run: aim.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = aim.Run(SIZES, rows(), 1.0, run.weights, run.generator, spent=1.0)
    monkeypatch.setattr(aim, "LARGEST_MB", 8 * 8 / 2**20)  # eight cells: 3 + 3 + 2
    assert {*aim._affordable(fresh)} == {("a",), ("b",), ("c",)}
    monkeypatch.setattr(aim, "LARGEST_MB", 8 * 9 / 2**20)  # nine: 3 x 2 + 3 as well
    assert {*aim._affordable(fresh)} == {("a",), ("b",), ("c",), ("a", "c"), ("b", "c")}


def test_a_spanning_tree_joins_what_belongs_together() -> None:
    model = mst.fit(SIZES, rows(), 0.5, np.random.default_rng(1))
    exact = aim.counts(SIZES, rows(), ("a", "b"))
    answered = np.asarray(model.project(("a", "b")).datavector())
    assert np.abs(answered - exact).sum() / exact.sum() < 0.03
