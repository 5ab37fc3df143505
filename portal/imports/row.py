"""One consent in a file from elsewhere, and the checks it must pass to be imported."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate.contracts.scene import Scene

MAX_SUBJECT = 200  # characters
STATUSES = {"granted": True, "withdrawn": False}


class RowError(ValueError):
    """The row is refused. The message says what was wanted, what was found, what to do."""


class MappingError(ValueError):
    """The mapping, or the file as a whole, cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An earlier grant or withdrawal. `fields`: in the contract's order."""

    place: int  # line of the file, or number of the receipt in it, from 1
    subject: str
    scene: str
    fields: tuple[str, ...]
    granted: bool
    at: datetime
    until: datetime | None
    words: bytes  # what is known of the wording that was shown


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that is refused. `place`: its line or receipt, from 1."""

    place: int
    why: str

    def __str__(self) -> str:
        return f"line {self.place}: {self.why}"


@dataclass(frozen=True, slots=True)
class Names:
    """Maps the names in a file to names here.

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
    format = "%d.%m.%Y"  # for strptime, in UTC; default: ISO 8601
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    scenes: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    time: Mapping[str, str] = field(default_factory=dict)


def mapping(path: Path | None) -> Names:
    """Read a mapping; without one, names are used as they are. Raises MappingError."""
    if path is None:
        return Names()
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MappingError(
            f"{path} is not valid TOML: {error}; see specs/portability.md, I2"
        ) from error
    known = {"columns", "scenes", "items", "status", "time"}
    texts = all(
        isinstance(table, dict) and all(isinstance(each, str) for each in table.values())
        for table in found.values()
    )
    if not texts or found.keys() - known:
        raise MappingError(f"{path}: want tables of texts named {sorted(known)}, found {[*found]}")
    return Names(**found)


def subject(text: str) -> str:
    """A customer's number. Raises RowError."""
    if not 0 < len(text) <= MAX_SUBJECT or not text.isprintable():
        raise RowError(f"want a customer's number, found {text[:20]!r}: correct it")
    return text


def scene(text: str, names: Names, scenes: Mapping[str, Scene]) -> Scene:
    """The scene of that name, if it can be consented to. Raises RowError."""
    found = scenes.get(names.scenes.get(text, text))
    if found is None or found.locked:
        open_ = sorted(each.id for each in scenes.values() if not each.locked)
        raise RowError(
            f"want a scene that can be consented to, found {text[:40]!r}: map it in [scenes] to "
            f"one of {', '.join(open_)}"
        )
    return found


def fields(texts: Sequence[str], names: Names, within: Scene) -> tuple[str, ...]:
    """Fields in the contract's order; all of the scene if `texts` is empty. Raises RowError."""
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
    """A time in the past. Raises RowError."""
    found = moment(text, names)
    if found > now:
        raise RowError(f"want a time of the past, found {text[:30]!r}: correct it")
    return found


def moment(text: str, names: Names) -> datetime:
    """A time in UTC, in whole seconds. Raises RowError."""
    form = names.time.get("format")
    try:
        found = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - below
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        return aware.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError) as error:
        raise RowError(f"want a time, found {text[:30]!r}: set its format in [time]") from error


def end(text: str, names: Names, begin: datetime) -> datetime | None:
    """The end in UTC, in whole minutes; None if `text` is empty. Raises RowError."""
    if not text:
        return None
    found = moment(text, names).replace(second=0)
    if found <= begin:
        raise RowError(f"want an end after {begin:%Y-%m-%d %H:%M}, found {text[:30]!r}: correct it")
    return found
