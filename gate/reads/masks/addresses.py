"""A customer's own addresses and numbers with letters, in the variants in which people write them.

Hauptstraße 5b, 10115 Berlin   Hauptstr. 5b · HAUPTSTRASSE · Hauptstraße Nr. 5 b
221B Baker Street              Baker St. · 221 Baker Street
Calle de Alcalá 45, 3º izq     C/ Alcalá 45 · Alcalá 45
北京市朝阳区建国路88号              建国路 · 建国路88
C-104-2882                     c 104 2882 · C1042882
"""

import re
from collections.abc import Iterator, Sequence

from gate.reads.masks.shadow import HAN, of
from gate.reads.masks.spelling import BETWEEN, Form, spelled, squeezed

LEAST_LINE = 2  # letters of a line of an address
LEAST_STREET = 6  # letters of a street's name that is masked without its number
LEAST_HAN_STREET = 3  # signs, of a Chinese one
POSTCODE = 4  # no house has more figures in its number
_TYPES = {  # words of addresses, in small letters without accents
    "avenida": "av(?:enida|da)?",
    "avenue": "ave?(?:nue)?",
    "boulevard": "(?:boulevard|blvd)",
    "calle": "c(?:l|alle)?",
    "drive": "dr(?:ive)?",
    "lane": "l(?:ane|n)",
    "paseo": "p(?:ase)?o",
    "place": "pl(?:ace)?",
    "court": "c(?:our)?t",
    "terrace": "ter(?:r(?:ace)?)?",
    "gardens": "(?:gardens|gdns)",
    "carretera": "(?:carretera|ctra)",
    "platz": "pl(?:atz)?",
    "plaza": "p(?:l|z|za|lza|laza)",
    "road": "r(?:oa)?d",
    "square": "sq(?:uare)?",
    "street": "st(?:reet)?",
}
_STREET = re.compile(r"str(?:a(?:ss|ß)e)?\Z")
_OPTIONAL = {"de", "del", "la", "las", "los", "el", "the"}  # that people leave out of a street
_UNITS = {  # words of a line that is no street
    *("apartment", "apt", "flat", "floor", "suite", "unit", "room", "wohnung", "stock", "etage"),
    *("piso", "planta", "puerta", "escalera", "bloque", "portal", "hinterhaus", "postfach", "box"),
}
_RUNS = re.compile(rf"[0-9]+|[{HAN}]+|(?:(?![0-9{HAN}])[^\W_])+")
_NUMBER_SIGN = r"(?:(?:hausnummer|hausnr|numero|number|num|nr|no|nº|n°)\.?\s?)"
_HOUSE = re.compile(  # the number of a house, with its letter, in a line's shadow
    rf"(?<![^\W_]){_NUMBER_SIGN}?(?P<number>[0-9]{{1,{POSTCODE}}})"
    r"(?:\s?[a-z](?![^\W_])|\s?[\-/+]\s?[0-9]{1,4}\s?[a-z]?)*(?![^\W_])"
)
_HAN_PARTS = re.compile(r"[省市区區县縣镇鎮乡鄉,，、;\s]")
_HAN_STREET = re.compile(
    rf"(?P<street>[{HAN}]{{1,8}}?(?:大街|大道|胡同|路|街|道|巷|弄))(?P<number>[0-9]*)"
)


def forms(value: str) -> Iterator[Form]:
    """In one, by line, and the street with and without the number of the house."""
    runs = _RUNS.findall(value)
    yield _joined(runs) if re.search(r"\s", value) else _regrouped(runs)
    starts = [match.end() for match in re.finditer(r"[省市区區县縣镇鎮]", value)]
    lines = [line for line in re.split(r"[,;，、\n]", value) if line.strip()]
    lines += [value[start:] for start in starts]
    for line in lines if len(lines) > 1 else ():
        runs = _RUNS.findall(line)
        letters = sum(len(run) for run in runs if not run.isdecimal())
        if any(map(str.isdecimal, runs)) and letters >= LEAST_LINE:
            yield _joined(runs)
    yield from _han_streets(value)
    for line in lines if re.search(r"\s", value) else ():
        yield from _streets(line)


