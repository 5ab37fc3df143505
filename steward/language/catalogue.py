"""Catalogues of messages: gettext files, one a language, read once; nothing is compiled beforehand.

    locales/zh_CN/LC_MESSAGES/messages.po

A language is complete or it is refused: the English file of a folder says which messages there are
and which facts each of them fills in. A company adds a language that the product does not have by a
file of its own, `locales/<language>/LC_MESSAGES/messages.po` in its folder, with the messages of
notices, consent records and pages together. Two messages describe the language itself:

    language.name      what its speakers call it: Deutsch
    language.formats   the CLDR locale of dates and numbers, of this language: de_DE
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from gettext import c2py
from pathlib import Path
from string import Formatter
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_decimal

from gate.contracts.company import Company
from gate.contracts.odcs import LANGUAGE, ContractError, Text
from steward.language import opposites

FOLDER = Path(__file__).parent / "locales"
FILE = Path("LC_MESSAGES") / "messages.po"
ENGLISH = "en"

Messages = Mapping[str, tuple[str, ...]]  # by key, the plural forms


class MissingMessageError(LookupError):
    """A message key that a catalogue does not have."""


class LanguageError(ContractError):
    """A language cannot be used. Says the file and what to do."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One language's messages. Immutable, shared by all threads."""

    tag: str  # BCP 47, as in the contracts and in <html lang>
    messages: Messages
    plural: Callable[[int], int]

    @cached_property
    def locale(self) -> Locale:
        """The formats of dates and numbers: 17 November in en_GB, not 11/17."""
        return Locale.parse(self.plain("language.formats"))

    def plain(self, key: str, **facts: Any) -> str:
        """The message `key` with `facts` filled in. Raises MissingMessageError."""
        return self.pattern(key, facts.get("count")).format(**facts)

    def pattern(self, key: str, count: int | None = None) -> str:
        """The message `key` in the plural form for `count`. Raises MissingMessageError."""
        if (forms := self.messages.get(key)) is None:
            raise MissingMessageError(f"no message {key!r} in {self.tag}; add it to {FILE}")
        if len(forms) == 1:
            return forms[0]
        return forms[self.plural(count if count is not None else 1)]

    def number(self, number: float) -> str:
        return format_decimal(number, locale=self.locale)


def load(company: Company | None = None) -> Mapping[str, Catalogue]:
    """The catalogues of a company's languages by tag, or of all that the product has.

    Raises LanguageError.
    """
    return catalogues((FOLDER,), company)


def catalogues(folders: Sequence[Path], company: Company | None) -> Mapping[str, Catalogue]:
    """The same over several folders of the product, whose messages are put together.

    Files are read once in a process. Raises LanguageError with every fault.
    """
    if company is None:
        return _load((*folders,), shipped(folders[0]), None)
    if wrong := [*missing(folders, company)]:
        raise LanguageError("\n".join(wrong))
    return _load((*folders,), (*company.languages,), company.locales)


def texts(key: str, spoken: Mapping[str, Catalogue]) -> Text:
    """A message in every language."""
    return {tag: each.plain(key) for tag, each in spoken.items()}


def shipped(folder: Path) -> tuple[str, ...]:
    """The languages that a folder has, English first."""
    found = sorted(each.parents[1].name.replace("_", "-") for each in folder.glob(f"*/{FILE}"))
    return tuple(sorted(found, key=lambda tag: tag != ENGLISH))


def place(folder: Path, tag: str) -> Path:
    """The file of a language."""
    return folder / tag.replace("-", "_") / FILE


def missing(folders: Sequence[Path], company: Company) -> Iterator[str]:
    """What the company's languages lack, one a line, each with its file and what to do."""
    ours = shipped(folders[0])
    for tag in company.languages:
        path = place(company.locales, tag)
        if tag in ours:
            continue
        if not path.is_file():
            yield (
                f"{company.folder / 'company.toml'}: the product has no {tag!r} ({', '.join(ours)})"
                f": write {path}, or remove it from languages"
            )
            continue
        try:
            have, _ = read(path)
            _require_formats(tag, have)
        except LanguageError as error:
            yield str(error)
            continue
        except (ValueError, UnknownLocaleError) as error:
            yield f"{path}: {error}"
            continue
        wanted = _english(folders)
        yield from (f"{path}: no message {key!r}: add it" for key in wanted if key not in have)
        shared = ((key, wanted[key], have[key]) for key in wanted if key in have)
        for key, forms, theirs in shared:
            if wrong := _wrong_facts(theirs, forms) or opposites.illegible(theirs, forms):
                yield f"{path}: message {key!r} {wrong}"
        product = {each.tag: each.messages for each in _load((*folders,), ours, None).values()}
        yield from (f"{path}: {wrong}" for wrong in opposites.confused(have, product))
        yield from (f"{path}: {wrong}" for wrong in _misnamed(company, tag, have, product))


def added(folders: Sequence[Path], company: Company) -> Iterator[tuple[str, Messages]]:
    """The languages that the company adds to those of the product, with their messages."""
    for tag in company.languages:
        if tag not in shipped(folders[0]):
            yield tag, read(place(company.locales, tag))[0]


