"""Completing the table view when those who withdraw are not like those who stay."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from synthetic.completion import completion
from synthetic.completion.completion import Completion, CompletionError, CompletionTask, complete
from synthetic.completion.mode import Mode
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.privacy.budget import PrivacyLoss
from tests.synthetic.material import AT, BANK, LOSS, WORKLOAD, Seeded, bank, bank_release

TOTAL = 45_211
CONTROLS = ("age", "y")


@pytest.fixture(scope="module")
def everybody() -> Any:
    return bank()


@pytest.fixture(scope="module")
def task(everybody: Any) -> CompletionTask:
    """The older a customer, the likelier they stayed: four in five under 35 have left."""
    young, row = everybody.age < 35, everybody.balance + everybody.duration * 7 + everybody.day
    gone = (young & (row % 10 < 8)) | (~young & (row % 10 < 1))
    stayed, left = everybody.filter(~gone), everybody.filter(gone)
    given: dict[str, Any] = {"domain": BANK, "workload": WORKLOAD, "loss": LOSS}
    given |= {"noise": Seeded(2)}
    current: Release = fit(stayed, scene="segmentation", at=AT, ledger_size=9, **given)
    loss = PrivacyLoss(Fraction(1, 100))
    controls = completion.measure_controls(left, BANK, CONTROLS, loss, Seeded(3))
    strata = left.select("age").to_pyarrow()
    return CompletionTask(stayed, TOTAL, current, bank_release(), controls, strata)


def _segment_error(everybody: Any, task: CompletionTask, added: Completion) -> float:
    import pyarrow as pa

    errors: list[float] = []
    for clique in WORKLOAD[:2]:
        real = everybody.select(*clique).to_pyarrow()
        stayed = task.authorised.select(*clique).to_pyarrow()
        served = pa.concat_tables([stayed, added.table(clique).cast(stayed.schema)])
        one, other = _histogram(real), _histogram(served)
        errors += [abs(other.get(k, 0) - n) / n for k, n in one.items() if n >= 0.01 * TOTAL]
    return float(np.mean(errors))


def _histogram(rows: Any) -> dict[tuple[Any, ...], int]:
    found: dict[tuple[Any, ...], int] = {}
    for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        key = tuple(
            sum(v >= e for e in (25, 35, 45, 55, 65)) if isinstance(v, int) else v for v in row
        )
        found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize("mode", Mode)
def test_a_completion_fills_the_table_up_with_values_of_the_domain(
    task: CompletionTask, mode: Mode
) -> None:
    added = complete(task, mode)
    rows = added.table(["job", "age"])
    assert (rows.num_rows, rows.column_names) == (task.missing, ["job", "age"])
    assert added.mode is mode
    assert added.error.covers


def test_an_anchored_completion_repairs_withdrawal_that_is_not_random(
    everybody: Any, task: CompletionTask
) -> None:
    naive = _segment_error(everybody, task, complete(task, Mode.NAIVE))
    anchored = _segment_error(everybody, task, complete(task, Mode.RELEASE_ANCHORED))
    assert naive > 0.10
    assert anchored < 0.02


@pytest.mark.parametrize("mode", [Mode.DP_COUNTS, Mode.STRATUM])
def test_coarse_knowledge_of_those_who_left_repairs_most_of_it(
    everybody: Any, task: CompletionTask, mode: Mode
) -> None:
    assert _segment_error(everybody, task, complete(task, mode)) < 0.05


def test_the_error_bar_of_an_anchored_completion_covers_what_is_measured(
    everybody: Any, task: CompletionTask
) -> None:
    added = complete(task, Mode.RELEASE_ANCHORED)
    assert _segment_error(everybody, task, added) < 2 * added.error.mean
    assert added.error.mean < added.error.p95 < 0.1


def test_a_completion_that_corrects_nothing_claims_no_error_bar(task: CompletionTask) -> None:
    assert complete(task, Mode.NAIVE).error.mean == float("inf")


def test_withdrawn_values_are_not_read(everybody: Any, task: CompletionTask) -> None:
    """The only tables that a completion touches are the rows that stayed."""
    only = replace(task, controls=None, strata=None)
    assert (
        complete(only, Mode.RELEASE_ANCHORED).rows
        == TOTAL - task.authorised.count().to_pyarrow().as_py()
    )


def test_nothing_is_added_when_everybody_consents(everybody: Any, task: CompletionTask) -> None:
    whole = replace(task, authorised=everybody)
    for mode in (Mode.RELEASE_ANCHORED, Mode.DP_COUNTS, Mode.NAIVE):
        assert complete(whole, mode).table(["age"]).num_rows == 0


LACKING: dict[str, tuple[Mode, dict[str, Any]]] = {
    "no earlier release": (Mode.RELEASE_ANCHORED, {"anchor": None}),
    "no counts of those who left": (Mode.DP_COUNTS, {"controls": None}),
    "no strata": (Mode.STRATUM, {"strata": None}),
}


@pytest.mark.parametrize(("mode", "without"), LACKING.values(), ids=LACKING.keys())
def test_a_mode_without_what_it_rests_on_is_refused(
    task: CompletionTask, mode: Mode, without: dict[str, Any]
) -> None:
    with pytest.raises(CompletionError, match="needs"):
        complete(replace(task, **without), mode)


def test_strata_that_do_not_match_the_missing_rows_are_refused(task: CompletionTask) -> None:
    with pytest.raises(CompletionError, match="the strata have 3 rows"):
        complete(replace(task, strata=task.strata.slice(0, 3)), Mode.STRATUM)
