"""Finds mood, interest and requests in a text, by the lists of words.toml and nothing else."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

OPERATIONS = ("refund", "termination", "legal", "giveaway")
_CJK = re.compile(r"[\u3400-\u9fff]")


def mood(text: str) -> int:
    """Positive words less negative ones; a word right after a negation counts as its opposite."""
    lists = _lists()["mood"]
    total = 0
    for sign, words in ((1, lists["positive"]), (-1, lists["negative"])):
        for found in _pattern(tuple(words)).finditer(text):
            total += -sign if _negated(text[: found.start()]) else sign
    return total - 2 * len(_pattern(tuple(lists["negative_phrases"])).findall(text))


def asks_for_terms(text: str) -> bool:
    """Whether it has a word about prices or contracts."""
    lists = _lists()["lead"]
    return bool(_pattern((*lists["price"], *lists["contract"])).search(text))


def operation(text: str) -> str | None:
    """The high-risk operation that the text asks for, the first of OPERATIONS; None: none."""
    lists = _lists()
    return next((o for o in OPERATIONS if _pattern(tuple(lists[o]["words"])).search(text)), None)


def draft(asked: str, language: Literal["en", "zh"]) -> str:
    """The text that carries out an operation, for a person to approve, edit or refuse."""
    return str(_lists()[asked][language])


def language(text: str) -> Literal["en", "zh"]:
    return "zh" if _CJK.search(text) else "en"


def _negated(before: str) -> bool:
    words = re.findall(r"[\w']+", before.lower())
    return bool(words) and words[-1] in _lists()["negation"]


@cache
def _lists() -> Any:
    return tomllib.loads((Path(__file__).parent / "words.toml").read_text("utf-8"))


@cache
def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Words of Latin letters are whole words; Chinese ones stand anywhere."""
    return re.compile("|".join(map(_part, words)), re.IGNORECASE)


def _part(word: str) -> str:
    if _CJK.search(word):
        return re.escape(word)
    ending = r"\w*" if word.endswith("*") else ""
    return rf"\b{re.escape(word.rstrip('*'))}{ending}\b"
