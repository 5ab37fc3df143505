"""One consent in a file from elsewhere, and the checks it must pass to be imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gate.contracts.scene import Scene
from portal.imports import moment
from portal.imports.mapping import EVERY_ITEM, NO_END, STATUSES, Names
from portal.imports.moment import MomentError, StatedTime

MAX_SUBJECT = 200  # characters


class RowError(ValueError):
    """The row is refused. The message says what was wanted, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An earlier grant or withdrawal.

    `fields`: in the contract's order; of a withdrawal, none for the whole scene.
    """

    place: int  # line of the file, or number of the receipt in it, from 1
    subject: str
    scene: str
    fields: tuple[str, ...]
    granted: bool
    moment: StatedTime
    until: datetime | None
    words: bytes  # what is known of the wording that was shown

    @property
    def statement(self) -> tuple[bool, tuple[str, ...], datetime | None]:
        """What the row states; rows of the same moment must state the same."""
        return self.granted, self.fields, self.until


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that is refused. `place`: its line or receipt, from 1.

    `identified`: whether it shows which customers it may be about.
    """

    place: int
    why: str
    subjects: tuple[str, ...] = ()  # the customers it may be about
    identified: bool = True

    def __str__(self) -> str:
        return f"line {self.place}: {self.why}"


def subject(text: str) -> str:
    """A customer's number. Raises RowError."""
    if not 0 < len(text) <= MAX_SUBJECT or not text.isprintable():
        raise RowError(f"want a customer's number, found {text[:20]!r}: correct it")
    return text


def scene(text: str, names: Names, scenes: Mapping[str, Scene]) -> Scene:
    """The scene of that name, if it can be consented to. Raises RowError."""
    named = scenes.get(names.scenes.get(text, text))
    if named is None or named.locked:
        open_ = sorted(each.id for each in scenes.values() if not each.locked)
        raise RowError(
            f"want a scene that can be consented to, found {text[:40]!r}: map it in [scenes] to "
            f"one of {', '.join(open_)}"
        )
    return named


def fields(texts: Sequence[str], names: Names, within: Scene) -> tuple[str, ...]:
    """Fields in the contract's order; all of the scene for `*` alone. Raises RowError."""
    all_ = f"some of {', '.join(within.fields)}, or to {EVERY_ITEM} for all"
    if not texts or any(not each and each not in names.items for each in texts):
        raise RowError(f"want items of {within.id}, found none: name them, or map them to {all_}")
    if twice := sorted({each for each in texts if texts.count(each) > 1}):
        raise RowError(f"want each item once, found {_listed(twice)} twice: correct it")
    wanted = {names.items.get(each, each) for each in texts}
    if wanted == {EVERY_ITEM}:
        return tuple(within.fields)
    if unknown := sorted(wanted - within.fields.keys()):
        raise RowError(
            f"want items of {within.id}, found {_listed(unknown)}: map them in [items] to {all_}"
        )
    return tuple(each for each in within.fields if each in wanted)


def status(text: str, names: Names) -> bool:
    """Whether it was granted. Raises RowError."""
    granted = STATUSES.get(names.status.get(text, text))
    if granted is None:
        raise RowError(f"want granted or withdrawn, found {text[:20]!r}: map it in [status]")
    return granted


def past(text: str, names: Names, now: datetime) -> StatedTime:
    """A time in the past. Raises RowError."""
    return require_past(_moment(text, names.time.get("format")), text, now)


def require_past(time: StatedTime, text: str, now: datetime) -> StatedTime:
    """Raises RowError unless it began by `now`."""
    if time.at > now:
        raise RowError(f"want a time of the past, found {text[:30]!r}: correct it")
    return time


def end(text: str, names: Names, begin: datetime) -> datetime | None:
    """The end in UTC, in whole minutes; None if `text` is mapped to no end. Raises RowError."""
    declared = names.until.get(text)
    if declared == NO_END:
        return None
    try:
        form = None if declared else names.time.get("format")
        until = _moment(declared or text, form).at.replace(second=0)
    except RowError as error:
        raise RowError(f"{error}, or map it in [until]") from error
    if until <= begin:
        raise RowError(f"want an end after {begin:%Y-%m-%d %H:%M}, found {text[:30]!r}: correct it")
    return until


def _moment(text: str, form: str | None) -> StatedTime:
    try:
        return moment.parse(text, form)
    except MomentError as error:
        raise RowError(f"{error}, found {text[:30]!r}: set its format in [time]") from error


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(repr(each[:30]) for each in texts[:5])
