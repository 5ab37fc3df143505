"""Shared parsing of ODCS files: YAML, custom properties, texts in every language."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

Text = Mapping[str, str]  # locale -> text

LOCALES = ("en", "zh-CN")
API_VERSION = "v3.1.0"
DEEPEST = 64  # limit on nested collections; the shipped contracts have nine
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where the wheel has it


class ContractError(ValueError):
    """A data contract cannot be used. The message names the file and what is wrong."""


def positive(number: int, name: str) -> int:
    want(type(number) is int and number > 0, f"{name} is {number!r}, want a whole number above 0")
    return number


def custom(declared: dict[str, Any]) -> dict[str, Any]:
    return {each["property"]: each["value"] for each in declared["customProperties"]}


def text(words: Mapping[str, Any]) -> Text:
    spoken = {locale: words.get(locale) for locale in LOCALES}
    missing = [
        each for each, words_ in spoken.items() if not isinstance(words_, str) or not words_.strip()
    ]
    want(not missing, f"text missing in {missing}: {words!r}")
    return {locale: str(words_) for locale, words_ in spoken.items()}


def slug(text: str) -> str:
    ok = (
        isinstance(text, str)
        and text.isascii()
        and text.replace("-", "").isalnum()
        and text == text.lower()
    )
    want(ok, f"{text!r} is not an ASCII slug")
    return text


def read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        raw = path.read_bytes()
        _require_shallow(raw)
        data = yaml.load(raw, Loader=_LOADER)  # noqa: S506 - a safe loader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ContractError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict) or data.get("apiVersion") != API_VERSION:
        raise ContractError(f"{path}: want an ODCS contract with apiVersion {API_VERSION}")
    return data, sha256(raw).hexdigest()


def _require_shallow(raw: bytes) -> None:
    """Refuse deep nesting, on which libyaml's recursion would overflow the stack."""
    depth = 0
    for event in yaml.parse(raw, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST}")


def want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ContractError(otherwise)


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Translate every parsing error to a ContractError that names the file."""
    try:
        yield
    except KeyError as error:
        raise ContractError(f"{path}: missing {error}") from error
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
        raise ContractError(f"{path}: {error}") from error
