"""The only module that reads the system clock.

Records carry whole seconds, so `now` returns whole seconds. Decisions never call it: they take the
time as an argument, and the caller reads the clock once per request.
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC, truncated to the second. The wall clock may be set back."""
    return datetime.now(UTC).replace(microsecond=0)


def posix() -> float:
    """Seconds since 1970 with a fraction, for the lifetimes of tokens and proofs. Never recorded.

    These are compared with times that other systems issue, so truncating to the second would make
    a token valid up to a second too early or too late.
    """
    return time.time()
