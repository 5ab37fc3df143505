"""Risks are what an attack has over its control, and worth nothing where it fails on real rows."""

import numpy as np
import pytest

from benchmarks.synthetic_quality import DataSet
from benchmarks.synthetic_risks import halves, line, verdict
from synthetic.model.domain import Categories, Domain

DOMAIN = Domain({"person": Categories(tuple(map(str, range(101))), "0")})
PEOPLE = np.arange(101).reshape(-1, 1)
DATA = DataSet("people", DOMAIN, PEOPLE[:80], PEOPLE[80:])
FOUND = {
    "attack": "inference of income",
    "attacks": 1000,
    "success": 0.81,
    "control": 0.8,
    "blind": 0.63,
    "risk": 0.05,
    "low": 0.0,
    "high": 0.11,
}


def test_nobody_is_in_the_control_of_a_release_they_are_in() -> None:
    fitted, control = halves(DATA)
    assert len(fitted.train) == len(control) == 50
    assert not {*fitted.train.ravel().tolist()} & {*control.ravel().tolist()}


VERDICTS = {
    "an attack that succeeds on real rows works": ("the real rows", 0.2, "the attack works"),
    "one that does not is worthless": ("the real rows", 0.0, "the attack fails even here"),
    "an interval that holds zero shows no risk": ("ours", 0.0, ""),
    "an interval above zero is a risk": ("ours", 0.01, "above its control"),
}


@pytest.mark.parametrize(("name", "low", "said"), VERDICTS.values(), ids=VERDICTS.keys())
def test_a_verdict_follows_from_the_lower_end_of_the_interval(
    name: str, low: float, said: str
) -> None:
    assert verdict(name, FOUND | {"low": low}) == said


def test_a_line_prints_rates_risk_and_interval() -> None:
    words = " ".join(line("ours", FOUND).split())
    assert words == "ours inference of income 1000 81.0% 80.0% 63.0% 0.050 0.000 – 0.110"


def test_an_attack_without_a_predicate_is_not_a_risk_of_zero() -> None:
    text = line("ours", {"attack": "singling out by a column", "attacks": 0})
    assert "no predicate singles anybody out" in text
    assert "0.000" not in text
