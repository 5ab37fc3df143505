"""Whether every price in a text is that of the product that its sentence names.

It errs on the side of a fault: each number that is not part of a product's name must be the price
of the one product in its sentence, written with its currency. Numbers in words are found only by
the word for the money beside them.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_SENTENCE = re.compile(r"(?<=[.!?;])\s+|[。！？；\n]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_FIRST_CJK = "\u3400"
_INVISIBLE = frozenset({"Cf", "Cc", "Mn", "Me"})


@dataclass(frozen=True, slots=True)
class Product:
    """`price`: a month, in US dollars, as it is written: "49.90"."""

    price: str
    names: tuple[str, ...]


def faults(text: str) -> tuple[str, ...]:
    """Why a person must look at the prices of a text; none: all are those of the table."""
    found = [each for s in _sentences(text) for each in _faults_of(s)]
    found += [f"{c!r}: a letter for a number" for c in text if unicodedata.category(c) == "Nl"]
    return tuple(dict.fromkeys(found))


def table() -> tuple[Product, ...]:
    return tuple(Product(each["price"], (*each["names"],)) for each in _file()["product"])


def listed() -> str:
    """The table as a prompt has it: one product a line."""
    return "\n".join(f"{' / '.join(e.names)}: ${e.price} a month" for e in table())


def _faults_of(sentence: str) -> Iterator[str]:
    named: list[Product] = []
    rest = sentence
    for product in table():
        without = _alternatives(product.names).sub(" ", rest)
        if without != rest:
            named, rest = [*named, product], without
    words = _file()["words"]
    priced = _written(named[0]).sub(" ", rest) if len(named) == 1 else rest
    if priced != rest and (period := _words(words["other_periods"]).search(priced)):
        yield f"{period[0]!r}: a price of the table is for a month"
    for number in _NUMBER.findall(priced):
        about = ", ".join(each.names[0] for each in named) or "no product"
        yield f"{number!r}: not a price of the table for {about}"
    if money := _words(words["money"]).search(priced):
        yield f"{money[0]!r}: without a price of the table"


def _sentences(text: str) -> Iterator[str]:
    """Full width becomes half width, and invisible characters go: they would hide a price."""
    plain = "".join(
        "\n" if c == "\n" else c
        for c in unicodedata.normalize("NFKC", text)
        if c == "\n" or unicodedata.category(c) not in _INVISIBLE
    )
    return iter(_SENTENCE.split(plain))


@cache
def _file() -> Any:
    return tomllib.loads((Path(__file__).parent / "products.toml").read_text("utf-8"))


@cache
def _written(product: Product) -> re.Pattern[str]:
    """How the product's price may be written."""
    words = _file()["words"]
    before, after = (
        "|".join(map(re.escape, sorted(words[each], key=len, reverse=True)))
        for each in ("before", "after")
    )
    amount = re.escape(product.price).replace(r"\.", "[.,]")
    start, end = r"(?<![\d.,$-])", r"(?![A-Za-z]|[.,]?\d)"
    return re.compile(
        rf"{start}(?:{before})\s?{amount}{end}|{start}{amount}\s?(?:{after}){end}", re.IGNORECASE
    )


@cache
def _alternatives(names: tuple[str, ...]) -> re.Pattern[str]:
    each = "|".join(re.escape(name).replace(r"\ ", r"\s*") for name in names)
    return re.compile(rf"(?<![0-9A-Za-z])(?:{each})(?![0-9A-Za-z])", re.IGNORECASE)


def _words(words: Sequence[str]) -> re.Pattern[str]:
    return _pattern(tuple(words))


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_word, words)), re.IGNORECASE)


def _word(word: str) -> str:
    """Words of Latin letters are whole words, `*` is any ending; others stand anywhere."""
    if not word[0].isalpha() or word[0] >= _FIRST_CJK:
        return re.escape(word)
    ending = "" if word.endswith("*") else r"(?![^\W\d_])"
    return rf"(?<![^\W\d_]){re.escape(word.rstrip('*'))}{ending}"
