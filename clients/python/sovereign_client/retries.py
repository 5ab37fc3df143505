"""Whether and when to ask again. Every call of this client only asks, so it can be repeated.

A call is repeated after 429 and 503, and after a connection that failed before an answer began.
Each repetition that reaches the gate is an entry of its own in the read log. After a timeout, and
once an answer has begun, nothing is repeated.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sovereign_client.errors import GateError, NoAnswerError, QuotaError, UnavailableError

JITTER = 0.1  # share of a wait that the gate names which is added at random
BUSY = 503


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is sent at most, and how long all its waits together may be.

    Without `Retry-After` a wait is random, up to `first_wait_s`, then up to twice that, and so on.
    A wait that the gate names is never cut short: if it is too long, the error is raised at once.
    """

    attempts: int = 4
    total_wait_s: float = 60.0
    first_wait_s: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.total_wait_s < 0 or self.first_wait_s < 0:
            raise ValueError(f"{self}: want one attempt at least, and no negative wait")


class Attempts:
    """The attempts of one call."""

    def __init__(
        self, retries: Retries, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._retries, self._uniform = retries, uniform
        self._made, self._waited_s = 0, 0.0

    def wait_s(self, error: GateError) -> float:
        """How long to wait before the next attempt. Raises `error` if there is none."""
        self._made += 1
        if not _passes(error) or self._made >= self._retries.attempts:
            raise error
        wait = self._next_s(getattr(error, "retry_after_s", None))
        if self._waited_s + wait > self._retries.total_wait_s:
            raise error
        self._waited_s += wait
        return wait

    def _next_s(self, named: float | None) -> float:
        if named is not None:
            return named + self._uniform(0.0, JITTER * named)
        return self._uniform(0.0, self._retries.first_wait_s * 2 ** (self._made - 1))


def _passes(error: GateError) -> bool:
    """Whether what caused an error may pass by itself, and asking again is harmless."""
    match error:
        case QuotaError():
            return True
        case UnavailableError():
            return error.status == BUSY
        case NoAnswerError():
            return not error.timed_out
    return False


def after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` names, as a number or an HTTP date; None if it names none."""
    if header is None:
        return None
    if header.isascii() and header.isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())
