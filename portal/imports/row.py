"""One consent as a file of somebody else tells it, and what it has to be to count here."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate.contracts.scene import Scene

MOST_SUBJECT = 200  # characters
STATUSES = {"granted": True, "withdrawn": False}


class RowError(ValueError):
    """The row does not count. The message says what was wanted, what was found, what to do."""


class MappingError(ValueError):
    """The mapping does not say what it has to."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A grant or a withdrawal of the past. `fields`: in the contract's order."""

    place: int  # line of the file, or number of the receipt in it, from 1
    subject: str
    scene: str
    fields: tuple[str, ...]
    granted: bool
    at: datetime
    until: datetime | None
    words: bytes  # what is known of the words that were shown


@dataclass(frozen=True, slots=True)
class Bad:
    place: int
    why: str

    def __str__(self) -> str:
        return f"line {self.place}: {self.why}"


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a file mean here.

    [columns]            # of a CSV: ours = "theirs"
    subject = "customer_no"
    at = "signed_on"
    [scenes]             # theirs = "ours"
    MKT = "direct-marketing"
    [items]
    "E-Mail" = "email"
    [status]
    Y = "granted"
    [time]
    format = "%d.%m.%Y"  # of strptime, in UTC; left out: ISO 8601
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    scenes: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    time: Mapping[str, str] = field(default_factory=dict)


def mapping(path: Path | None) -> Names:
    """Read a mapping; without one names mean themselves. Raises MappingError."""
    if path is None:
        return Names()
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MappingError(f"{path} is no TOML: {error}; see specs/portability.md, I2") from error
    known = {"columns", "scenes", "items", "status", "time"}
    texts = all(
        isinstance(table, dict) and all(isinstance(each, str) for each in table.values())
        for table in found.values()
    )
    if not texts or found.keys() - known:
        raise MappingError(f"{path}: want tables of texts named {sorted(known)}, found others")
    return Names(**found)


def subject(text: str) -> str:
    """Raises RowError."""
    if not 0 < len(text) <= MOST_SUBJECT or not text.isprintable():
        raise RowError(f"want a customer's number, found {text[:20]!r}: put it there")
    return text


def scene(text: str, names: Names, scenes: Mapping[str, Scene]) -> Scene:
    """Raises RowError."""
    found = scenes.get(names.scenes.get(text, text))
    if found is None or found.locked:
        open_ = sorted(each.id for each in scenes.values() if not each.locked)
        raise RowError(
            f"want a scene that can be consented to, found {text[:40]!r}: map it in [scenes] to "
            f"one of {', '.join(open_)}"
        )
    return found


def fields(texts: Sequence[str], names: Names, within: Scene) -> tuple[str, ...]:
    """In the contract's order; all of the scene if none is named. Raises RowError."""
    wanted = {names.items.get(each, each) for each in texts}
    if unknown := sorted(wanted - within.fields.keys()):
        raise RowError(
            f"want items of {within.id}, found {', '.join(unknown)[:60]}: map them in [items] to "
            f"some of {', '.join(within.fields)}"
        )
    return tuple(each for each in within.fields if each in wanted) or tuple(within.fields)


def status(text: str, names: Names) -> bool:
    """Whether it was granted. Raises RowError."""
    found = STATUSES.get(names.status.get(text, text))
    if found is None:
        raise RowError(f"want granted or withdrawn, found {text[:20]!r}: map it in [status]")
    return found


def past(text: str, names: Names, now: datetime) -> datetime:
    """Raises RowError for what is no time, or none of the past."""
    found = moment(text, names)
    if found > now:
        raise RowError(f"want a time of the past, found {text[:30]!r}: correct it")
    return found


def moment(text: str, names: Names) -> datetime:
    """Whole seconds UTC. Raises RowError."""
    form = names.time.get("format")
    try:
        found = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - below
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        return aware.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError) as error:
        raise RowError(f"want a time, found {text[:30]!r}: say how in [time] format") from error


def end(text: str, names: Names, begin: datetime) -> datetime | None:
    """The whole minute at which it ends, or None. Raises RowError."""
    if not text:
        return None
    found = moment(text, names).replace(second=0)
    if found <= begin:
        raise RowError(f"want an end after {begin:%Y-%m-%d %H:%M}, found {text[:30]!r}: correct it")
    return found
