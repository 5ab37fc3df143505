"""Audit the noise: measure empirically how well it hides one customer.

In one simulated world a customer is absent, in the other present, which increases every released
integer they affect by its sensitivity. Both worlds are measured many times with the release's
scales and the noise source under test. The best test between them (the likelihood ratio) is then
compared with what Gaussian differential privacy of mu = sqrt(2 rho) allows (Dong, Roth & Su 2022;
Nasr et al. 2023). No personal data is used, because the noise does not depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from synthetic.fitting.release import Release
from synthetic.privacy.mechanisms import Noise, OperatingSystemNoise

Floats = NDArray[np.float64]

MAX_TRIALS = 4_000
BATCH = 100  # trials between readings of the clock
CONFIDENCE = 3.29  # standard errors: 99.9 %


@dataclass(frozen=True, slots=True)
class Audit:
    """The result. `low` and `high` bound the empirical mu with 99.9 % confidence."""

    claimed: float
    empirical: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """True if there is no evidence that the noise hides less than claimed."""
        return self.low <= self.claimed


def audit(release: Release, trials: int, noise: Noise | None = None) -> Audit:
    """Measure both worlds `trials` times. About 20 microseconds per integer and trial."""
    return _compared(release, *_worlds(release, trials, noise or OperatingSystemNoise()))


def audit_within(
    release: Release, seconds: float, most: int = MAX_TRIALS, noise: Noise | None = None
) -> Audit:
    """As `audit`, with as many trials as fit into `seconds`: at least one batch, at most `most`."""
    source, end = noise or OperatingSystemNoise(), monotonic() + seconds
    batches = [_worlds(release, min(BATCH, most), source)]
    while len(batches) * BATCH < most and monotonic() < end:
        batches.append(_worlds(release, BATCH, source))
    absent, present = (np.concatenate(world) for world in zip(*batches, strict=True))
    return _compared(release, absent, present)


def _worlds(release: Release, trials: int, noise: Noise) -> tuple[Floats, Floats]:
    touched = _touched(release)
    absent, present = (_evidence(touched, trials, noise, present=n) for n in (0, 1))
    return absent, present


def _compared(release: Release, absent: Floats, present: Floats) -> Audit:
    trials = len(absent)
    spread = sqrt((float(absent.var(ddof=1)) + float(present.var(ddof=1))) / 2)
    empirical = (float(present.mean()) - float(absent.mean())) / spread
    error = CONFIDENCE * sqrt(2 / trials + empirical**2 / (4 * trials))
    return Audit(
        sqrt(2 * release.statement.rho.rho), empirical, empirical - error, empirical + error
    )


def _touched(release: Release) -> list[tuple[Fraction, int]]:
    """(sigma, sensitivity) of each released integer that one customer changes."""
    touched = [(m.scale, m.sensitivity) for m in release.measurements]
    for each in release.selections:
        touched += [(each.scale, each.sensitivity)] * len(each.candidates)
    # All events of a customer may be of one category.
    touched += [(Fraction(s.terms.sigma), s.terms.at_most) for s in release.series]
    return touched


def _evidence(
    touched: Sequence[tuple[Fraction, int]], trials: int, noise: Noise, *, present: int
) -> Floats:
    """The log likelihood ratio of the customer's presence per trial, up to a constant."""
    ratio = np.zeros(trials)
    for sigma, sensitivity in touched:
        counts = np.full(trials, present * sensitivity, dtype=np.int64)
        ratio += noise.gaussian(counts, sigma) * (sensitivity / float(sigma) ** 2)
    return ratio
