"""The report that the steward reads, and the loss that anybody may be told."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from synthetic import evaluate
from synthetic.audit import Audit
from synthetic.evaluate import Report, expected_loss
from synthetic.release import Release
from tests.synthetic.material import WORKLOAD, bank, bank_release


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate.report(bank_release(), bank(), Audit(0.25, 0.24, 0.2, 0.3))


def test_a_report_measures_every_declared_group_by(report: Report) -> None:
    assert {each.clique for each in report.segments} == set(WORKLOAD)
    assert all(each.segments > 0 for each in report.segments)
    assert np.mean([each.mean for each in report.segments]) < 0.02


def test_a_report_measures_trends_along_ordered_columns(report: Report) -> None:
    assert {each.clique for each in report.trends} == {("age",), ("balance",), ("month",)}
    assert max(each.mean for each in report.trends) < 0.03


def test_the_model_is_far_closer_in_pairs_than_chance(report: Report) -> None:
    assert report.distance_one < 0.01
    assert report.distance_two < 0.02


def test_a_report_is_json(report: Report) -> None:
    body = json.loads(json.dumps(report.body()))
    assert body["release"] == bank_release().id
    assert body["audit"]["claimed"] == 0.25
    assert body["outside_domain"]["age"] == 0


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[Any] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_has_a_table_beside_every_chart_and_asks_for_nothing(report: Report) -> None:
    page = Page()
    page.feed(evaluate.html(report))
    assert page.tags.count("svg") == page.tags.count("table") == 3
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
        from synthetic import sample

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


def test_a_release_without_large_segments_promises_nothing() -> None:

    nothing = replace(bank_release(), measurements=())
    assert expected_loss(nothing, 0.1).mean == float("inf")