def _streets(line: str) -> Iterator[Form]:
    """The street of a line in which a house has a number, whether that is written or not."""
    letters = of(line)
    house = _HOUSE.search(letters)
    if house is None:
        return
    behind = re.split(rf"[0-9]|{_NUMBER_SIGN}(?=[0-9])", line[house.end() :])[0]
    words = _RUNS.findall(line[: house.start()]) or _to_type(_RUNS.findall(behind))
    if not words or any(run.isdecimal() for run in words) or of(words[0]) in _UNITS:
        return
    number = house["number"]
    before = rf"(?:{number}(?:\s?[a-z])?{BETWEEN})?"
    after = rf"{number}(?:\s?[a-z])?"
    last = rf"(?:{BETWEEN}{_NUMBER_SIGN}?{after})"
    needle = _needle(words)
    if len("".join(words)) >= LEAST_STREET:
        yield Form(f"{before}{_in_words(words)}\\.?{last}?", needle)
    elif needle:
        yield Form(f"{_in_words(words)}{last}", needle)
        yield Form(f"{number}(?:\\s?[a-z])?{BETWEEN}{_in_words(words)}", needle)
    own = words[1:]
    while own and of(own[0]) in _OPTIONAL:
        own = own[1:]
    if own and _type(of(words[0])):  # as in Spain: without the word for its type
        yield Form(f"{_in_words(own)}{last}", _needle(own))


def _to_type(words: Sequence[str]) -> Sequence[str]:
    """The street of a line that begins with a number: a place may follow in the same line."""
    ends = [at for at, word in enumerate(words) if at and _type(of(word))]
    return words[: ends[0] + 1] if ends else words


def _in_words(words: Sequence[str]) -> str:
    pattern = ""
    for at, word in enumerate(words):
        between = BETWEEN if at < len(words) - 1 else ""
        if of(word) in _OPTIONAL and between:
            pattern += rf"(?:{_of_address(word)}{between})?"
        else:
            pattern += _of_address(word) + between
    return pattern


def _han_streets(value: str) -> Iterator[Form]:
    for part in _HAN_PARTS.split(value):
        found = _HAN_STREET.match(part)
        if found and len(found["street"]) >= LEAST_HAN_STREET:
            street = r"\s?".join(found["street"])
            number = found["number"]
            last = rf"(?:\s?{number}\s?[号號]?)?" if number else ""
            yield Form(street + last, squeezed(of(found["street"])))


def _regrouped(runs: Sequence[str]) -> Form:
    """A number of letters and figures, in whatever groups."""
    plain = "".join(runs)
    return Form(BETWEEN.join(map(re.escape, of(plain))), squeezed(of(plain)))


def _joined(runs: Sequence[str]) -> Form:
    return Form(BETWEEN.join(map(_of_address, runs)), _needle(runs))


def _needle(runs: Sequence[str]) -> str:
    """What no way to write them is without."""
    needles = []
    for run in runs:
        letters = of(run)
        if _type(letters) is None and letters not in _OPTIONAL:
            needles.append(squeezed(_STREET.sub("", letters)))
    return max(needles, key=len, default="")


def _of_address(run: str) -> str:
    letters = of(run)
    if abbreviated := _type(letters):
        return abbreviated
    if street := _STREET.search(letters):
        return rf"{spelled(run[: street.start()])}\s?str(?:a(?:ss|ß)e)?"
    return r"\s?".join(letters) if re.fullmatch(rf"[{HAN}]+", run) else spelled(run)


def _type(letters: str) -> str | None:
    """A pattern for a word such as street, whichever way it is written."""
    return next((each for each in _TYPES.values() if re.fullmatch(each, letters)), None)
