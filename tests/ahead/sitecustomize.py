"""Loaded by each Python of `make test-ahead`: sleep by select(2).

Python sleeps until a time of the monotonic clock, and libfaketime 0.9.10 shifts that time although
it leaves the clock alone, so every sleep fails with EINVAL.
"""

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep  # type: ignore[assignment] # of a narrower type
