"""How the words of pages, letters and problems read: `python -m tests.words --write`.

The reading age of English is the Flesch-Kincaid grade (Kincaid et al. 1975, Derivation of new
readability formulas for Navy enlisted personnel) plus five years, over a whole message: the formula
is for passages, and a short sentence with one long word says little. Syllables are counted by the
groups of vowels. Placeholders count as one word of two syllables.
"""

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from portal.web import i18n
from portal.web.i18n import Words

DOCUMENT = Path(__file__).parents[2] / "docs" / "words.md"
SEED, DRAWN = 20261130, 30
# Whom a page, letter or problem is for: by the beginnings of its messages' keys.
STAFF = (
    "advice.",
    "agreement.",
    "archive.no-row",
    "aspect.",
    "case",
    "chart.",
    "completion.",
    "components.",
    "contract.",
    "desk.",
    "docs.",
    "fallback-in-force.",
    "figure.",
    "ground.",
    "job",
    "kind.",
    "landing.desk",
    "landing.regulator",
    "landing.service",
    "letter.",
    "loss.",
    "opening",
    "operation.",
    "problem.busy",
    "problem.decided",
    "problem.explanation",
    "problem.just-checked",
    "problem.key-scope",
    "problem.period",
    "problem.source-down",
    "problem.unauthenticated",
    "problem.unsealable",
    "regulator.",
    "release.",
    "replay.",
    "review.",
    "risk.",
    "role.",
    "search.",
    "status.",
    "verify.",
    "fact.",
)
_PLACE = re.compile(r"\{\w+\}")
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]+[”’\"']?")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOWELS = re.compile(r"[aeiouy]+")
_CHILD = 5  # years: the age in the first grade is six


def customers(words: Words) -> dict[str, str]:
    """The messages that customers read, by key: of plural forms the last."""
    return {key: forms[-1] for key, forms in words.messages.items() if not key.startswith(STAFF)}


def sentences(text: str) -> list[str]:
    """The sentences of a message. A text without a full stop is one."""
    found = [each.strip() for each in _SENTENCE.findall(text.replace("\n", " "))]
    return [each for each in found if each] or [text.strip()]


def reading_age(text: str) -> float:
    """In years, of an English text; the younger, the easier."""
    plain = _PLACE.sub("thing", text)
    found = _WORD.findall(plain)
    ended = max(1, len(re.findall(r"[.!?:;]+(?=\s|$)", plain)))
    if not found:
        return 0.0
    syllables = sum(map(_syllables, found))
    return 0.39 * len(found) / ended + 11.8 * syllables / len(found) - 15.59 + _CHILD


def _syllables(word: str) -> int:
    plain = word.lower().replace("’", "'").removesuffix("'s").replace("'", "")
    count = len(_VOWELS.findall(plain))
    if plain.endswith("e") and not plain.endswith(("le", "ee", "ye")) and count > 1:
        count -= 1
    if plain.endswith("ed") and not plain.endswith(("ted", "ded")) and count > 1:
        count -= 1
    return max(1, count)


def document() -> str:
    """docs/words.md: thirty sentences of each language, and how old an English reader must be."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    every = i18n.load()
    yield from (
        "# How the words read",
        "",
        f"`python -m tests.words --write` writes this page. It draws {DRAWN} sentences of each",
        "language from what customers read: pages, letters and problems, with the message that",
        "each is from. The reading age of English is the Flesch-Kincaid grade of the message, plus",
        "five years; see `tests/words/__init__.py`. A test holds its mean below ten years.",
    )
    ages = [reading_age(each) for each in passages(every["en"]).values()]
    share = sum(age <= MOST for age in ages) / len(ages)
    whole = f"Over all {len(ages)} English messages of eight words or more: mean {mean(ages):.1f} "
    yield from ("", whole + f"years, {share:.0%} at {MOST} or below.")
    for tag, words in every.items():
        yield from ("", f"## {words.name}", "")
        aged = tag == "en"
        yield "| sentence | message |" + (" reading age |" if aged else "")
        yield "|---|---|" + ("---|" if aged else "")
        for key, sentence in drawn(words):
            shown = sentence.replace("|", "\\|")
            age = f" {max(5.0, reading_age(words.messages[key][-1])):.0f} |" if aged else ""
            yield f"| {shown} | `{key}` |{age}"


MOST = 12  # years


def passages(words: Words) -> dict[str, str]:
    """The messages long enough for the formula: eight words or more."""
    few = 8
    return {k: text for k, text in customers(words).items() if len(_WORD.findall(text)) >= few}


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def drawn(words: Words) -> list[tuple[str, str]]:
    """The sentences drawn, with their messages' keys; the same for one seed and catalogue."""
    chance = random.Random(SEED)
    texts = sorted(customers(words).items())
    least = 6 if words.tag != "zh-CN" else 8
    long = [
        (key, each)
        for key, text in texts
        for each in sentences(text)
        if len(each) > least * (1 if words.tag == "zh-CN" else 5)
    ]
    return sorted(chance.sample(long, DRAWN))
