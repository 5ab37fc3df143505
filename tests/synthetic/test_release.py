"""Fitting and serving a release: what it promises, what its body holds, what it answers."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from synthetic.fitting import release as releases
from synthetic.fitting.fit import fit
from synthetic.fitting.release import MalformedReleaseError, Release, UnpublishableError
from synthetic.model import select
from synthetic.model.domain import Categories, Domain, DomainError, Numbers
from synthetic.model.graphical_model import GRAPHICAL, INDEPENDENT, UnknownMechanismError
from synthetic.privacy.budget import LossError, PrivacyLoss
from tests.synthetic.material import (
    AT,
    BANK,
    LOSS,
    WORKLOAD,
    RepeatableNoise,
    Seeded,
    bank,
    bank_release,
    table,
)

KEY = b"a key of the gate, known to none"


def fitted(rows: Any, domain: Domain = BANK, **options: Any) -> Release:
    given: dict[str, Any] = {
        "workload": WORKLOAD if domain is BANK else (),
        "loss": LOSS,
        "noise": Seeded(1),
        **options,
    }
    return fit(rows, scene="segmentation", domain=domain, at=AT, ledger_size=7, **given)


@pytest.fixture(scope="module", params=[GRAPHICAL, INDEPENDENT])
def release(request: pytest.FixtureRequest) -> Release:
    return fitted(bank(), mechanism=request.param, contract="segmentation 1.0.0")


def test_a_release_stays_within_the_loss_asked_for(release: Release) -> None:
    said = release.statement
    assert 0 < said.epsilon <= 1
    losses = [*(m.loss for m in release.measurements), *(s.loss for s in release.selections)]
    assert said.rho.rho == sum(each.rho for each in losses)
    assert "adding or removing one customer with all their rows (at most 1)" in str(said)


def test_a_body_is_json_without_floats_and_small(release: Release) -> None:
    def refuse(text: str) -> Any:
        raise AssertionError(f"a float: {text}")

    text = json.dumps(release.body())
    json.loads(text, parse_float=refuse)
    assert len(text) < 60_000


def test_a_body_rebuilds_the_same_release(release: Release) -> None:
    again = Release.from_body(json.loads(json.dumps(release.body())))
    releases.verify(again)
    assert (again.id, again.statement, again.rows) == (
        release.id,
        release.statement,
        release.rows,
    )
    subjects = [f"customer-{number}" for number in range(200)]
    ours, theirs = (r.surrogate([*BANK.columns], KEY, subjects) for r in (release, again))
    assert ours.equals(theirs)


def test_the_published_number_of_rows_is_noisy(release: Release) -> None:
    assert abs(release.rows - 45_211) < 400
    assert "45211" not in json.dumps(release.body())


def test_a_sample_has_the_columns_and_values_of_the_domain(release: Release) -> None:
    sample = release.sample(5_000, ["balance", "job", "age"])
    assert sample.column_names == ["balance", "job", "age"]
    assert sample.num_rows == 5_000
    # a Categories
    assert set(sample["job"].to_pylist()) <= set(BANK["job"].values)  # type: ignore[union-attr]
    ages = sample["age"].to_numpy()
    assert (ages.min() >= 18, ages.max() <= 96, ages.dtype) == (True, True, np.dtype("int64"))


def test_a_sample_has_the_proportions_of_the_population(release: Release) -> None:
    drawn = release.sample(45_211, ["month"])["month"].to_pylist()
    real = bank()["month"].to_pyarrow().to_pylist()
    for month in ("may", "jul", "nov"):
        assert abs(drawn.count(month) - real.count(month)) < 200


def test_two_samples_differ(release: Release) -> None:
    assert not release.sample(500, ["age"]).equals(release.sample(500, ["age"]))


def test_a_surrogate_is_stable_whatever_else_is_asked_for(release: Release) -> None:
    whole = release.surrogate([*BANK.columns], KEY, ["ann", "bob", "eve"])
    assert release.surrogate(["age"], KEY, ["bob"])["age"].to_pylist() == [whole["age"][1].as_py()]


def test_a_surrogate_depends_on_key_subject_and_release(release: Release) -> None:
    subjects = [f"customer-{number}" for number in range(400)]
    mine = release.surrogate(["age"], KEY, subjects)
    assert not mine.equals(release.surrogate(["age"], KEY[::-1], subjects))
    assert not mine.equals(release.surrogate(["age"], KEY, subjects[::-1]))
    assert not mine.equals(replace(release, ledger_size=8).surrogate(["age"], KEY, subjects))


def test_a_surrogate_says_no_more_about_a_subject_than_about_the_population(
    release: Release,
) -> None:
    real = bank()["job"].to_pyarrow().to_pylist()
    drawn = release.surrogate(["job"], KEY, [str(n) for n in range(len(real))])["job"].to_pylist()
    shares = np.array([real.count(job) / len(real) for job in set(real)])
    hits = np.mean([one == other for one, other in zip(real, drawn, strict=True)])
    assert abs(hits - (shares**2).sum()) < 0.01


def test_a_customer_who_left_never_influences_a_later_fit() -> None:
    rows: dict[str, list[Any]] = {"answer": ["yes", "no", "yes"], "here": [True, True, False]}
    other = {**rows, "answer": ["yes", "no", "no"]}
    only = Domain({"answer": Categories(("no", "yes"), "no")})
    found = []
    for each in (rows, other):
        everybody = table(each, {"answer": "string", "here": "bool"})
        present = everybody.filter(everybody.here)
        found.append(fitted(present, only, noise=RepeatableNoise(5)).measurements[0].values)
    assert np.array_equal(found[0], found[1])


def test_a_release_with_repeatable_noise_cannot_be_published() -> None:
    repeatable = fitted(bank(), noise=RepeatableNoise(1))
    with pytest.raises(UnpublishableError, match="repeatable noise"):
        repeatable.body()


@pytest.mark.parametrize("mechanism", [GRAPHICAL, INDEPENDENT])
def test_the_same_rows_are_measured_differently_each_time(mechanism: str) -> None:
    only = Domain({"balance": BANK["balance"]})
    one, other = (fitted(bank(), only, mechanism=mechanism, noise=None) for _ in range(2))
    pairs = zip(one.measurements, other.measurements, strict=True)
    assert any(not np.array_equal(each.values, again.values) for each, again in pairs)


ODD_TABLES: dict[str, dict[str, list[Any]]] = {
    "nobody": {"answer": [], "age": []},
    "three customers": {"answer": ["yes", "no", "yes"], "age": [20, 30, 40]},
    "all null": {"answer": [None] * 50, "age": [None] * 50},
    "one value": {"answer": ["yes"] * 50, "age": [30] * 50},
}


@pytest.mark.parametrize("rows", ODD_TABLES.values(), ids=ODD_TABLES.keys())
def test_an_odd_population_gets_a_sound_noisy_answer(rows: dict[str, list[Any]]) -> None:
    domain = Domain({"answer": Categories(("no", "yes"), "no"), "age": Numbers(18, 96, (25,))})
    small = fitted(table(rows, {"answer": "string", "age": "int32"}), domain)
    sample = small.sample(100, ["answer", "age"])
    assert sample.num_rows == 100
    assert not sample["answer"].null_count
    assert Release.from_body(small.body()).id == small.id


def test_a_column_of_one_value_answers_that_value() -> None:
    only = Domain({"answer": Categories(("yes",), "yes")})
    rows = table({"answer": ["yes", "yes"]}, {"answer": "string"})
    assert fitted(rows, only).sample(3, ["answer"])["answer"].to_pylist() == ["yes"] * 3


def test_missing_values_of_a_nullable_column_are_drawn_as_missing() -> None:
    domain = Domain(
        {
            "answer": Categories(("no", "yes"), "no", nullable=True),
            "age": Numbers(0, 9, (), nullable=True),
        }
    )
    rows: dict[str, list[Any]] = {"answer": [None] * 3000, "age": [None] * 1500 + [4] * 1500}
    release = fitted(table(rows, {"answer": "string", "age": "int32"}), domain)
    sample = release.sample(1000, ["answer", "age"])
    assert sample["answer"].null_count > 900
    assert 400 < sample["age"].null_count < 600


def test_drawing_no_rows_keeps_the_schema(release: Release) -> None:
    empty = release.sample(0, ["age", "job"])
    assert (empty.num_rows, empty.column_names) == (0, ["age", "job"])
    assert empty.schema == release.sample(5, ["age", "job"]).schema


BIG = Domain({name: Numbers(0, 2000, tuple(range(1, 1001))) for name in ("a", "b")})
REFUSED: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "a marginal of a million cells": ({"domain": BIG, "workload": [("a", "b")]}, DomainError),
    "a domain without columns": ({"domain": Domain({})}, DomainError),
    "a column the table lacks": ({"domain": Domain({"q": BIG["a"]})}, DomainError),
    "an unknown mechanism": ({"mechanism": "magic"}, UnknownMechanismError),
    "an epsilon of zero": ({"loss": (0, 1e-6)}, LossError),
    "an infinite epsilon": ({"loss": (float("inf"), 1e-6)}, LossError),
    "a delta of one": ({"loss": (1, 1)}, LossError),
    "a loss that protects nobody": ({"loss": PrivacyLoss(Fraction(3))}, LossError),
    "an epsilon that protects nobody": ({"loss": (20, 1e-6)}, LossError),
    "a loss too small to measure with": ({"loss": PrivacyLoss(Fraction(1, 10**14))}, LossError),
}


@pytest.mark.parametrize(("options", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_a_fit_that_cannot_be_sound_is_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        fitted(bank(), **options)


def _with(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(body: dict[str, Any]) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(json.dumps(body))
        change(copy)
        return copy

    return changed


FORGED = {
    "a smaller epsilon": _with(lambda b: b["statement"].update(epsilon="1/2")),
    "a larger epsilon than any noise of this size has": _with(
        lambda b: b["statement"].update(epsilon="2/1")
    ),
    "a smaller rho": _with(lambda b: b["statement"].update(rho="1/1000")),
    "another delta": _with(lambda b: b["statement"].update(delta="1/10")),
    "more rows a customer": _with(lambda b: b["statement"].update(contribution=2)),
    "another unit": _with(lambda b: b["statement"].update(unit="row")),
    "another scale": _with(lambda b: b["measurements"][0].update(scale="50/1")),
    "a scale of zero": _with(lambda b: b["measurements"][0].update(scale="0/1")),
    "a measurement left out": _with(lambda b: b["measurements"].pop()),
    "a cell left out": _with(lambda b: b["measurements"][0]["values"].pop()),
    "an unknown column": _with(lambda b: b["measurements"][0].update(clique=["phone"])),
    "an unknown noise": _with(lambda b: b["measurements"][0].update(noise="none")),
    "another format": _with(lambda b: b.update(format="synthetic-release/v0")),
    "another mechanism": _with(lambda b: b.update(mechanism="magic")),
    "no domain": _with(lambda b: b.pop("domain")),
    "a local time": _with(lambda b: b.update(fitted_at="2026-11-21T09:00:00+01:00")),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_body_that_contradicts_itself_is_refused(
    release: Release, forge: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with pytest.raises(MalformedReleaseError):
        Release.from_body(forge(release.body()))


def test_importing_the_package_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ["opendp", "mbi", "jax", "diffprivlib", "sklearn", "ibis", "duckdb", "pyarrow"]
    code = (
        "import sys, synthetic.model.domain, synthetic.privacy.budget;"
        "import synthetic.model.marginals, synthetic.fitting.release;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_refit_measures_the_same_marginals_again_and_chooses_nothing() -> None:
    first = bank_release()
    again = fitted(bank(), like=first)
    assert {m.clique for m in again.measurements} == {m.clique for m in first.measurements}
    assert not again.selections
    assert Fraction(99, 100) < again.statement.epsilon <= 1
    assert again.id != first.id


def test_a_refit_over_another_domain_is_refused() -> None:
    with pytest.raises(DomainError, match="fit without `like`"):
        fitted(bank(), Domain({"age": BANK["age"]}), like=bank_release())


def test_a_declared_trend_is_measured_once_more() -> None:
    release = fitted(bank(), workload=[*WORKLOAD, ("month",)])
    measured = Counter(each.clique for each in release.measurements)
    # What no round found a use for sharpens the declared marginals, all of them, once more.
    rounds = measured["age", "job"]
    assert rounds in {1, 2}
    assert all(measured[clique] == rounds for clique in WORKLOAD)
    assert measured["month",] == 1 + rounds
    assert measured["age",] == 1
    assert ("month",) in release.workload


def test_what_a_scene_predicts_is_measured_beside_every_column() -> None:
    given: dict[str, Any] = {
        "domain": BANK,
        "workload": [("age", "job")],
        "loss": LOSS,
        "targets": ["y"],
        "noise": Seeded(1),
    }
    found = fit(bank(), scene="renewal", at=AT, ledger_size=7, **given)
    measured = {each.clique for each in found.measurements}
    assert {(name, "y") for name in BANK.columns if name != "y"} <= measured
    offered = {each for selection in found.selections for each in selection.candidates}
    assert ("job", "balance", "y") in offered
    assert all("y" in clique for clique in offered)


def test_a_target_of_many_values_does_not_stand_in_every_choice() -> None:
    assert ("age", "marital", "job") not in {*select.candidates(BANK, ["job"], [])}
    assert ("age", "marital") in select.candidates(BANK, ["job"], [])
