"""Messages that must not be mistaken for each other: what a customer allows, and what not.

A company writes the messages of a language that it adds. Nobody here reads that language, so a text
that says the opposite cannot be found. What can be found is a choice that the reader cannot see:
two opposite texts that are equal, a text that stands for the opposite in another language, one
without a visible character, and one with marks that turn or hide what stands around it.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

Messages = Mapping[str, tuple[str, ...]]  # as in steward.language.catalogue

PAIRS = (  # what is allowed, what is not
    ("switch.allow", "switch.withdraw"),
    ("switch.no-objection", "switch.object"),
    ("standing.allowed", "standing.refused"),
    ("standing.unobjected", "standing.objected"),
    ("standing.allowed", "standing.objected"),
    ("standing.allowed", "standing.expired"),
    ("standing.allowed", "standing.frozen"),
    ("standing.unobjected", "standing.refused"),
    ("standing.partly", "standing.refused"),
    ("standing.partly", "standing.partly-objected"),
    ("notice.allowed", "notice.withdrawn"),
    ("notice.allowed-item", "notice.withdrawn-item"),
    ("notice.unobjected", "notice.objected"),
    ("notice.unobjected-item", "notice.objected-item"),
    ("did.allowed", "did.withdrawn"),
    ("did.unobjected", "did.objected"),
    ("map.allowed", "map.not-allowed"),
    ("review.approve", "review.refuse"),
)
# Unicode's property Bidi_Control.
BIDI_CONTROLS = {*"\u061c\u200e\u200f", *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))}
_BLANK_LETTERS = {*"\u115f\u1160\u2800\u3164\uffa0"}  # letters and symbols that draw nothing
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>?|&#?\w+;")


def illegible(forms: Sequence[str], source: Sequence[str]) -> str:
    """Why a message cannot be read as it stands; empty: it can.

    `source`: the same message in English, whose tags and controls are those that it may have.
    """
    text, wanted = "".join(forms), "".join(source)
    if not all(any(map(_visible, form)) for form in forms):
        return "has no visible character: write it"
    if controls := sorted({*text} & BIDI_CONTROLS - {*wanted}):
        names = ", ".join(f"U+{ord(each):04X}" for each in controls)
        return f"has {names}, which turns the direction of the text: remove it, pages do this"
    if tags := sorted({*_TAG.findall(text)} - {*_TAG.findall(wanted)}):
        return f"has {tags[0]!r}, want text without HTML: remove it"
    return ""


def confused(own: Messages, others: Mapping[str, Messages]) -> Iterator[str]:
    """Which opposite messages cannot be told apart, each with what to do.

    `own`: of one language. `others`: of other languages by tag, each of them right.
    """
    for one, other in PAIRS:
        if same := {*_plain(own, one)} & {*_plain(own, other)}:
            yield f"messages {one!r} and {other!r} are both {min(same)!r}: they are opposites"
    for tag, theirs in others.items():
        for key, opposite in (*PAIRS, *((other, one) for one, other in PAIRS)):
            if same := {*_plain(own, key)} & {*_plain(theirs, opposite)}:
                yield f"message {key!r} is {min(same)!r}, which in {tag} is {opposite!r}: correct"


def listed(own: Messages) -> str:
    """All pairs as a reader of the language can look at them."""
    return "; ".join(
        f"{one} “{' / '.join(own[one])}” – {other} “{' / '.join(own[other])}”"
        for one, other in PAIRS
    )


def _visible(char: str) -> bool:
    return unicodedata.category(char)[0] not in "CZ" and char not in _BLANK_LETTERS


def _plain(messages: Messages, key: str) -> Iterator[str]:
    """The forms of a message as far as a reader tells them apart: letters and digits."""
    for form in messages.get(key, ()):
        folded = unicodedata.normalize("NFKC", form).casefold()
        text = "".join(each for each in folded if unicodedata.category(each)[0] not in "CPZ")
        if text:
            yield text
