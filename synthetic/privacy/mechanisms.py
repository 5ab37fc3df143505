"""The package's only source of randomness: noise from the operating system, without seeds.

`Noise` is the interface that `measure` and `select` use. Only `OperatingSystemNoise` may be used
for published releases; tests use a repeatable implementation with `publishable` False, whose
releases cannot be written into any record.
"""

import secrets
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Noise(Protocol):
    """Adds integer noise to counts. Thread-safe."""

    @property
    def publishable(self) -> bool: ...

    def nonce(self) -> str:
        """16 bytes in hex, never the same twice."""
        ...

    def laplace(self, counts: Integers, sensitivity: int, epsilon: Fraction) -> Integers:
        """Each count plus discrete Laplace noise of scale sensitivity/epsilon."""
        ...

    def gaussian(self, counts: Integers, sigma: Fraction) -> Integers:
        """Each count plus discrete Gaussian noise of exactly this parameter."""
        ...


class OperatingSystemNoise:
    """Noise from the operating system's random numbers, which nobody can repeat."""

    publishable = True

    def nonce(self) -> str:
        return secrets.token_hex(16)

    def laplace(self, counts: Integers, sensitivity: int, epsilon: Fraction) -> Integers:
        """`diffprivlib`'s geometric mechanism, which draws from `secrets.SystemRandom`."""
        mechanism = _diffprivlib().mechanisms.Geometric(
            epsilon=float(epsilon), sensitivity=sensitivity
        )
        noisy = [mechanism.randomise(int(each)) for each in counts.ravel()]
        return np.array(noisy, dtype=np.int64).reshape(counts.shape)

    def gaussian(self, counts: Integers, sigma: Fraction) -> Integers:
        """OpenDP's exact sampler (Canonne, Kamath & Steinke 2020), in rational arithmetic."""
        dp = _opendp()
        space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
        mechanism = dp.m.make_gaussian(*space, scale=_float(sigma))
        noisy = mechanism(counts.ravel().tolist())
        return np.array(noisy, dtype=np.int64).reshape(counts.shape)


def accountant_epsilon(losses: list[tuple[Fraction, Fraction]]) -> float:
    """The sum of (epsilon, delta) losses by `diffprivlib`, to cross-check our accounting."""
    accountant = _diffprivlib().BudgetAccountant()
    for epsilon, delta in losses:
        accountant.spend(float(epsilon), float(delta))
    return float(accountant.total()[0])


def post_processing() -> np.random.Generator:
    """A generator for drawing rows from a released model, never for noise; seeded by the OS."""
    return np.random.default_rng()


def _float(number: Fraction) -> float:
    """Convert without rounding, for a library that takes floats."""
    converted = float(number)
    if Fraction(converted) != number:
        raise AssertionError(f"{number} is not exact as a float: use a multiple of 2**-20")
    return converted


def _opendp() -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp


def _diffprivlib() -> Any:
    """Imported late, because the import takes seconds."""
    import diffprivlib

    return diffprivlib
