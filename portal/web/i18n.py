"""Texts in the reader's language: catalogues, negotiation, dates and numbers.

Catalogues are gettext files (`locales/<language>/LC_MESSAGES/messages.po`), keyed by message: see
steward.language.catalogue, whose messages of notices are among these. A message is used as

    {{ say("centre.allowed", allowed=6, open=11) }}     ->  6 of 11 uses allowed

The argument `count` chooses the plural form. A company's language that lacks a message is refused.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Literal

from babel.dates import format_date, format_datetime, format_skeleton, format_timedelta
from babel.lists import format_list
from babel.numbers import format_percent
from markupsafe import Markup, escape

from gate.contracts import odcs
from gate.contracts.company import Company
from gate.contracts.odcs import Text
from portal.configuration import languages
from steward.language import catalogue
from steward.language.catalogue import Catalogue

ISOLATE, END = "\u2068", "\u2069"  # FIRST STRONG ISOLATE, POP DIRECTIONAL ISOLATE: Unicode UAX 9
DAYS_A_YEAR = 365
EXACTLY = float("inf")  # how many of a unit are written before the next larger one is
_STRONG = {"R", "AL"}  # bidirectional classes of right-to-left letters
_RANGE = re.compile(
    r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)"
    r"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


@dataclass(frozen=True, eq=False)
class Words(Catalogue):
    """One language's catalogue and formats. Immutable, shared by all requests."""

    @property
    def direction(self) -> str:
        """As HTML's `dir` has it: ltr or rtl, by the script of the language, not its formats."""
        return str(catalogue.of_language(self.tag).text_direction)

    @property
    def backward(self) -> str:
        """An arrow to where the reader came from."""
        return "→" if self.direction == "rtl" else "←"

    @property
    def onward(self) -> str:
        return "←" if self.direction == "rtl" else "→"

    @property
    def name(self) -> str:
        """What its speakers call the language."""
        return self.plain("language.name")

    @property
    def formats(self) -> str:
        """The formats of dates and numbers, as a browser names them: en-GB."""
        return self.plain("language.formats").replace("_", "-")

    def say(self, key: str, **facts: Any) -> Markup:
        """The message `key` with `facts` filled in, escaped. Raises MissingMessageError."""
        pattern = Markup(escape(self.pattern(key, facts.get("count"))))  # noqa: S704 - escaped
        return pattern.format(**{name: self.isolated(fact) for name, fact in facts.items()})

    def isolated(self, fact: Any) -> Any:
        """A text that runs the other way than the page, kept from turning what stands around it."""
        if not isinstance(fact, str) or isinstance(fact, Markup):
            return fact
        leftward = any(unicodedata.bidirectional(each) in _STRONG for each in fact)
        if leftward or self.direction == "rtl":
            return f"{ISOLATE}{fact}{END}"
        return fact

    def of(self, text: Text) -> str:
        """The reader's version of a contract's text."""
        return odcs.spoken(text, self.tag)

    def day(self, day: date) -> str:
        return format_date(day, "long", locale=self.locale)

    def moment(self, at: datetime) -> str:
        """In UTC, and said so."""
        return format_datetime(at, "medium", locale=self.locale) + " UTC"

    def time(self, at: datetime) -> Markup:
        """The same as HTML, which static/times.js turns to the reader's zone."""
        stated = at.isoformat(timespec="seconds")
        return Markup('<time datetime="{}">{}</time>').format(stated, self.moment(at))

    def days(self, days: int) -> str:
        """A length of time: `730 days`."""
        return format_timedelta(
            timedelta(days=days), granularity="day", threshold=EXACTLY, locale=self.locale
        )

    def length(self, unit: Literal["day", "hour", "minute"], count: int) -> str:
        """A length of time in one unit, `day`, `hour` or `minute`: `26 hours`."""
        whole = timedelta(**{f"{unit}s": count})
        return format_timedelta(whole, granularity=unit, threshold=EXACTLY, locale=self.locale)

    def years(self, days: int) -> str:
        """The same in years: `2 years`; empty if it is no whole number of them."""
        years, rest = divmod(days, DAYS_A_YEAR)
        if rest or not years:
            return ""
        return format_timedelta(timedelta(days=days), granularity="year", locale=self.locale)

    def share(self, part: float) -> str:
        """A fraction in per cent, with as many digits as needed: `1.2%`."""
        return format_percent(part, "#,##0.##%", locale=self.locale)

    def short_day(self, day: date) -> str:
        return format_skeleton("MMMd", day, locale=self.locale)

    def listed(self, texts: Sequence[Text]) -> str:
        """The texts, as this language joins them: `a, b and c`."""
        each = [self.isolated(self.of(text)) for text in texts]
        return format_list(each, locale=self.locale)

    def keys(self) -> Iterator[str]:
        return iter(self.messages)


def load(company: Company | None = None) -> Mapping[str, Words]:
    """The catalogues of a company's languages by tag, the one to fall back to first.

    Of all languages that the product has, without a company. Raises LanguageError.
    """
    return _words((*languages.catalogues(company).values(),))


def negotiate(chosen: str | None, accepted: str, known: Sequence[str]) -> str:
    """The language to answer in: the chosen one, else the best acceptable, else the first.

    `accepted`: the header Accept-Language (RFC 9110 section 12.5.4). `known`: the languages that
    the company has. A range matches a language that begins with it, and `zh-TW` one of the same
    primary tag (RFC 4647 section 3.4), unless a longer range says otherwise; `*` matches the rest.
    """
    if chosen is not None and chosen in known:
        return chosen
    ranges = _ranges(accepted)
    ranked = [(*_quality(each, ranges), each) for each in known]
    best = max(ranked, key=lambda each: each[:2])
    return str(best[2]) if best[0] else known[0]


@cache
def _words(read: tuple[Catalogue, ...]) -> Mapping[str, Words]:
    return {each.tag: Words(each.tag, each.messages, each.plural) for each in read}


def _ranges(header: str) -> Mapping[str, tuple[float, int]]:
    """Language ranges with quality and place from the end; those that cannot be read left out."""
    ranges: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(header[:1000].split(",")):
        if match := _RANGE.fullmatch(part.strip(" \t")):
            quality = float(match[2]) if match[2] else 1.0
            ranges.setdefault(match[1].lower(), (quality, -place))
    return ranges


def _quality(language: str, ranges: Mapping[str, tuple[float, int]]) -> tuple[float, int]:
    """How acceptable a language is; of equal ones the range that stands first decides."""
    parts = language.lower().split("-")
    for length in range(len(parts), 0, -1):
        if (found := ranges.get("-".join(parts[:length]))) is not None:
            return found
    related = [found for range_, found in ranges.items() if range_.split("-")[0] == parts[0]]
    return max(related, default=ranges.get("*", (0.0, 0)))
