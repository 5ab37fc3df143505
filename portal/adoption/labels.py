"""Names and texts of a proposed folder, in the languages of the company.

What is not known in a language is the English text with a mark before it, which `sovereign check`
counts: half a translation would look like a whole one.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gate.contracts import strict_yaml
from gate.contracts.odcs import LANGUAGE

TEXTS = Path(__file__).parent / "starter_texts.yaml"
UNTRANSLATED = "（待翻译）"  # "to be translated"
MAX_TITLE = 60  # characters of a comment that may stand as a title

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_HAN = re.compile(r"[\u4e00-\u9fff]")


class Text(dict[str, str]):
    """A text by language, in those that are known; English always."""


def text(key: str) -> Text:
    """A text of the product for proposed folders."""
    return Text(_read()["texts"][key])


def complete(tree: Any, languages: Sequence[str]) -> Any:
    """Every text in a tree of mappings and lists, in exactly these languages."""
    match tree:
        case Text():
            return {each: tree.get(each, UNTRANSLATED + tree["en"]) for each in languages}
        case Mapping():
            made = {name: complete(each, languages) for name, each in tree.items()}
            return _same(tree, made)
        case list() | tuple():
            return [complete(each, languages) for each in tree]
        case _:
            return tree


def _same(tree: Mapping[str, Any], made: dict[str, Any]) -> Any:
    """The mapping `made` as one of the same class as `tree`, which decides how it is written."""
    kind: Any = type(tree)
    return kind(made)


@cache
def _read() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """The file of texts: `texts` by key, and `titles` of items by the words of their names."""
    read: Mapping[str, Mapping[str, Mapping[str, str]]] = strict_yaml.load(TEXTS.read_bytes())
    return read


def words(name: str) -> list[str]:
    """The words of a column's name: `SeniorCitizen` senior citizen, `StreamingTV` streaming TV."""
    found = [each for each in _WORDS.findall(name) if each]
    return [each if each.isupper() and len(each) > 1 else each.lower() for each in found]


def title(name: str, comment: str = "", given: Mapping[str, str] | None = None) -> Text:
    """The title of an item: as a codebook gives it, the column's comment, or the column's name.

    `name`: as the source writes it.
    """
    split = words(name if not name.isupper() else name.lower())
    known = _read()["titles"].get(" ".join(split).lower())
    found = Text(known or {"en": _sentence(split) or name})
    said = comment.strip()
    if said and len(said) <= MAX_TITLE and "\n" not in said:
        found = Text(found | {"zh-CN": said} if _HAN.search(said) else {"en": said})
    if given and "en" in given:
        return Text(given)
    return Text(found | {**(given or {})})


def titles(stated: object) -> Text:
    """A codebook's title: one text in English, or texts by language. Raises ValueError."""
    by_language = {"en": stated} if isinstance(stated, str) else stated
    if not isinstance(by_language, dict) or not by_language:
        raise ValueError(f"title is {stated!r}, want a text or texts by language")
    for locale, said in by_language.items():
        known = isinstance(locale, str) and LANGUAGE.fullmatch(locale)
        if not known or not isinstance(said, str) or not said.strip():
            raise ValueError(f"title {locale!r} is {said!r}, want texts by language, such as en")
    return Text(by_language)


def require_text(value: object, name: str) -> None:
    """Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, want a text")  # noqa: TRY004 - of a file


def _sentence(split: list[str]) -> str:
    joined = " ".join(split)
    return joined[:1].upper() + joined[1:]
