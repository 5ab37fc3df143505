"""A measurement: a noisy marginal over a clique, with what is needed to recompute its loss.

    {"clique": ["age", "job"], "noise": "discrete laplace", "scale": "4096/121", "sensitivity": 1,
     "values": [12, -3, 40, …]}

`values` are the noisy integers in row-major order over the domain's shape of the clique.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from synthetic.model.counts import Counts
from synthetic.model.domain import Domain
from synthetic.model.marginals import Clique, cells
from synthetic.model.series import PeriodCounts, PeriodMeasurement
from synthetic.privacy.budget import (
    GAUSSIAN_NOISE,
    LAPLACE_NOISE,
    LossError,
    PrivacyLoss,
    exact,
    measurement_loss,
    parse_exact,
)
from synthetic.privacy.mechanisms import Noise

MAX_SIGMA = 2**20  # with noise of a million rows a measurement is useless
SCALE_BITS = 20  # epsilons and scales are multiples of 2**-20, so that floats hold them exactly


class MeasurementError(ValueError):
    """A recorded measurement is not well formed."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One noisy marginal. `values`: int64, of the domain's shape of the clique."""

    clique: Clique
    noise: str
    scale: Fraction
    sensitivity: int
    values: Counts

    @property
    def loss(self) -> PrivacyLoss:
        return measurement_loss(self.noise, self.sensitivity, self.scale)

    @property
    def epsilon(self) -> Fraction:
        """Pure epsilon-DP of discrete Laplace noise. Meaningless for Gaussian noise."""
        return self.sensitivity / self.scale

    @property
    def variance(self) -> float:
        """The variance of one noisy integer, ignoring the discretisation."""
        spread = float(self.scale) ** 2
        return 2 * spread if self.noise == LAPLACE_NOISE else spread

    def body(self) -> dict[str, object]:
        return {
            "clique": list(self.clique),
            "noise": self.noise,
            "scale": exact(self.scale),
            "sensitivity": self.sensitivity,
            "values": self.values.ravel().tolist(),
        }


def from_body(body: Mapping[str, Any], domain: Domain) -> Measurement:
    """Parse a recorded measurement over this domain. Raises MeasurementError."""
    try:
        clique = tuple(map(str, body["clique"]))
        values = np.array(body["values"], dtype=np.int64)
        measurement = Measurement(
            clique,
            str(body["noise"]),
            parse_exact(body["scale"]),
            int(body["sensitivity"]),
            values.reshape(domain.shape(clique)),
        )
        measurement.loss  # noqa: B018 - an unknown noise or a scale of 0 is refused here, not later
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MeasurementError(f"not a measurement over this domain: {error}") from error
    return measurement


def laplace(
    counts: Counts, clique: Clique, sensitivity: int, loss: PrivacyLoss, noise: Noise
) -> Measurement:
    """Measure with discrete Laplace noise, spending at most `loss`."""
    epsilon = _root(2 * loss.rho)
    noisy = noise.laplace(counts, sensitivity, epsilon)
    return Measurement(clique, LAPLACE_NOISE, sensitivity / epsilon, sensitivity, noisy)


def gaussian(
    counts: Counts, clique: Clique, sensitivity: int, loss: PrivacyLoss, noise: Noise
) -> Measurement:
    """Measure with discrete Gaussian noise, spending at most `loss`."""
    sigma = sigma_within(sensitivity, loss)
    return Measurement(clique, GAUSSIAN_NOISE, sigma, sensitivity, noise.gaussian(counts, sigma))


def events(counted: PeriodCounts, noise: Noise) -> PeriodMeasurement:
    """Measure a period of a series with discrete Gaussian noise, at the loss of its terms."""
    noisy = noise.gaussian(counted.values, Fraction(counted.terms.sigma))
    return PeriodMeasurement(counted.terms, counted.period, noisy)


def sigma_within(sensitivity: int, loss: PrivacyLoss) -> Fraction:
    """The least sigma whose loss is at most `loss`, a multiple of 2**-20. Raises LossError."""
    if loss.rho <= 0:
        raise LossError("a loss of 0 cannot pay for a measurement: give every measurement a share")
    square = Fraction(sensitivity * sensitivity) / (2 * loss.rho)
    units = -(-(4**SCALE_BITS) * square.numerator // square.denominator)
    root = isqrt(units - 1) + 1
    if root > MAX_SIGMA * 2**SCALE_BITS:
        raise LossError(f"a loss of {float(loss.rho):.3g} is too small for a useful measurement")
    return Fraction(root, 2**SCALE_BITS)


def total_rows(measurements: list[Measurement], domain: Domain) -> int:
    """The estimated number of rows: the inverse-variance mean of the measurements' sums."""
    if not measurements:
        return 0
    sums = [float(each.values.sum()) for each in measurements]
    weights = [1 / (each.variance * cells(domain, each.clique)) for each in measurements]
    return max(0, round(float(np.average(sums, weights=weights))))


def _root(square: Fraction) -> Fraction:
    """The square root, rounded down to a multiple of 2**-SCALE_BITS. Raises LossError at 0."""
    units = 4**SCALE_BITS * square.numerator // square.denominator
    if units < 1:
        raise LossError(f"a loss of {float(square / 2):.3g} is too small for a useful measurement")
    return Fraction(isqrt(units), 2**SCALE_BITS)
