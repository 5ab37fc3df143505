"""Withdrawal that is not random does not bend the segments of a table (G111)."""

from pathlib import Path
from statistics import mean, quantiles

import pytest

from synthetic.completion.mode import Mode
from tests.gate.completing import ask
from tests.gate.withdrawal import FIELDS, Bank, naively, never_agreed, withdrawn
from tests.synthetic.material import Seeded

EACH, LOSS = 8, (6.0, 1e-6)  # an eighth of the customers, and less noise than for all of them


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return withdrawn(tmp_path_factory.mktemp("bank"), EACH, LOSS, Seeded(1))


def test_g111_segments_stay_within_a_few_per_cent_whoever_withdraws(left: Bank) -> None:
    answer = ask(left.world, FIELDS)
    assert answer.mode is Mode.RELEASE_ANCHORED
    assert answer.table.num_rows == left.true.total()
    assert answer.error is not None
    assert mean(left.errors(answer)) < 0.05
    assert mean(left.errors(answer)) < 3 * answer.error.mean  # the answer said so itself


def test_g111_naive_rows_are_off_by_more_than_a_tenth(left: Bank) -> None:
    answer = naively(left)
    assert answer.mode is Mode.NAIVE
    assert mean(left.errors(answer)) > 0.1


def test_g112_those_who_never_agreed_are_in_the_error_that_is_told(tmp_path: Path) -> None:
    bank = never_agreed(tmp_path, EACH, LOSS, Seeded(1))
    answer = ask(bank.world, FIELDS)
    assert (answer.mode, answer.error is None) == (Mode.RELEASE_ANCHORED, False)
    assert answer.error is not None
    assert 0.05 < mean(bank.errors(answer)) < answer.error.mean
    assert quantiles(bank.errors(answer), n=20)[-1] < answer.error.p95
    assert "never counted" in answer.error.covers
