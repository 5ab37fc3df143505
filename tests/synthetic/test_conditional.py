"""Surrogates of single fields: exact conditionals of the model."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from synthetic.fitting.release import Release
from synthetic.model import conditional, sample
from synthetic.model.domain import Categories, Domain
from synthetic.model.inference import Beliefs, estimate
from synthetic.model.measure import Measurement
from tests.synthetic.material import BANK, bank, bank_release

KEY = b"k" * 32
SIZES = {"a": 3, "b": 2, "c": 4, "d": 3, "e": 2}
DOMAIN = Domain({n: Categories(tuple(map(str, range(k))), "0") for n, k in SIZES.items()})
CLIQUES = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("d", "e")]


@pytest.fixture(scope="module")
def beliefs() -> Beliefs:
    generator = np.random.default_rng(3)
    joint = generator.dirichlet(np.full(144, 0.5)).reshape([*SIZES.values()]) * 9000
    letters = "".join(SIZES)
    return estimate(
        DOMAIN,
        [
            Measurement(
                c,
                "discrete gaussian",
                Fraction(5),
                1,
                np.rint(np.einsum(f"{letters}->{''.join(c)}", joint)).astype(np.int64),
            )
            for c in CLIQUES
        ],
    )


HIDDEN = [("a",), ("c",), ("a", "c"), ("b", "d", "e"), ("a", "b", "c", "d"), ("c", "e")]


@pytest.mark.parametrize("hidden", HIDDEN, ids="".join)
def test_a_conditional_is_the_models_own_to_the_ninth_digit(
    beliefs: Beliefs, hidden: tuple[str, ...]
) -> None:
    whole = beliefs.marginal(tuple(SIZES))
    cells = np.array(list(product(*map(range, SIZES.values()))))
    codes = dict(zip(SIZES, cells.T, strict=True))
    away = tuple(i for i, name in enumerate(SIZES) if name in hidden)
    exact = (whole / whole.sum(axis=away, keepdims=True)).ravel()
    evidence = {name: codes[name] for name in SIZES if name not in hidden}
    found = conditional.probability(beliefs, evidence, {name: codes[name] for name in hidden})
    assert np.abs(found - exact).max() < 1e-9


@pytest.mark.parametrize("hidden", HIDDEN, ids="".join)
def test_draws_follow_the_conditional(beliefs: Beliefs, hidden: tuple[str, ...]) -> None:
    rows = 40_000
    fixed = {name: np.full(rows, 1) for name in SIZES if name not in hidden}
    generator = np.random.default_rng(8)
    drawn = conditional.draw(beliefs, fixed, lambda _name: generator.random(rows))
    shape = [SIZES[name] for name in hidden]
    counts = np.bincount(
        np.ravel_multi_index([drawn[name] for name in hidden], shape), minlength=np.prod(shape)
    )
    every = dict(zip(hidden, np.array(list(product(*map(range, shape)))).T, strict=True))
    evidence = {name: np.full(len(counts), 1) for name in fixed}
    expected = conditional.probability(beliefs, evidence, every) * rows
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max()) + 5


def test_drawing_in_blocks_changes_nothing(
    beliefs: Beliefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 500
    evidence = {"a": np.arange(rows) % 3, "e": np.arange(rows) % 2}
    uniforms = sample.keyed(KEY, "release", [str(n) for n in range(rows)])
    whole = conditional.draw(beliefs, evidence, uniforms)
    monkeypatch.setattr(conditional, "BLOCK_CELLS", 100)
    parts = conditional.draw(beliefs, evidence, uniforms)
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


@pytest.fixture(scope="module")
def release() -> Release:
    return bank_release()


def test_a_conditional_surrogate_keeps_what_goes_with_the_evidence(release: Release) -> None:
    real = bank().select("age", "job", "marital").to_pyarrow()
    subjects = [str(number) for number in range(real.num_rows)]
    drawn = release.conditional(["job"], real, KEY, subjects)["job"].to_pylist()
    ages = real["age"].to_numpy()
    retired = np.array([job == "retired" for job in drawn])
    assert retired[ages >= 65].mean() > 0.6
    assert retired[ages < 40].mean() < 0.02


def test_a_conditional_surrogate_never_sees_the_value_it_stands_for(release: Release) -> None:
    real = bank().select("age", "job").limit(2000).to_pyarrow()
    subjects = [str(number) for number in range(2000)]
    hidden = real.drop_columns(["job"])
    ours = release.conditional(["job"], real, KEY, subjects)
    assert ours.equals(release.conditional(["job"], hidden, KEY, subjects))
    assert ours.slice(7, 1).equals(release.conditional(["job"], real.slice(7, 1), KEY, ["7"]))


def test_without_evidence_a_surrogate_is_a_population_draw(release: Release) -> None:
    nothing = bank().select("age").limit(5).to_pyarrow().rename_columns(["phone"])
    subjects = [*"abcde"]
    alone = release.conditional(["job"], nothing, KEY, subjects)
    assert alone.equals(release.surrogate(["job"], KEY, subjects))


def test_values_are_coded_for_evidence_as_they_are_counted(release: Release) -> None:
    from synthetic.model import counts

    rows = bank().limit(3000)
    coded = counts.encode(rows, BANK).to_pyarrow()
    ours = sample.encode(BANK, rows.to_pyarrow())
    assert all(coded[name].to_pylist() == ours[name].tolist() for name in BANK.columns)
