"""The report for the steward, and the expected loss, which may be public."""

import json
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from typing import Any

import ibis
import numpy as np
import pytest

from synthetic.evaluation import evaluate
from synthetic.evaluation.evaluate import EvaluationReport, expected_loss
from synthetic.evaluation.inference_risk import risks
from synthetic.evaluation.noise_audit import BATCH, Audit, audit, audit_within
from synthetic.evaluation.utility import Utility, utility
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model.domain import Categories, Domain
from synthetic.privacy.budget import PrivacyLoss
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


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    audited, tried = Audit(0.25, 0.24, 0.2, 0.3), Utility("y", 0.87, 0.9, 4_500)
    return evaluate.report(bank_release(), bank(), audited, [tried])


def test_a_report_measures_every_declared_group_by(report: EvaluationReport) -> None:
    assert {each.clique for each in report.segments} == set(WORKLOAD)
    assert all(each.segments > 0 for each in report.segments)
    assert np.mean([each.mean for each in report.segments]) < 0.02


def test_a_report_measures_trends_along_ordered_columns(report: EvaluationReport) -> None:
    assert {each.clique for each in report.trends} == {("age",), ("balance",), ("month",)}
    assert max(each.mean for each in report.trends) < 0.03


def test_the_model_is_far_closer_in_pairs_than_chance(report: EvaluationReport) -> None:
    assert report.distance_one < 0.01
    assert report.distance_two < 0.02


def test_a_report_is_json(report: EvaluationReport) -> None:
    body = json.loads(json.dumps(report.body()))
    assert body["release"] == bank_release().id
    assert body["audit"]["claimed"] == 0.25
    assert body["audit"]["holds"] is True
    assert body["outside_domain"]["age"] == 0
    assert body["model_utility"][0]["gap"] == pytest.approx(0.03)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[Any] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_has_a_table_beside_every_chart_and_asks_for_nothing(
    report: EvaluationReport,
) -> None:
    page = Page()
    page.feed(evaluate.html(report))
    assert page.tags.count("svg") == page.tags.count("table") == 5
    assert "script" not in page.tags
    assert page.links == []


def test_the_page_escapes_what_contracts_say() -> None:

    odd = replace(bank_release(), scene="<script>")
    assert "<script>" not in evaluate.html(evaluate.report(odd, bank()))


def test_the_expected_loss_grows_with_the_share_withdrawn() -> None:
    means = [expected_loss(bank_release(), share).mean for share in (0.0, 0.01, 0.1, 0.3)]
    assert means[0] == 0
    assert means == sorted(means)


def test_of_a_release_of_nobody_no_loss_is_promised() -> None:
    release = bank_release()
    empty = [replace(each, values=np.zeros_like(each.values)) for each in release.measurements]
    found = expected_loss(replace(release, measurements=tuple(empty)), 0.1)
    assert (found.mean, found.p95) == (float("inf"), float("inf"))


def test_the_expected_loss_is_what_a_random_withdrawal_costs() -> None:
    release: Release = bank_release()
    generator, share = np.random.default_rng(11), 0.3
    errors: list[float] = []
    for clique in WORKLOAD:
        rows = bank().select(*clique).to_pyarrow()
        from synthetic.model import sample

        codes = sample.encode(release.domain, rows)
        shape = release.domain.shape(clique)
        cells = np.ravel_multi_index([codes[name] for name in clique], shape)
        real = np.bincount(cells, minlength=np.prod(shape))
        stay = np.bincount(cells[generator.random(len(cells)) >= share], minlength=len(real))
        model = release.beliefs.marginal(clique).ravel()
        served = stay + model / model.sum() * (real.sum() - stay.sum())
        large = real >= 0.01 * real.sum()
        errors += (np.abs(served - real) / np.maximum(real, 1))[large].tolist()
    expected = expected_loss(release, share).mean
    assert expected / 1.4 < np.mean(errors) < expected * 1.4


