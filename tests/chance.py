"""Random numbers that are the same in every run of a test, so that none fails by chance.

Seeded are `random`, `secrets`, `os.urandom` and numpy's generators without a seed, in the process
of the tests alone: what it starts or forks draws from the system, or two processes would make the
same keys and names. Noise of OpenDP is drawn outside Python, and so are keys of libraries: tests
that measure noise give `RepeatableNoise` or `Seeded` of tests/synthetic/material.py.
"""

import os
import random
from collections.abc import Callable
from hashlib import shake_256
from itertools import count

from numpy.random import bit_generator

_system, _process = os.urandom, os.getpid()


def seed(name: str) -> None:
    """Draw what the test `name` draws. Thread-safe; later seeds replace earlier ones."""
    drawn, key = count(), name.encode()

    def urandom(size: int, /) -> bytes:
        if os.getpid() != _process:
            return _system(size)
        return shake_256(key + b"\0%d" % next(drawn)).digest(size)

    random.seed(name)
    _install(urandom)


def _install(urandom: Callable[[int], bytes]) -> None:
    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined] # `secrets` draws from it
    bit_generator.randbits = _bits  # type: ignore[attr-defined] # of `default_rng()`


def _bits(k: int) -> int:
    return random.SystemRandom().getrandbits(k)
