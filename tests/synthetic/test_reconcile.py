"""Overlapping noisy marginals are reconciled by least squares, checked against a dense solution."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.model.consistency import Reconciled, reconciled
from tests.campaign import sized

SIZES = {"a": 3, "b": 2, "c": 4, "d": 1}
CLIQUES = [("a",), ("b", "c"), ("a", "b"), ("a", "b", "c"), ("c", "d"), ("d",)]
cliques = st.lists(st.sampled_from(CLIQUES), min_size=1, max_size=6)


def measured(chosen: list[tuple[str, ...]], seed: int) -> list[Reconciled]:
    generator = np.random.default_rng(seed)
    return [
        Reconciled(c, generator.normal(50, 20, [SIZES[n] for n in c]), generator.uniform(1, 400))
        for c in chosen
    ]


def summing(clique: tuple[str, ...]) -> np.ndarray:
    """The matrix from the full table to the marginal over `clique`."""
    cells = [*product(*map(range, SIZES.values()))]
    shape = [SIZES[n] for n in clique]
    rows = np.zeros((int(np.prod(shape)), len(cells)))
    for index, cell in enumerate(cells):
        at = dict(zip(SIZES, cell, strict=True))
        rows[np.ravel_multi_index([at[n] for n in clique], shape), index] = 1
    return rows


@settings(deadline=None, max_examples=sized(13, 200))
@given(cliques, st.integers(0, 2**32))
def test_the_reconciled_marginals_are_those_of_the_least_squares_table(
    chosen: list[tuple[str, ...]], seed: int
) -> None:
    given_ = measured(chosen, seed)
    weighted = [summing(m.clique) / np.sqrt(m.variance) for m in given_]
    wanted = [m.values.ravel() / np.sqrt(m.variance) for m in given_]
    table, *_ = np.linalg.lstsq(np.concatenate(weighted), np.concatenate(wanted), rcond=None)
    inverse = np.linalg.pinv(np.concatenate(weighted).T @ np.concatenate(weighted))
    for found in reconciled(given_):
        matrix = summing(found.clique)
        assert found.values.ravel() == pytest.approx(matrix @ table, abs=1e-6)
        assert np.diag(matrix @ inverse @ matrix.T) == pytest.approx(found.variance, rel=1e-6)


@given(cliques, st.integers(0, 2**32))
def test_reconciled_marginals_agree_and_none_is_noisier_than_it_was(
    chosen: list[tuple[str, ...]], seed: int
) -> None:
    given_ = measured(chosen, seed)
    found = {each.clique: each for each in reconciled(given_)}
    assert len({round(float(each.values.sum()), 6) for each in found.values()}) == 1
    assert all(found[m.clique].variance <= m.variance * (1 + 1e-9) for m in given_)


def test_marginals_that_agree_already_are_left_as_they_are() -> None:
    table = np.arange(24.0).reshape(3, 2, 4)
    whole = Reconciled(("a", "b", "c"), table, 9.0)
    part = Reconciled(("a",), table.sum(axis=(1, 2)), 2.0)
    for found, said in zip(reconciled([whole, part]), (whole, part), strict=True):
        assert found.values == pytest.approx(said.values)
