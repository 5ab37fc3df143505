"""The one clock. Everything that is recorded takes its time from here.

Records state whole seconds, so `now` has whole seconds. Decisions never call it: they take the time
as an argument, and whoever asks for a decision reads the clock once.
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Aware UTC, cut to the second. The wall clock: it may be set back."""
    return datetime.now(UTC).replace(microsecond=0)


def posix() -> float:
    """Seconds since 1970 with their fraction, for the lifetimes of tokens and proofs.

    These are compared with times that others state, so cutting to the second would make a token
    valid up to a second too early or too late. Never recorded.
    """
    return time.time()
