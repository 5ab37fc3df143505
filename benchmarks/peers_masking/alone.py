"""`phonenumbers` and `python-stdnum`, each alone, as its documentation says to use it."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module

from tests.gate.notes.measure import Spans
from tests.gate.notes.note import Note

REGIONS = {"zh": ("CN",), "en": ("GB", "US"), "de": ("DE",), "es": ("ES",)}
CHECKS = ("iban", "luhn", "cn.ric", "es.dni", "es.nie", "de.idnr", "gb.nhs", "us.ssn")
MAX_TOKENS = 9  # of a number in groups: an account has at most nine
LEAST_SIGNS = 8  # otherwise Luhn alone proves every tenth price


def of_phonenumbers(note: Note) -> Spans:
    """Its matcher, told the note's countries."""
    from phonenumbers import PhoneNumberMatcher

    return sorted(
        (each.start, each.end)
        for region in REGIONS[note.language]
        for each in PhoneNumberMatcher(note.text, region)
    )


def of_stdnum(note: Note) -> Spans:
    """It has no search, so each run of up to MAX_TOKENS words is offered, the longest first."""
    words = [each.span() for each in re.finditer(r"[0-9A-Za-z][0-9A-Za-z.\-/]*", note.text)]
    spans, at = [], 0
    checks = [*_checks()]
    while at < len(words):
        begin = words[at][0]
        ends = (words[last][1] for last in range(min(len(words), at + MAX_TOKENS) - 1, at - 1, -1))
        end = next((end for end in ends if _is_valid(note.text[begin:end], checks)), None)
        if end is not None:
            spans.append((begin, end))
        at = next((n for n, word in enumerate(words) if word[0] >= (end or begin + 1)), len(words))
    return spans


def _checks() -> Iterator[Callable[[str], bool]]:
    for name in CHECKS:
        yield import_module(f"stdnum.{name}").is_valid


def _is_valid(text: str, checks: list[Callable[[str], bool]]) -> bool:
    plain = re.sub(r"[\s.\-/]", "", text)
    return len(plain) >= LEAST_SIGNS and any(check(plain) for check in checks)
