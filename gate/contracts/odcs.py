"""Shared parsing of ODCS files: YAML, custom properties, texts in every language.

Everything in a contract is read or refused. A key or property that this product does not know is an
error, because a misspelt promise must not count as one that was not made.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from gate.contracts import strict_yaml
from gate.contracts.strict_yaml import Entry

Text = Mapping[str, str]  # locale -> text
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
REQUIRED = object()  # no default

LANGUAGES = ("en", "zh-CN")  # of a company that declares none
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2}|-[0-9]{3})?", re.ASCII)  # BCP 47
API_VERSION = "v3.1.0"
# Keys of ODCS v3.1 that this product ignores, because they are documentation and promise nothing.
DOCUMENTED = frozenset(
    {
        "authoritativeDefinitions",
        "businessName",
        "classification",
        "criticalDataElement",
        "deprecated",
        "description",
        "encryptedName",
        "examples",
        "id",
        "partitionKeyPosition",
        "partitioned",
        "physicalName",
        "physicalType",
        "semanticType",
        "synonyms",
        "tags",
        "transformDescription",
        "transformLogic",
    }
)
STATED = {"kind": "DataContract", "status": "active"}  # of a contract that may be used
DESCRIPTION = frozenset({"authoritativeDefinitions", "customProperties", "limitations"}) | {
    "purpose",
    "usage",
}
TOP = frozenset(
    {
        "apiVersion",
        "authoritativeDefinitions",
        "context",
        "contractCreatedTs",
        "customProperties",
        "dataProduct",
        "description",
        "domain",
        "id",
        "kind",
        "name",
        "price",
        "roles",
        "schema",
        "servers",
        "slaDefaultElement",
        "slaProperties",
        "status",
        "support",
        "tags",
        "team",
        "tenant",
        "version",
    }
)
TABLE_KEYS = DOCUMENTED | {
    "customProperties",
    "dataGranularityDescription",
    "logicalType",
    "name",
    "properties",
}
CUSTOM_KEYS = frozenset({"property", "value", "description", "id", "vendor"})


class ContractError(ValueError):
    """A data contract cannot be used. The message names the file and what is wrong."""


class _LocatedError(ContractError):
    """A ContractError whose message begins with the line."""


def positive(number: int, name: str) -> int:
    want(type(number) is int and number > 0, f"{name} is {number!r}, want a whole number above 0")
    return number


def custom(declared: Mapping[str, Any], known: Collection[str]) -> Entry:
    """The custom properties by name, with their lines. Refuses repeated and unknown names."""
    properties = Entry()
    properties.line, properties.lines = line(declared), {}
    for each in declared["customProperties"]:
        with at(line(each)):
            require_keys(each, CUSTOM_KEYS, "a custom property")
            name = string(each["property"], "property")
            if name in properties:
                raise ContractError(
                    f"custom property {name!r} is here and in line {properties.lines[name]}: "
                    "remove one"
                )
            require_known([name], known, "custom property")
            properties[name], properties.lines[name] = each["value"], line(each)
    return properties


def within(extra: Entry, name: str, parse: Callable[[Any], T], default: Any = REQUIRED) -> T:
    """A custom property, parsed; errors name its line. Without `default` it must be there."""
    with at(extra.lines.get(name, 0)):
        return parse(extra[name] if name in extra or default is REQUIRED else default)


def table(data: Mapping[str, Any]) -> Entry:
    """The one table of a contract. Raises ContractError if there is not exactly one."""
    found = tables(data)
    with at(line(found[-1])):
        want(len(found) == 1, f"{len(found)} tables in schema, want one: remove the others")
    return found[0]


def tables(data: Mapping[str, Any]) -> list[Entry]:
    """The tables of a contract, at least one. Raises ContractError."""
    schema: list[Entry] = sequence(data["schema"], "schema")
    want(bool(schema), "no table in schema, want at least one")
    for each in schema:
        with at(line(each)):
            require_keys(each, TABLE_KEYS, "a table")
            want(bool(each["properties"]), "a table without properties, want at least one")
    return schema


def require_keys(declared: Any, known: Collection[str], what: str) -> None:
    """Refuse what is no mapping, and keys that are not in `known`. Raises ContractError."""
    want(isinstance(declared, Mapping), f"{what} is {declared!r}, want a mapping")
    require_known(declared, known, f"key in {what}")


def require_known(names: Iterable[Any], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(str(name), known, 1) or [", ".join(sorted(known))]
            raise ContractError(f"unknown {what}: {name!r}, want {near[0]}")


def string(value: object, name: str) -> str:
    """A text that is one in the file. Raises ContractError."""
    if not isinstance(value, str) or not value.strip():
        raise ContractError(f"{name} is {value!r}, want a text: put it in quotes")
    return value


def boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ContractError(f"{name} is {value!r}, want true or false")
    return value


def one_of(kind: type[E], value: object, name: str) -> E:
    """The member of an enumeration that the file names. Raises ContractError."""
    require_known([value], [each.value for each in kind], name)
    return kind(str(value))


def sequence(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ContractError(f"{name} is {value!r}, want a list")
    return value


def strings(values: Any, name: str) -> tuple[str, ...]:
    """A list of texts without repetition. Raises ContractError."""
    read = tuple(string(each, name) for each in sequence(values, name))
    want(len(set(read)) == len(read), f"{name} names something twice: {[*read]}")
    return read


class Located(dict[str, str]):
    """A text by language. `line`: where it stands in its file; 0: unknown."""

    line: int = 0


def text(words: Mapping[str, Any]) -> Text:
    """A text in one language or several. Which ones a company needs: `wrong_languages`."""
    want(isinstance(words, Mapping) and bool(words), f"text is {words!r}, want one by language")
    for language, spoken in words.items():
        want(
            bool(LANGUAGE.fullmatch(str(language))),
            f"{language!r} is no language: want a tag such as en or zh-CN",
        )
        ok = isinstance(spoken, str) and bool(spoken.strip())
        want(ok, f"text missing in {[language]}: {words!r}; want one in each language")
    read = Located(words)
    read.line = line(words)
    return read


def spoken(text: Text, language: str) -> str:
    """The text in a language; in the first one that it has, if it does not have this one.

    Only an earlier version of a contract can lack a language of its company: `wrong_languages`.
    """
    return text[language] if language in text else next(iter(text.values()))


def wrong_languages(read: object, languages: Collection[str]) -> Iterator[tuple[int, str]]:
    """What is wrong with the languages of every text in a contract: the line, and a message.

    Each text wants each of the company's languages, and no other.
    """
    if isinstance(read, Located):
        yield from ((read.line, wrong) for wrong in _wrong(read, languages))
        return
    if is_dataclass(read):
        read = [getattr(read, each.name) for each in fields(read)]
    if isinstance(read, Mapping):
        read = [*read.values()]
    for each in read if isinstance(read, tuple | list) else ():
        yield from wrong_languages(each, languages)


def _wrong(text: Located, languages: Collection[str]) -> Iterator[str]:
    if missing := [each for each in languages if each not in text]:
        yield f"text missing in {missing}: {dict(text)!r}; want one in each language"
    if strange := sorted(text.keys() - {*languages}):
        yield (
            f"text in {strange}, which company.toml does not name: its languages are "
            f"{', '.join(languages)}; remove the text, or add the language"
        )


def slug(text: str) -> str:
    ok = (
        isinstance(text, str)
        and text.isascii()
        and text.replace("-", "").isalnum()
        and text == text.lower()
    )
    want(ok, f"{text!r} is not an ASCII slug")
    return text


def read(path: Path) -> tuple[Entry, str]:
    """The file's contents, and the SHA-256 of its bytes, hex. Raises ContractError."""
    try:
        raw = path.read_bytes()
        data = strict_yaml.load(raw)
    except (OSError, ValueError) as error:
        raise ContractError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, Entry):
        raise ContractError(f"{path}: line 1: want an ODCS contract with apiVersion {API_VERSION}")
    with reporting(path):
        with at(data.lines.get("apiVersion", 1)):
            want(
                data.get("apiVersion") == API_VERSION,
                f"want an ODCS contract with apiVersion {API_VERSION}, found "
                f"{data.get('apiVersion')!r}",
            )
        for name in data:
            with at(data.lines.get(name, 0)):
                require_known([name], TOP, "key in a contract")
        for name, wanted in STATED.items():
            with at(data.lines.get(name, 1)):
                found = data.get(name)
                want(found == wanted, f"{name} is {found!r}, want {wanted!r}: nothing else is used")
        if "description" in data:
            with at(line(data["description"])):
                require_keys(data["description"], DESCRIPTION, "a description")
    return data, sha256(raw).hexdigest()


def want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ContractError(otherwise)


def line(declared: object) -> int:
    """The line of the file on which a mapping begins; 0 if it is none."""
    return declared.line if isinstance(declared, Entry) else 0


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Translate every parsing error to a ContractError that names the file."""
    try:
        yield
    except _ERRORS as error:
        raise ContractError(f"{path}: {_message(error)}") from error


@contextmanager
def at(line: int) -> Iterator[None]:
    """Translate every parsing error to a ContractError that names the line, innermost first.

    Line 0 is none: the error passes, and the next mapping around it names its own line.
    """
    try:
        yield
    except _LocatedError:
        raise
    except _ERRORS as error:
        if not line:
            raise
        raise _LocatedError(f"line {line}: {_message(error)}") from error


_ERRORS = (TypeError, ValueError, AttributeError, LookupError, OverflowError)


def _message(error: Exception) -> str:
    return f"missing {error}" if isinstance(error, KeyError) else str(error)
