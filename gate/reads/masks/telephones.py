"""Telephone numbers: international ones of every country, national ones of REGIONS.

`phonenumbers` finds them; what it takes for a number although nobody dials it is left out: figures
inside a word, dates, addresses of the Internet, coordinates, and figures without the prefix that a
number of that country has at home.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gate.reads.masks.shadow import Shadow

if TYPE_CHECKING:
    from phonenumbers import PhoneNumberMatch

PHONE = "[phone]"
REGIONS = ("CN", "GB", "US", "DE", "ES")  # whose national telephone numbers are recognised
_ANY = re.compile(r"[0-9](?:[ ().\-/]{0,4}[0-9]){5}")  # without that many figures there is none
_ABROAD = re.compile(  # (+49) 170 …, +49 (0)170 …, 0049 170 …
    r"(?<![a-z0-9+])\(?(?:\+[ ]?|00[ \-]?)[1-9](?:[ ().\-/]{0,3}[0-9]){6,17}(?![a-z0-9])"
)
_AT_HOME = re.compile(  # what the library finds only with separators that it knows
    r"""(?<![a-z0-9+.,\-])(?:
        (?:86[ \-]?)?1[3-9][0-9](?:[ .\-]{0,3}[0-9]){8}        # Chinese mobile
      | \(?0[1-9](?:[ ().\-/]{0,3}[0-9]){8,10}               # with a trunk prefix
      | \(?[2-9][0-9]{2}\)?[ .\-]{1,3}[0-9]{3}[ .\-]{1,3}[0-9]{4}  # North American
    )(?![a-z0-9]|-[0-9])""",
    re.VERBOSE,
)
_NO_NUMBER = re.compile(
    r"""(?<![0-9.])(?:[0-9]{1,2}[.\-/][0-9]{1,2}[.\-/](?:19|20)[0-9]{2}  # a date
      | (?:19|20)[0-9]{2}[.\-/][0-9]{1,2}[.\-/][0-9]{1,2}
      | (?:1?[0-9]{1,2}|2[0-5][0-9])(?:\.(?:1?[0-9]{1,2}|2[0-5][0-9])){3}  # an address: IPv4
      | -?[0-9]{1,3}\.[0-9]{4,}[ ]*,[ ]*-?[0-9]{1,3}\.[0-9]{4,}  # coordinates
    )(?![0-9]|\.[0-9])""",
    re.VERBOSE,
)
_LAST_FIGURE = re.compile(r"[0-9]\)?(?![0-9])")  # of a group: figures behind are of something else
_AFTER_FIGURES = re.compile(
    r"[0-9][ .\-/]{1,3}\Z"
)  # 00 may be in the middle of a card or an account
_DIALLED = {  # how a number begins at home, by its country code: without it, figures are no number
    "49": re.compile(r"\(?0"),
    "44": re.compile(r"\(?0"),
    "86": re.compile(r"\(?0|1[3-9]"),
}
LEAST_FIGURES, MOST_FIGURES = 7, 15  # E.164; the country's code included


def hide_international(shadow: Shadow) -> None:
    """Mask numbers with a country's code: what begins so is nothing else."""
    shadow.mask((*span, PHONE) for span in _abroad(shadow.letters, _AFTER_FIGURES))


def hide_national(shadow: Shadow) -> None:
    """Mask the numbers of REGIONS, and what else the library finds."""
    if not _ANY.search(shadow.letters):
        return
    letters = _NO_NUMBER.sub(lambda match: "\0" * len(match.group()), shadow.letters)
    at_home = (match.span() for match in _AT_HOME.finditer(letters))
    found = (*_planned(letters), *_abroad(letters), *at_home)
    shadow.mask((*span, PHONE) for span in found)


def _abroad(letters: str, but: "re.Pattern[str] | None" = None) -> Iterator[tuple[int, int]]:
    """Numbers with a country's code, except those that `but` finds just before them."""
    for match in _ABROAD.finditer(letters):
        begin = match.start()
        if but and but.search(letters[max(0, begin - 4) : begin]):
            continue
        ends = [each.end() + begin for each in _LAST_FIGURE.finditer(match.group())]
        possible = (end for end in reversed(ends) if _is_possible(letters[begin:end]))
        if (end := next(possible, None)) is not None:
            yield begin, end


def _is_possible(number: str) -> bool:
    """By its length, and, for one that begins with 00, by its country's code and plan."""
    from phonenumbers import NumberParseException, is_possible_number, parse

    figures = "".join(filter(str.isdigit, number.replace("(0)", "")))
    if "+" in number:
        return LEAST_FIGURES <= len(figures) <= MOST_FIGURES
    try:
        return is_possible_number(parse("+" + figures[2:]))
    except NumberParseException:
        return False


def _planned(letters: str) -> Iterator[tuple[int, int]]:
    """Numbers that their country's plan has."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    for region in REGIONS:
        matcher = PhoneNumberMatcher(letters, region, Leniency.VALID, max_tries=len(letters))
        for each in matcher:
            if _is_whole(letters, each.start, each.end) and _is_dialled(each):
                yield each.start, each.end


def _is_whole(letters: str, begin: int, end: int) -> bool:
    """Whether it is no part of a word, of a product's code or of a decimal number."""
    around = letters[max(0, begin - 1) : begin] + letters[end : end + 1]
    if any(each.isascii() and each.isalnum() for each in around):
        return False
    return not re.match(r"[\-/][a-z]", letters[end : end + 2]) and not re.search(
        r"[a-z0-9][.,\-_/=]\Z", letters[max(0, begin - 2) : begin]
    )


def _is_dialled(found: "PhoneNumberMatch") -> bool:
    begins = _DIALLED.get(str(found.number.country_code))
    raw = found.raw_string
    return begins is None or raw.lstrip("(").startswith(("+", "00")) or bool(begins.match(raw))
