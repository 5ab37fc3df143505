"""Parses a time with the precision in which it is written.

    2026-03-01                        a day of 24 hours from 00:00 UTC
    2026-03-01T09:00Z                 a minute
    2026-03-01 10:00:00.250+01:00     a millisecond; up to nine digits

A time of day needs its zone. Two times can be put in order only if they do not overlap.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000_000  # in nanoseconds, as all lengths here
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * SECOND
_ISO = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"([T ](?P<minute>[0-9]{2}:[0-9]{2})(:(?P<second>[0-9]{2})(\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>Z|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?"
)
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_ADJACENT = re.compile(r"%[a-zA-Z]%[a-zA-Z]")
_KNOWN = {*"YymbBdjHIpMSfzaA%"}
_LENGTHS = {  # what the finest directive of a format leaves open
    "f": 1_000,
    "S": SECOND,
    "M": 60 * SECOND,
    "H": 3600 * SECOND,
    "I": 3600 * SECOND,
}


class MomentError(ValueError):
    """Not a time of the promised form. The message says which form."""


@dataclass(frozen=True, slots=True)
class StatedTime:
    """The time from `begin` on, in nanoseconds since 1970, within which something happened."""

    begin: int
    length: int

    @property
    def end(self) -> int:
        return self.begin + self.length

    @property
    def last(self) -> datetime:
        """Its last whole second."""
        return _EPOCH + timedelta(seconds=(self.end - 1) // SECOND)

    @property
    def at(self) -> datetime:
        """Its beginning in whole seconds, as records have it."""
        return _EPOCH + timedelta(seconds=self.begin // SECOND)

    def overlaps(self, other: "StatedTime") -> bool:
        return self.begin < other.end and other.begin < self.end


def recorded(at: datetime) -> StatedTime:
    """The moment of an instruction, of which only the second is known.

    It may have been written without seconds or, at 00:00 UTC, as a day.
    """
    begin = _nanoseconds(at)
    if begin % DAY == 0:
        return StatedTime(begin, DAY)
    return StatedTime(begin, SECOND if at.second else 60 * SECOND)


def parse(text: str, form: str | None = None) -> StatedTime:
    """The moment of `text`, from 2 January 1970 on. `form`: for strptime; None: ISO 8601 as above.

    Raises MomentError.
    """
    try:
        time = _iso(text) if form is None else _formatted(text, form)
    except (ValueError, OverflowError) as error:
        wanted = "2026-03-01 or 2026-03-01T09:00:00Z" if form is None else f"the form {form}"
        raise MomentError(f"want a time such as {wanted}") from error
    if not DAY <= time.begin < _LAST:
        # 1970-01-01 is what many programs write for no time at all.
        raise MomentError("want a time since 1970-01-02 and before the year 9999")
    return time


def require_format(form: str) -> None:
    """Raises MomentError unless `form` names day, month and year and nothing ambiguous."""
    named = _DIRECTIVE.findall(form)
    names = {*named}
    wrong = sorted(names - _KNOWN) + sorted(each for each in names - {"%"} if named.count(each) > 1)
    complete = bool({*"Yy"} & names) and (("d" in names and bool({*"mbB"} & names)) or "j" in names)
    hour = "H" in names or {*"Ip"} <= names
    twice = any(len({*each} & names) > 1 for each in ("Yy", "mbB", "HI", "aA")) or (
        "j" in names and bool({*"dmbB"} & names)
    )
    orphan = twice or (
        ("M" in names and not hour)
        or ("S" in names and "M" not in names)
        or ("f" in names and "S" not in names)
        or ("I" in names) != ("p" in names)
        or ("z" in names and not hour)
    )
    if wrong or not complete or orphan:
        raise MomentError(
            f"want a format with day, month and year, such as %d.%m.%Y %H:%M:%S, found {form!r}"
        )


def _iso(text: str) -> StatedTime:
    if (match := _ISO.fullmatch(text)) is None:
        raise ValueError(text)
    if match["minute"] is None:
        return StatedTime(_nanoseconds(datetime.fromisoformat(f"{match['day']}T00:00:00Z")), DAY)
    second, fraction = match["second"], match["fraction"]
    whole = f"{match['day']}T{match['minute']}:{second or '00'}{match['zone']}"
    begin = _nanoseconds(datetime.fromisoformat(whole))
    if second is None:
        return StatedTime(begin, 60 * SECOND)
    digits = fraction or ""
    length: int = 10 ** (9 - len(digits))
    return StatedTime(begin + int(digits or "0") * length, length)


def _formatted(text: str, form: str) -> StatedTime:
    if any(each.isdigit() and not each.isascii() for each in text):
        raise ValueError(text)
    moment = datetime.strptime(text, form)  # noqa: DTZ007 - the line below
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if _ADJACENT.search(form) and moment.strftime(form) != text:
        raise ValueError(text)  # 2026111 is 1 November, or 11 January
    names = {*_DIRECTIVE.findall(form)}
    if "f" in names and f"{moment.microsecond:06d}" not in text:
        raise ValueError(text)  # .9 is nine tenths, or nine microseconds
    if any(
        moment.strftime(f"%{each}").casefold() not in text.casefold() for each in names & {*"aA"}
    ):
        raise ValueError(text)  # a day of the week that contradicts the date
    length = next((each for name, each in _LENGTHS.items() if name in names), DAY)
    return StatedTime(_nanoseconds(aware), length)


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000
