"""Defines high-risk operations and detects them by words in a text (M25).

The configuration is `specs/stewardship/review.yaml`. Detection prefers false positives: it adds to
the operations that a service declares and never removes any.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from gate.contracts import odcs, strict_yaml
from gate.contracts.odcs import LOCALES
from gate.contracts.specs import specs_folder

_CJK = re.compile(r"[\u3400-\u9fff]")
_BETWEEN = re.compile(r"(?<=[\u3400-\u9fff])[\W_]+(?=[\u3400-\u9fff])")


class RiskError(ValueError):
    """The configuration of high-risk operations cannot be used."""


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    within: timedelta  # time from proposal to decision
    pattern: re.Pattern[str]


def load(path: Path | None = None) -> dict[str, Operation]:
    """Load the high-risk operations, by id. Raises RiskError."""
    path = path or specs_folder() / "stewardship" / "review.yaml"
    try:
        configured = strict_yaml.load(path.read_bytes())
        read = {name: _operation(name, declared) for name, declared in configured.items()}
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


def _operation(name: str, declared: Mapping[str, Any]) -> Operation:
    hours, words = declared["hours"], declared["words"]
    if type(hours) is not int or hours <= 0:
        raise ValueError(f"{name}: hours is {hours!r}, want a whole number above 0")
    if set(words) != set(LOCALES) or not all(words[locale] for locale in LOCALES):
        raise ValueError(f"{name}: words in {sorted(words)}, want some in each of {[*LOCALES]}")
    every = [each for locale in LOCALES for each in odcs.strings(words[locale], "words")]
    if not all(each.strip("* ") for each in every):
        raise ValueError(f"{name}: a word is empty")
    return Operation(str(name), timedelta(hours=hours), pattern(every))


def _visible(sign: str) -> bool:
    return unicodedata.category(sign) not in {"Cf", "Mn"}


def _word(word: str) -> str:
    if _CJK.search(word):
        return re.escape(word)
    begins = word.endswith("*")
    return rf"\b{re.escape(word.removesuffix('*'))}" + ("" if begins else r"\b")
