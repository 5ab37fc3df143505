"""Estimates which customers leave, by logistic regression; a model is a file of weights.

{"model": "churn-1", "manifest": "<SHA-256>", "listed": 60, "trained_on": 44, "weights": […]}
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

TARGET = "churn"
CHOICES: Mapping[str, tuple[str, ...]] = {
    "contract": ("Month-to-month", "One year", "Two year"),
    "internetservice": ("DSL", "Fiber optic", "No"),
    "techsupport": ("Yes", "No", "No internet service"),
    "onlinesecurity": ("Yes", "No", "No internet service"),
    "paymentmethod": (
        "Electronic check",
        "Mailed check",
        "Bank transfer (automatic)",
        "Credit card (automatic)",
    ),
}
NUMBERS: Mapping[str, float] = {  # the scale of each: its order of magnitude
    "tenure": 72.0,
    "monthlycharges": 120.0,
    "calls_year": 20.0,
    "tickets_year": 10.0,
}
FIELDS = (*CHOICES, *NUMBERS, TARGET)
HOLDOUT = 4  # one customer in so many is never trained on


class ChurnDataError(ValueError):
    """The rows or the model's file are not what the model can work with; says what was wanted."""


class ChurnModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`listed`: customers in the manifest. `weights`: intercept first."""

    model: str
    manifest: str
    listed: int
    trained_on: int
    weights: list[float]

    def leaves(self, row: Mapping[str, Any]) -> bool:
        weights = np.array(self.weights)
        return bool(weights[0] + features(row) @ weights[1:] > 0)


def features(row: Mapping[str, Any]) -> Any:
    """One number for each choice and each figure, about 0 to 1. Raises ChurnDataError."""
    made: list[float] = []
    for name, choices in CHOICES.items():
        if row[name] not in choices:
            raise ChurnDataError(f"{name}: want one of {choices}, got {row[name]!r}")
        made += [float(row[name] == each) for each in choices]
    for name, scale in NUMBERS.items():
        if isinstance(row[name], bool) or not isinstance(row[name], int | float):
            raise ChurnDataError(f"{name}: want a number, got {row[name]!r}")
        made.append(row[name] / scale)
    return np.array(made)


def left(row: Mapping[str, Any]) -> bool:
    """Raises ChurnDataError."""
    if row[TARGET] not in {"Yes", "No"}:
        raise ChurnDataError(f"{TARGET}: want Yes or No, got {row[TARGET]!r}")
    return bool(row[TARGET] == "Yes")


def held_out(customer: str) -> bool:
    """Whether a customer is for evaluation alone; the same for every model."""
    return sha256(customer.encode()).digest()[0] % HOLDOUT == 0


def weights(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of a model that is fitted to the rows. Raises ChurnDataError."""
    from sklearn.linear_model import LogisticRegression

    outcomes = [left(row) for row in rows]
    if len({*outcomes}) < 2:  # noqa: PLR2004 - who left, and who stayed
        raise ChurnDataError(f"want customers who left and who stayed, got {len(rows)} rows")
    fitted = LogisticRegression(max_iter=1000).fit([features(row) for row in rows], outcomes)
    return [float(fitted.intercept_[0]), *map(float, fitted.coef_[0])]


def accuracy(model: ChurnModel, rows: Sequence[Mapping[str, Any]]) -> int:
    """The share of rows that the model has right, in ten-thousandths. Raises ChurnDataError."""
    if not rows:
        raise ChurnDataError("want customers to evaluate with, got none")
    right = sum(model.leaves(row) == left(row) for row in rows)
    return right * 10_000 // len(rows)
