"""Quotas, G35 to G37: the sum of what was counted before, in UTC minutes and days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from specs.model.contract import Limits

BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
LIMITS = {
    "point": ("points_per_minute", timedelta(minutes=1)),
    "rows": ("rows_per_day", timedelta(days=1)),
}


@dataclass(frozen=True)
class Counted:
    """A read that a quota admitted, or asks it to. `kind`: one of LIMITS."""

    service: str
    scene: str
    kind: str
    at: datetime
    amount: int


def admits(limits: Limits, counted: Sequence[Counted], asked: Counted) -> bool:
    """Whether the limit has room. A clock that goes back does not reset the count."""
    name, length = LIMITS[asked.kind]
    limit = limits.get((asked.service, asked.scene), {}).get(name)
    if limit is None:
        return True
    latest, used = (asked.at - BEGAN) // length, 0
    own = [each for each in counted if _same(each, asked)]
    windows = [(each.at - BEGAN) // length for each in own]
    latest = max([latest, *windows])
    for number, each in enumerate(own):
        if max(windows[: number + 1]) == latest:
            used += each.amount
    return used + asked.amount <= limit


def _same(one: Counted, other: Counted) -> bool:
    return (one.service, one.scene, one.kind) == (other.service, other.scene, other.kind)
