"""Defines high-risk operations and detects them by words in a text (M25).

The configuration is `specs/stewardship/review.yaml`. Detection prefers false positives: it adds to
the operations that a service declares and never removes any.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from gate.contracts import odcs, strict_yaml
from gate.contracts.specs import specs_folder
from steward.language.catalogue import FOLDER, shipped
from steward.language.stewardship import StewardshipWords

NOTHING: Mapping[str, StewardshipWords] = {}
_CJK = re.compile(r"[\u3400-\u9fff]")
_BETWEEN = re.compile(r"(?<=[\u3400-\u9fff])[\W_]+(?=[\u3400-\u9fff])")


class RiskError(ValueError):
    """The configuration of high-risk operations cannot be used."""


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    within: timedelta  # time from proposal to decision
    pattern: re.Pattern[str]


def load(
    path: Path | None = None, own: Mapping[str, StewardshipWords] = NOTHING
) -> dict[str, Operation]:
    """Load the high-risk operations, by id. `own`: languages that a company adds.

    Raises RiskError.
    """
    path = path or specs_folder() / "stewardship" / "review.yaml"
    try:
        configured = strict_yaml.load(path.read_bytes())
        languages = shipped(FOLDER)
        read = {
            name: _operation(
                name, declared, languages, [each.review[name] for each in own.values()]
            )
            for name, declared in configured.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RiskError(f"{path}: want hours and words of each operation: {error}") from error
    if not read:
        raise RiskError(f"{path}: no operation, want at least one")
    return read


def detect(operations: Iterable[Operation], text: str) -> frozenset[str]:
    """The operations whose words occur in the text."""
    plain = normalise(text)
    return frozenset(each.id for each in operations if each.pattern.search(plain))


def normalise(text: str) -> str:
    """Normalise width, case, invisible characters, and spaces between Chinese characters."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if _visible(c))
    return _BETWEEN.sub("", re.sub(r"[\s\-]+", " ", visible.casefold()))


def pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the words in a normalised text; `refund*` matches `refunded`."""
    return re.compile("|".join(_word(normalise(each)) for each in words))


def every(words: Mapping[str, Any], languages: Collection[str]) -> list[str]:
    """The words of all languages. Raises ValueError if one has none, or is another."""
    if {*words} != {*languages} or not all(words.values()):
        raise ValueError(f"words in {sorted(words)}, want some in each of {sorted(languages)}")
    return [each for spoken in words.values() for each in odcs.strings(spoken, "words")]


def _operation(
    name: str,
    declared: Mapping[str, Any],
    languages: Collection[str],
    own: Iterable[Iterable[str]],
) -> Operation:
    hours = declared["hours"]
    if type(hours) is not int or hours <= 0:
        raise ValueError(f"{name}: hours is {hours!r}, want a whole number above 0")
    words = [*every(declared["words"], languages), *(word for each in own for word in each)]
    if not all(each.strip("* ") for each in words):
        raise ValueError(f"{name}: a word is empty")
    return Operation(str(name), timedelta(hours=hours), pattern(words))


def _visible(sign: str) -> bool:
    return unicodedata.category(sign) not in {"Cf", "Mn"}


def _word(word: str) -> str:
    if _CJK.search(word):
        return re.escape(word)
    begins = word.endswith("*")
    return rf"\b{re.escape(word.removesuffix('*'))}" + ("" if begins else r"\b")
