"""How one writes a value: letters that may be written as two, and what may stand between parts."""

import re
from typing import NamedTuple

from gate.reads.masks.shadow import of

_AS_TWO = {  # letters that are also written as two, in the shadow and composed
    "ä": "ae?",
    "ö": "oe?",
    "ü": "ue?",
    "ß": "(?:ß|ss?)",
    "æ": "(?:æ|ae?)",
    "œ": "(?:œ|oe?)",
    "ø": "oe?",
    "å": "aa?",
    "þ": "(?:þ|th)",
    "ð": "(?:ð|d)",
}
_TWO = {"ss": "(?:ss|ß)", "ae": "(?:ae?|æ)", "oe": "(?:oe?|œ)", "ue": "ue?"}
BETWEEN = r"[\s.,;'·/_\-]{0,4}"  # the words of a name, and the parts of an address or a number
_SAME = str.maketrans({"ß": "s", "æ": "a", "œ": "o", "þ": "th", "ð": "d", "e": None})


class Form(NamedTuple):
    """One way to write a value: its pattern in a shadow, and what no match can be without."""

    pattern: str
    needle: str
    common: bool = False  # a word of the language too: counts only with a capital letter


def squeezed(letters: str) -> str:
    """Letters and figures alone, spelled in the shortest way: to see which forms cannot match."""
    same = "".join(filter(str.isalnum, letters)).translate(_SAME)
    return re.sub(r"(.)\1+", r"\1", same)


def spelled(text: str) -> str:
    """A pattern for the text in a shadow, with letters that may be written as two."""
    pattern, letters, at = "", of(text), 0
    while at < len(letters):
        two = _TWO.get(letters[at : at + 2])
        if two and text[at : at + 2].isascii():
            pattern, at = pattern + two, at + 2
        else:
            pattern += _AS_TWO.get(text[at].lower()) or re.escape(letters[at])
            at += 1
    return pattern
