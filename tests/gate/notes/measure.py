"""Which labels a masker found, and what it masked beside them.

A label is found if none of its letters and figures is left. A mask is right if at least half of the
letters and figures under it are of labels (an affix more is no fault) and none of a distractor.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.gate.notes.note import CHECKSUMMED, Label, Note

Spans = list[tuple[int, int]]
MASKS = re.compile(r"\[[a-z][a-z -]*\]")
APART = {"other person", "other address", "plate"}  # G29 leaves them out


@dataclass(slots=True)
class Measured:
    """Counts by key; a key is (entity, language, format)."""

    labels: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    found: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)  # by language
    right: Counter[str] = field(default_factory=Counter)
    distractors: Counter[str] = field(default_factory=Counter)  # by kind
    hit: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def recall(self, which: Callable[[str, str, str], bool]) -> tuple[int, int]:
        """How many of the labels for which `which` holds were found, and how many there are."""
        keys = [key for key in self.labels if which(*key)]
        return sum(self.found[key] for key in keys), sum(self.labels[key] for key in keys)


def is_own(entity: str, _language: str, _format: str) -> bool:
    return entity.startswith("own ")


def is_checksummed(entity: str, _language: str, _format: str) -> bool:
    return entity in CHECKSUMMED


def is_pattern(entity: str, language: str, form: str) -> bool:
    return not (
        is_own(entity, language, form) or is_checksummed(entity, language, form) or entity in APART
    )


def masked_by(mask: Callable[[str, tuple[str, ...]], str], note: Note) -> Spans:
    """Where `mask` replaced something, from what it left. AssertionError if it changed more.

    It may leave plain letters and figures instead of those of full width.
    """
    pieces = MASKS.split(_narrow(mask(note.written, note.known)))
    pattern = "(.+?)".join(re.escape(piece) for piece in pieces)
    fit = re.fullmatch(pattern, _narrow(note.text), re.DOTALL)
    if fit is None:
        raise AssertionError(f"more than masks was changed: {note.text!r} -> {pieces!r}")
    return [fit.span(at + 1) for at in range(len(pieces) - 1)]


def _narrow(text: str) -> str:
    """Each sign of full width as its plain one; as long as the text."""
    return "".join(chr(ord(each) - 0xFEE0) if "！" <= each <= "～" else each for each in text)


def measured(corpus: Iterable[Note], spans: Callable[[Note], Spans]) -> Measured:
    counts = Measured()
    for note in corpus:
        _count(counts, note, spans(note))
    return counts


def _count(counts: Measured, note: Note, spans: Spans) -> None:
    hidden = {at for start, end in spans for at in range(start, end)}
    for label in note.labels:
        key = (label.entity, note.language, label.format)
        counts.labels[key] += 1
        if significant(note, label) <= hidden:
            counts.found[key] += 1
        elif label.entity not in APART:
            counts.missed.append(f"{key}: {note.text[label.start : label.end]!r} in {note.text!r}")
    for kept in note.distractors:
        counts.distractors[kept.format] += 1
        counts.hit[kept.format] += bool(significant(note, kept) & hidden)
    _count_masks(counts, note, spans)


def _count_masks(counts: Measured, note: Note, spans: Spans) -> None:
    wanted = {at for label in [*note.labels, *note.neutral] for at in significant(note, label)}
    kept = {at for each in note.distractors for at in significant(note, each)}
    for start, end in spans:
        under = significant(note, Label(start, end, "", ""))
        right = not under & kept and 2 * len(under & wanted) >= len(under) > 0
        counts.masks[note.language] += 1
        counts.right[note.language] += right
        if not right:
            counts.wrong.append(f"{note.language}: {note.text[start:end]!r} in {note.text!r}")


def significant(note: Note, label: Label) -> set[int]:
    return {at for at in range(label.start, label.end) if note.text[at].isalnum()}