def halves() -> list[Any]:
    """Two tables of different customers: one row in ten is kept from the fit."""
    connection = ibis.duckdb.connect()
    numbered = bank(connection).mutate(n=ibis.row_number() % 10)
    rows = connection.create_table("numbered", numbered)
    return [rows.filter(rows.n != 0), rows.filter(rows.n == 0)]


def test_models_trained_on_synthetic_rows_are_tried_on_customers_who_were_not_in_the_fit() -> None:
    fitted, unseen = halves()
    given: dict[str, Any] = {"domain": BANK, "workload": WORKLOAD, "loss": LOSS, "targets": ["y"]}
    given |= {"noise": Seeded(1)}
    release = fit(fitted, scene="segmentation", at=AT, ledger_size=7, **given)
    found = utility(release, fitted, unseen, "y")
    assert found is not None
    assert found.tried == 4_522
    assert 0.6 < found.on_synthetic < found.on_real + 0.01 < 0.9
    assert found.gap < 0.05


def test_a_target_of_several_values_is_told_from_all_others() -> None:
    fitted, unseen = halves()
    found = utility(bank_release(), fitted.limit(4_000), unseen.limit(2_000), "marital")
    assert found is not None
    assert 0.6 < found.on_synthetic <= found.on_real + 0.05 < 1


def test_where_the_held_out_customers_are_all_alike_nothing_is_told_apart() -> None:
    fitted, unseen = halves()
    assert utility(bank_release(), fitted, unseen.filter(unseen.y == "no"), "y") is None


def test_a_report_without_held_out_customers_says_so() -> None:
    page = evaluate.html(evaluate.report(bank_release(), bank()))
    assert "Model utility was not measured" in page


def test_a_report_counts_unknown_values_column_by_column() -> None:
    rows = bank()
    odd = rows.mutate(job=ibis.ifelse(rows.month == "may", "astronaut", rows.job))
    found = evaluate.report(bank_release(), odd)
    assert found.unknown["job"] == 13_766
    assert found.unknown["age"] == 0
    assert "<td>job</td><td>30.45%</td>" in evaluate.html(found)


def test_an_audit_without_time_measures_one_batch() -> None:
    found = audit_within(bank_release(), 0.0, noise=RepeatableNoise(1))
    assert found == audit(bank_release(), BATCH, RepeatableNoise(1))
    assert found.holds
    assert found.high - found.low > 0.1  # one batch tells little, and says so


def test_an_audit_with_time_left_ends_with_its_trials() -> None:
    found = audit_within(bank_release(), 600.0, most=3 * BATCH, noise=RepeatableNoise(1))
    one = audit_within(bank_release(), 0.0, noise=RepeatableNoise(1))
    assert found.high - found.low < 0.7 * (one.high - one.low)


def test_a_release_without_large_segments_promises_nothing() -> None:

    nothing = replace(bank_release(), measurements=())
    assert expected_loss(nothing, 0.1).mean == float("inf")


def test_the_inference_risk_is_that_of_chance_or_of_a_prediction() -> None:
    """The second column repeats the first; the third has nothing to do with them."""
    domain = Domain({name: Categories(("a", "b", "c", "d"), other="d") for name in "xyz"})
    rows = [{"x": "aabc"[n % 4], "y": "aabc"[n % 4], "z": "abbd"[n // 4 % 4]} for n in range(8_000)]
    columns = {name: [row[name] for row in rows] for name in "xyz"}
    made = fit(
        table(columns, dict.fromkeys("xyz", "string")),
        scene="segmentation",
        domain=domain,
        workload=[("x", "y"), ("y", "z")],
        loss=PrivacyLoss(Fraction(1)),
        at=AT,
        ledger_size=7,
    )
    found = risks(made)
    assert found == risks(made), "the same at each call"
    for name in "xy":  # b and c, a quarter of all each
        assert found[name].conditional > 0.97
        assert 0.2 < found[name].independent < 0.3
    assert abs(found["z"].conditional - found["z"].independent) < 0.08
