"""Telephone numbers: international ones of every country, national ones of REGIONS.

`phonenumbers` gives the numbering plans. Its own matcher is not used: it parses each beginning of a
long run of figures again. Each place has at most 16 figures that are compared with the plans here,
so time is linear. Not taken for a number: figures inside a word, figures without the prefix that a
number of that country has at home, and what `shadow.Shadow.figures` leaves out.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from gate.reads.masks.shadow import Shadow

PHONE = "[phone]"
REGIONS = ("CN", "GB", "US", "DE", "ES")  # whose national telephone numbers are recognised
_ANY = re.compile(r"[0-9](?:[ ().\-/]{0,4}[0-9]){5}")  # without that many figures there is none
_ABROAD = re.compile(  # (+49) 170 …, +49 (0)170 …, 0049 170 …
    r"(?<![a-z0-9+])\(?(?:\+[ ]?|00|(?<![0-9]:)00[ \-])[1-9]"  # 04:00 is a time
    r"(?:[ ().\-/]{0,3}[0-9]){6,17}(?![a-z0-9])"
)
_AT_HOME = re.compile(  # what the library finds only with separators that it knows
    r"""(?<![a-z0-9+.,\-])(?:
        (?:86[ \-]?)?1[3-9][0-9](?:[ .\-]{0,3}[0-9]){8}        # Chinese mobile
      | \(?0[1-9](?:[ ().\-/]{0,3}[0-9]){8,10}               # with a trunk prefix
      | \(?[2-9][0-9]{2}\)?[ .\-]{1,3}[0-9]{3}[ .\-]{1,3}[0-9]{4}  # North American
    )(?![a-z0-9]|-[0-9])""",
    re.VERBOSE,
)
_LAST_FIGURE = re.compile(r"[0-9]\)?(?![0-9])")  # of a group: figures behind are of something else
_AFTER_FIGURES = re.compile(
    r"[0-9][ .\-/]{1,3}\Z"
)  # 00 may be in the middle of a card or an account
_DIALLED = {  # how a number of a country begins at home: without it, figures are no number
    "CN": r"0(?:{plan})|(?=1[3-9])(?:{plan})",
    "GB": r"0(?:{plan})",
    "US": r"1?(?:{plan})",
    "DE": r"0(?:{plan})",
    "ES": r"(?:34)?(?:{plan})",
}
_GROUP = re.compile(r"[0-9]+")
_BETWEEN_GROUPS = re.compile(r"[ ().\-/\[\]~]{1,4}")
_PART_BEFORE = re.compile(r"[a-z0-9][.,\-_/=]\Z")  # of a product's code or a decimal number
_PART_BEHIND = re.compile(r"[a-z0-9]|[\-/][a-z]|[.\-][0-9]")
_EXTENSION = re.compile(r" ?(?:(?:e?xtn?|durchwahl)[.:]? ?|x|#)[0-9]{1,7}(?![a-z0-9])")
KINDS = (  # of numbers in a plan of the library
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number"),
    *("voip", "pager", "uan", "voicemail"),
)
LEAST_FIGURES, MAX_FIGURES = 7, 15  # E.164; the country's code included


def hide_international(shadow: Shadow) -> None:
    """Mask numbers with a country's code: what begins so is nothing else."""
    shadow.mask((*span, PHONE) for span in _abroad(shadow.letters, _AFTER_FIGURES))


def hide_national(shadow: Shadow) -> None:
    """Mask the numbers of REGIONS, and what else begins as an international one."""
    if not _ANY.search(shadow.letters):
        return
    letters = shadow.figures()
    at_home = (match.span() for match in _AT_HOME.finditer(letters))
    found = (*_planned(letters), *_abroad(letters), *at_home)
    shadow.mask((begin, _extended(letters, end), PHONE) for begin, end in found)


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
    """By its length, and, for one that begins with 00, by its country's code and lengths."""
    figures = "".join(filter(str.isdigit, number.replace("(0)", "")))
    if "+" in number:
        return LEAST_FIGURES <= len(figures) <= MAX_FIGURES
    figures = figures.removeprefix("00")
    if len(figures) < LEAST_FIGURES:
        return False
    lengths = ((size, _lengths(figures[:size])) for size in (1, 2, 3))
    return any(len(figures) - size in allowed for size, allowed in lengths)


@lru_cache(maxsize=1_200)  # there are no more codes of three figures or fewer
def _lengths(code: str) -> frozenset[int]:
    """How many figures may follow a country's code; none if no country has it."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    lengths: set[int] = set()
    for region in COUNTRY_CODE_TO_REGION_CODE.get(int(code), ()):
        if region == "001":
            plan = PhoneMetadata.metadata_for_nongeo_region(int(code), None)
        else:
            plan = PhoneMetadata.metadata_for_region(region, None)
        if plan is not None and plan.general_desc is not None:
            lengths.update(each for each in plan.general_desc.possible_length if each > 0)
    return frozenset(lengths)


def _planned(letters: str) -> Iterator[tuple[int, int]]:
    """Numbers that the plan of one of REGIONS has, longest first at each beginning."""
    groups = [match.span() for match in _GROUP.finditer(letters)]
    joined = [
        _BETWEEN_GROUPS.fullmatch(letters, one[1], other[0]) is not None
        for one, other in pairwise(groups)
    ]
    plans, known = _plans(), dict[str, bool]()
    first = 0
    while first < len(groups):
        begin = groups[first][0]
        after = first + 1
        if _begins(letters, begin):
            for last, figures in reversed(_candidates(letters, groups, joined, first)):
                if figures not in known:  # a hostile text repeats itself
                    known[figures] = plans.fullmatch(figures) is not None
                if known[figures] and _is_end(letters, groups[last][1]):
                    yield _bracketed(letters, begin, groups[last][1])
                    after = last + 1
                    break
        first = after


def _candidates(
    letters: str, groups: Sequence[tuple[int, int]], joined: Sequence[bool], first: int
) -> list[tuple[int, str]]:
    """Where a number that begins at a group may end, and its figures: at most ten."""
    found = []
    figures = ""
    for last in range(first, min(first + MAX_FIGURES + 1, len(groups))):
        begin, end = groups[last]
        if len(figures) + end - begin > MAX_FIGURES + 1 or (last > first and not joined[last - 1]):
            break
        figures += letters[begin:end]
        if len(figures) >= LEAST_FIGURES:
            found.append((last, figures))
    return found


def _begins(letters: str, begin: int) -> bool:
    before = letters[max(0, begin - 2) : begin]
    if before[-1:].isascii() and before[-1:].isalnum():
        return False
    return before[-1:] != "+" and not _PART_BEFORE.search(before)


def _is_end(letters: str, end: int) -> bool:
    return not _PART_BEHIND.match(letters, end)


def _bracketed(letters: str, begin: int, end: int) -> tuple[int, int]:
    """With the bracket before its area, or those round it."""
    if letters[max(0, begin - 1) : begin] != "(":
        return begin, end
    closes = ")" not in letters[begin:end] and letters[end : end + 1] == ")"
    return begin - 1, end + closes


def _extended(letters: str, end: int) -> int:
    """With its extension."""
    extension = _EXTENSION.match(letters, end)
    return extension.end() if extension else end


@lru_cache(maxsize=1)
def _plans() -> "re.Pattern[str]":
    """The numbers of REGIONS, as they are dialled at home, figures alone."""
    return re.compile("|".join(_DIALLED[region].format(plan=_plan(region)) for region in REGIONS))


def _plan(region: str) -> str:
    """The numbers of all regions that share the country's code, without a prefix."""
    from phonenumbers import (
        COUNTRY_CODE_TO_REGION_CODE,
        PhoneMetadata,
        country_code_for_region,
    )

    patterns: set[str] = set()
    for each in COUNTRY_CODE_TO_REGION_CODE[country_code_for_region(region)]:
        plan = PhoneMetadata.metadata_for_region(each, None)
        for kind in KINDS if plan is not None else ():
            numbers = getattr(plan, kind)
            if numbers is not None and numbers.national_number_pattern:
                lengths = "|".join(f"[0-9]{{{n}}}" for n in numbers.possible_length if n > 0)
                ahead = rf"(?=(?:{lengths})\Z)" if lengths else ""
                patterns.add(rf"{ahead}(?:{numbers.national_number_pattern})")
    return "|".join(sorted(patterns))