def of_language(tag: str) -> Locale:
    """The CLDR locale of a language itself. Raises UnknownLocaleError or ValueError."""
    return Locale.parse(tag, sep="-")


def _require_formats(tag: str, messages: Messages) -> None:
    """Raise ValueError if dates and numbers would be written as in another language."""
    name = messages.get("language.formats", (tag.replace("-", "_"),))[0]
    formats, language = Locale.parse(name), of_language(tag)
    same = (formats.language, formats.text_direction) == (
        language.language,
        language.text_direction,
    )
    if not same:
        raise ValueError(f"language.formats is {name}, want formats of {tag}, such as {language}")


def _misnamed(
    company: Company, tag: str, messages: Messages, ours: Mapping[str, Messages]
) -> Iterator[str]:
    """Whether the language has the name of another one, between which a reader cannot choose."""
    names = {other: _name(theirs) for other, theirs in ours.items()}
    for other in company.languages:
        with suppress(LanguageError):  # that language has a fault of its own
            if other not in {tag, *ours}:
                names[other] = _name(read(place(company.locales, other))[0])
    for other, name in names.items():
        if name and name == _name(messages):
            yield f"language.name is {name!r}, which is the name of {other}: write its own"


def _name(messages: Messages) -> str:
    return messages.get("language.name", ("",))[0].strip().casefold()


def strange(folders: Sequence[Path], company: Company) -> Iterator[str]:
    """What a company's folder of languages has and nobody reads. `folders`: all that are read."""
    wanted: Messages | None = None
    for path in sorted(company.locales.glob("*")):
        tag = path.name.replace("_", "-")
        if not (path / FILE).is_file() or not LANGUAGE.fullmatch(tag):
            yield f"{path}: want a language, such as {place(company.locales, 'fr')}"
        elif tag in shipped(folders[0]):
            yield f"{path}: the product has {tag}: remove this folder"
        elif tag not in company.languages:
            yield f"{path}: add {tag!r} to languages in company.toml, or remove this folder"
        else:
            wanted = wanted or _english(folders)
            with suppress(LanguageError):  # a file that cannot be read is named by `missing`
                for key in read(path / FILE)[0].keys() - wanted.keys():
                    yield f"{path / FILE}: message {key!r} is none of the product's: remove it"


def _wrong_facts(forms: Sequence[str], wanted: Sequence[str]) -> str:
    """Why forms cannot be filled in where the wanted ones can; empty: they can."""
    facts = {name for form in wanted for name in _facts(form)}
    try:
        strange = {name for form in forms for name in _facts(form)} - facts
    except ValueError as error:
        return f"cannot be read: {error}"
    return f"fills in {sorted(strange)}, want {sorted(facts)}" if strange else ""


def _facts(form: str) -> Iterator[str]:
    return (name for _, name, _, _ in Formatter().parse(form) if name is not None)


def read(path: Path) -> tuple[Messages, Callable[[int], int]]:
    """The messages of one file, and its choice of plural forms. Raises LanguageError."""
    try:
        with path.open("rb") as lines:
            catalog = read_po(lines, locale=path.parents[1].name, abort_invalid=True)
        plural = c2py(catalog.plural_expr)
    except (OSError, ValueError, PoFileError, UnknownLocaleError) as error:
        raise LanguageError(f"{path}: cannot be read as a gettext file: {error}") from error
    folder = path.parents[1].name
    if catalog.locale_identifier not in {None, folder}:
        stated = catalog.locale_identifier
        raise LanguageError(f"{path}: its header says Language: {stated}, want {folder}")
    messages = {}
    for each in catalog:
        if each.id:
            forms = (each.string,) if isinstance(each.string, str) else (*(each.string or ()),)
            if all(form.strip() for form in forms):
                messages[each.id if isinstance(each.id, str) else each.id[0]] = forms
    return messages, plural


@cache
def _load(
    folders: tuple[Path, ...], tags: tuple[str, ...], own: Path | None
) -> Mapping[str, Catalogue]:
    return {tag: _catalogue(folders, tag, own) for tag in tags}


def _catalogue(folders: tuple[Path, ...], tag: str, own: Path | None) -> Catalogue:
    files = tuple(place(each, tag) for each in folders)
    if not files[0].is_file() and own is not None:
        return _read_all(tag, (place(own, tag),))
    return _of_product(tag, files)


@cache
def _of_product(tag: str, files: tuple[Path, ...]) -> Catalogue:
    """A language of the product, which every company shares."""
    return _read_all(tag, files)


def _read_all(tag: str, files: Iterable[Path]) -> Catalogue:
    first, *others = [read(each) for each in files]
    messages = {key: forms for each, _ in (first, *others) for key, forms in each.items()}
    return Catalogue(tag, messages, first[1])


def _english(folders: Iterable[Path]) -> Messages:
    """Every message that a language must have, in English."""
    return _of_product(ENGLISH, tuple(place(each, ENGLISH) for each in folders)).messages
