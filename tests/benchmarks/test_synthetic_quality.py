"""The table of synthetic quality: one measure for everybody, and a mark on what is not fresh."""

from itertools import chain

import numpy as np
import pytest

from benchmarks.peers_synthetic.exchange import Answer
from benchmarks.synthetic_peers import Made
from benchmarks.synthetic_quality import (
    LABELS,
    WORKLOADS,
    DataSet,
    declared,
    head,
    line,
    segment_errors,
    task_of,
    trend_error,
)
from synthetic.model.domain import Categories, Domain


@pytest.fixture(scope="module")
def data() -> DataSet:
    """Three codes a column, the label among them; 600 rows to learn from."""
    names = [*dict.fromkeys(chain.from_iterable(WORKLOADS["adult"]))]
    generator = np.random.default_rng(3)
    rows = generator.integers(0, 2, (900, len(names)))
    label = names.index(LABELS["adult"])
    rows[:, label] = rows[:, (label + 1) % len(names)]
    domain = Domain({name: Categories(("0", "1", "2"), "0") for name in names})
    return DataSet("adult", domain, rows[:600], rows[600:])


def test_the_real_rows_have_no_error(data: DataSet) -> None:
    assert segment_errors(data, data.train).max() == 0
    assert trend_error(data, data.train) == 0


def test_rows_drawn_in_another_number_are_scaled(data: DataSet) -> None:
    assert segment_errors(data, np.concatenate([data.train] * 5)).max() < 1e-9


def test_a_missing_segment_is_wrong_by_all_of_it(data: DataSet) -> None:
    nobody = np.full_like(data.train, 2)
    assert (segment_errors(data, nobody) == 1).all()


def test_kept_rows_are_marked_with_their_date(data: DataSet) -> None:
    kept = Made(Answer(data.train, None, 41.2, 40.9), "2026-11-21")
    assert line(data, "peer", kept, 1.0).endswith(" 41.2    40.9  kept, 2026-11-21")


@pytest.mark.parametrize("more", [1, 5])
def test_every_fresh_figure_has_its_heading_and_no_mark(data: DataSet, more: int) -> None:
    many = np.concatenate([data.train] * more) if more > 1 else None
    printed = line(data, "peer", Made(Answer(data.train, many, 1.0, 1.0)), 1.0)
    headings = head(data, 1.0, more).splitlines()[-1]
    assert len(printed) == len(headings)
    assert ("AUC 5x" in headings) is (more == 5)


def test_everybody_is_told_the_same_budget_rows_and_workload(data: DataSet) -> None:
    task = task_of(data, "MST", 3000)
    assert (task.epsilon, task.delta) == (1.0, 600**-1.1)
    assert (task.rows, task.more) == (600, 3000)
    assert task.workload == declared("adult")
    assert [*task.sizes.items()] == [(name, 3) for name in data.columns]
