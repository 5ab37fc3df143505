"""How long people stay signed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class SessionLength:
    """When a session ends: after `idle` without use, and after `longest` in any case."""

    idle: timedelta = IDLE
    longest: timedelta = LONGEST

    def is_live(self, began: datetime, used: datetime, at: datetime) -> bool:
        return at - used < self.idle and at - began < self.longest


USUAL = SessionLength()
