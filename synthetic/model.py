"""Measurements -> model. Deterministic: whoever holds a release's body builds the same model."""

from collections.abc import Sequence

import numpy as np

from synthetic.domain import Domain
from synthetic.measure import Measurement, total_rows
from synthetic.sample import Floats, Model, step

INDEPENDENT = "independent"


class UnknownMechanismError(ValueError):
    """A release names a mechanism that this version does not know."""


def model_of(mechanism: str, domain: Domain, measurements: Sequence[Measurement]) -> Model:
    """Raises UnknownMechanismError."""
    if mechanism != INDEPENDENT:
        raise UnknownMechanismError(f"mechanism is {mechanism!r}, want {INDEPENDENT!r}")
    return _independent(domain, measurements)


def _independent(domain: Domain, measurements: Sequence[Measurement]) -> Model:
    rows = total_rows(list(measurements), domain)
    steps = [step(m.clique[0], (), nearest(m.values, rows)[None, :]) for m in measurements]
    return Model(domain, tuple(steps))


def nearest(values: Floats | np.ndarray, total: float) -> Floats:
    """The weights >= 0 with sum `total` that lie nearest to noisy `values` (least squares).

    Projection onto the simplex (Duchi et al. 2008, figure 1). All alike when `total` is 0.
    """
    if total <= 0:
        return np.ones(values.shape)
    falling = np.sort(values.ravel().astype(np.float64))[::-1]
    excess = (np.cumsum(falling) - total) / np.arange(1, falling.size + 1)
    threshold = excess[np.nonzero(falling > excess)[0][-1]]
    return np.asarray(np.maximum(values - threshold, 0.0))
