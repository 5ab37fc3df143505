"""Texts in the reader's language: catalogues, negotiation, dates and numbers.

Catalogues are gettext files (`locales/<language>/LC_MESSAGES/messages.po`), keyed by message, read
once at start; nothing is compiled beforehand. A message is used as

    {{ say("centre.allowed", allowed=6, open=11) }}     ->  6 of 11 scenes allowed

The argument `count` chooses the plural form. A key missing from a catalogue is an error in every
language: tests/portal/test_i18n.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from gettext import c2py
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from markupsafe import Markup, escape

from gate.contracts.odcs import Text

FOLDER = Path(__file__).parent / "locales"
LANGUAGES = {"en": "English", "zh-CN": "中文"}
FORMATS = {"en": "en_GB", "zh-CN": "zh_Hans_CN"}  # of dates and numbers: 17 November, not 11/17
DEFAULT = "en"


class MissingMessageError(LookupError):
    """A page uses a message key that a catalogue does not have."""


@dataclass(frozen=True)
class Words:
    """One language's catalogue and formats. Immutable, shared by all requests."""

    tag: str  # BCP 47, as in the contracts and in <html lang>
    catalog: Catalog

    @cached_property
    def locale(self) -> Locale:
        return Locale.parse(FORMATS[self.tag])

    def say(self, key: str, **facts: Any) -> Markup:
        """The message `key` with `facts` filled in, escaped. Raises MissingMessageError."""
        return Markup(escape(self._pattern(key, facts.get("count")))).format(**facts)  # noqa: S704 - escaped

    def plain(self, key: str, **facts: Any) -> str:
        """The message `key` without escaping, for file names and JSON problems."""
        return self._pattern(key, facts.get("count")).format(**facts)

    def of(self, text: Text) -> str:
        """The reader's version of a contract's text."""
        return text[self.tag]

    def day(self, day: date) -> str:
        return format_date(day, "long", locale=self.locale)

    def moment(self, at: datetime) -> str:
        return format_datetime(at, "medium", locale=self.locale) + " UTC"

    def number(self, number: float) -> str:
        return format_decimal(number, locale=self.locale)

    def share(self, part: float) -> str:
        """A fraction in per cent, with as many digits as needed: `1.2%`."""
        return format_percent(part, "#,##0.##%", locale=self.locale)

    def short_day(self, day: date) -> str:
        return format_skeleton("MMMd", day, locale=self.locale)

    def listed(self, texts: Sequence[Text]) -> str:
        """The texts, as this language joins them: `a, b and c`."""
        return format_list([self.of(text) for text in texts], locale=self.locale)

    def keys(self) -> Iterator[str]:
        return (_key(message.id) for message in self.catalog if message.id)

    @cached_property
    def _plural(self) -> Callable[[int], int]:
        return c2py(self.catalog.plural_expr)

    def _pattern(self, key: str, count: int | None) -> str:
        message = self.catalog.get(key)
        if message is None or not message.string:
            raise MissingMessageError(f"no message {key!r} in {self.tag}; add it to {FOLDER}")
        if isinstance(message.string, str):
            return message.string
        return message.string[self._plural(count if count is not None else 1)]


@cache
def load(folder: Path = FOLDER) -> Mapping[str, Words]:
    """All catalogues, by BCP 47 tag; read once in a process."""
    return {tag: Words(tag, _catalog(folder, tag)) for tag in LANGUAGES}


def negotiate(chosen: str | None, accepted: str) -> str:
    """The language to answer in: the chosen one, else the first acceptable, else English."""
    if chosen in LANGUAGES:
        return chosen
    wanted = sorted(_accepted(accepted).items(), key=lambda each: -each[1])
    return next((tag for range_, quality in wanted if quality and (tag := _match(range_))), DEFAULT)


def _catalog(folder: Path, tag: str) -> Catalog:
    path = folder / tag.replace("-", "_") / "LC_MESSAGES" / "messages.po"
    with path.open("rb") as lines:
        return read_po(lines, locale=tag.replace("-", "_"))


def _accepted(header: str) -> Mapping[str, float]:
    """RFC 9110 section 12.5.4: language ranges with their quality, unreadable ones left out."""
    qualities: dict[str, float] = {}
    for part in header[:1000].split(","):
        range_, _, quality = part.strip().partition(";q=")
        try:
            qualities.setdefault(range_.lower(), float(quality or 1))
        except ValueError:
            continue
    return qualities


def _match(range_: str) -> str | None:
    primary = range_.split("-", maxsplit=1)[0]
    return next((tag for tag in LANGUAGES if tag.split("-", maxsplit=1)[0] == primary), None)


def _key(id_: str | list[str] | tuple[str, ...]) -> str:
    return id_ if isinstance(id_, str) else id_[0]
