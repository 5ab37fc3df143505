import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic.privacy import budget
from synthetic.privacy.budget import Account, BudgetExceededError, LossError, PrivacyLoss

DELTA = Fraction(7, 10**6)
losses = st.fractions(min_value=0, max_value=2, max_denominator=10**6).map(PrivacyLoss)


def test_an_epsilon_is_the_best_bound_that_zcdp_gives() -> None:
    rho, delta = 0.03, float(DELTA)
    grid = (1 + 10 ** (k / 400) for k in range(-2000, 2000))
    best = min(
        a * rho + (-math.log(delta) - math.log(a - 1) + a * math.log1p(-1 / a)) / (a - 1)
        for a in grid
    )
    found = float(PrivacyLoss(Fraction(3, 100)).epsilon(DELTA))
    assert best - 1e-5 < found <= best + 1e-9


def test_an_epsilon_has_the_same_digits_on_every_machine() -> None:
    assert PrivacyLoss(Fraction(3, 100)).epsilon(DELTA) == Fraction(1010880157, 10**9)


@pytest.mark.parametrize("epsilon", [Fraction(1, 100), Fraction(1), Fraction(3), Fraction(10)])
def test_a_loss_within_an_epsilon_uses_all_of_it_and_no_more(epsilon: Fraction) -> None:
    loss = budget.loss_within(epsilon, DELTA)
    assert epsilon * Fraction(9999, 10000) < loss.epsilon(DELTA) <= epsilon


@given(losses, losses)
def test_a_larger_loss_never_has_a_smaller_epsilon(one: PrivacyLoss, other: PrivacyLoss) -> None:
    low, high = sorted((one, other))
    assert low.epsilon(DELTA) <= high.epsilon(DELTA)


@given(losses, st.lists(losses, max_size=6))
def test_an_account_never_passes_its_limit(limit: PrivacyLoss, wanted: list[PrivacyLoss]) -> None:
    account, spent = Account(limit), Fraction(0)
    for loss in wanted:
        if spent + loss.rho > limit.rho:
            with pytest.raises(BudgetExceededError) as refusal:
                account.spend(loss)
            assert refusal.value.left.rho == limit.rho - spent
        else:
            account, spent = account.spend(loss), spent + loss.rho
    assert account.spent.rho == spent <= limit.rho


def test_a_refusal_says_what_was_asked_what_is_left_and_what_to_do() -> None:
    with pytest.raises(BudgetExceededError, match=r"0\.25 left, 0\.5 was asked for: keep"):
        Account(PrivacyLoss(Fraction(1, 4))).spend(PrivacyLoss(Fraction(1, 2)))


def test_fractions_are_written_and_read_exactly() -> None:
    assert budget.exact(Fraction(3)) == "3/1"
    assert budget.parse_exact("3/1") == 3


NOT_EXACT = {
    "not in lowest terms": "2/4",
    "decimal": "0.5",
    "no denominator": "3",
    "division by zero": "1/0",
    "plus sign": "+1/2",
    "blanks": " 1/2",
    "nothing": "",
    "a number": 0.5,
}


@pytest.mark.parametrize("text", NOT_EXACT.values(), ids=NOT_EXACT.keys())
def test_other_spellings_of_a_fraction_are_refused(text: object) -> None:
    with pytest.raises(LossError):
        budget.parse_exact(text)


BAD_PARAMETERS = {
    "negative rho": lambda: PrivacyLoss(Fraction(-1)),
    "epsilon of zero": lambda: budget.loss_within(Fraction(0), DELTA),
    "delta of zero": lambda: budget.loss_within(Fraction(1), Fraction(0)),
    "delta of one": lambda: PrivacyLoss(Fraction(1)).epsilon(Fraction(1)),
    "no scale": lambda: budget.measurement_loss(budget.GAUSSIAN_NOISE, 1, Fraction(0)),
    "unknown noise": lambda: budget.measurement_loss("gaussian", 1, Fraction(1)),
}


@pytest.mark.parametrize("attempt", BAD_PARAMETERS.values(), ids=BAD_PARAMETERS.keys())
def test_privacy_parameters_outside_their_range_are_refused(attempt: object) -> None:
    assert callable(attempt)
    with pytest.raises(LossError):
        attempt()
