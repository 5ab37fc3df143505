"""Where a customer's own values stand in a text, in the variants in which people write them.

Jürgen von der Heide   JUERGEN VON DER HEIDE · von der Heide, Jürgen · J. von der Heide · Heide's
王小明                  王 小明 · 小明
+49 170 5550100        0170/5550100 · 0049 (0)170 555 0100
C-104-2882             c 104 2882 · C1042882
Hauptstraße 12, 10115 Berlin   Hauptstr. 12 · HAUPTSTRASSE 12 10115 BERLIN
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gate.reads.masks.shadow import HAN, Shadow, of, plain
from gate.reads.masks.telephones import REGIONS

NAME, MAIL, PHONE = "[name]", "[e-mail]", "[phone]"
LEAST_LATIN, LEAST_OTHER = 3, 2  # shorter parts of known values are not masked
LEAST_STREET = 6  # letters of a street's name that is masked without its number
MAX_WORDS = 7  # in a name whose words are also looked for in another order
# Words of names that are no names, and are words of the language
PARTICLES = {
    *("and", "da", "das", "de", "del", "della", "den", "der", "des", "di", "do", "dos", "du", "el"),
    *("la", "las", "le", "los", "san", "ter", "the", "und", "van", "vom", "von", "y", "zu", "zum"),
    "zur",
}
COMPOUND_FAMILIES = {
    *("欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "宇文"),
    *("长孙", "司徒", "夏侯", "轩辕", "南宫", "端木", "百里", "独孤"),
    *("歐陽", "司馬", "諸葛", "長孫", "東方"),
}
LEAST_TWO_FAMILIES = 4  # signs of a Chinese name that can have two families, when married
POSTCODE = 4  # no house has more figures in its number
_ABBREVIATED = {  # words of addresses, in small letters without accents
    "avenida": "av(?:enida|da)?",
    "avenue": "ave?(?:nue)?",
    "boulevard": "(?:boulevard|blvd)",
    "calle": "c(?:alle)?",
    "drive": "dr(?:ive)?",
    "lane": "l(?:ane|n)",
    "paseo": "p(?:ase)?o",
    "platz": "pl(?:atz)?",
    "plaza": "p(?:l|za|lza|laza)",
    "road": "r(?:oa)?d",
    "square": "sq(?:uare)?",
    "street": "st(?:reet)?",
}
_SPELLED = {  # letters that are also written as two, in the shadow and composed
    "ä": "ae?",
    "ö": "oe?",
    "ü": "ue?",
    "ß": "(?:ß|ss?)",
    "æ": "(?:æ|ae?)",
    "œ": "(?:œ|oe?)",
    "ø": "oe?",
    "å": "aa?",
    "þ": "(?:þ|th)",
    "ð": "(?:ð|d)",
}
_TWO = {"ss": "(?:ss|ß)", "ae": "(?:ae?|æ)", "oe": "(?:oe?|œ)", "ue": "ue?"}
_BETWEEN = r"[\s.,;'·/_\-]{0,4}"  # the words of a name, and the parts of an address or a number
_MIDDLE = rf"{_BETWEEN}(?:(?<![a-z0-9])[a-z]\.?{_BETWEEN})?"  # words, and an initial between them
_PHONE_SIGNS = r"[ ().\-/]"
_BEFORE, _AFTER = rf"(?<![^\W_{HAN}])", rf"(?![^\W_{HAN}])"  # whole words, but in Chinese
_PARTS = re.compile(r"[^\W_]+")
_RUNS = re.compile(rf"[0-9]+|[{HAN}]+|(?:(?![0-9{HAN}])[^\W_])+")
_OF_HAN = re.compile(rf"[{HAN}][{HAN}·\s]*[{HAN}]")
_SAME = str.maketrans({"ß": "s", "æ": "a", "œ": "o", "þ": "th", "ð": "d", "e": None})


class Form(NamedTuple):
    """One way to write a value: its pattern in a shadow, and what no match can be without."""

    pattern: str
    needle: str


def hide(shadow: Shadow, values: Sequence[str]) -> None:
    """Mask the values where they stand in a text."""
    squeezed = _squeezed(shadow.letters)
    found: list[tuple[int, int, str]] = []
    for value in {plain(each).strip() for each in values}:
        label, forms = _forms(value)
        patterns = {form.pattern for form in forms if form.needle in squeezed}
        if patterns:
            longest_first = "|".join(sorted(patterns, key=len, reverse=True))
            matches = re.finditer(f"{_BEFORE}(?:{longest_first}){_AFTER}", shadow.letters)
            found += ((*match.span(), label) for match in matches)
    shadow.mask(found)


def _squeezed(letters: str) -> str:
    """Letters and figures alone, spelled in the shortest way: to see which forms cannot match."""
    same = "".join(filter(str.isalnum, letters)).translate(_SAME)
    return re.sub(r"(.)\1+", r"\1", same)


def _forms(value: str) -> tuple[str, list[Form]]:
    letters = of(value)
    digits = re.sub(_PHONE_SIGNS, "", letters)
    if re.fullmatch(r"\S+@\S+", value):
        return MAIL, [_mail(value)]
    if re.fullmatch(r"\+?[0-9]{6,18}", digits):
        return PHONE, [_number(digits)]
    if not _long_enough(letters):
        return NAME, []
    if any(map(str.isdigit, letters)):
        return NAME, [*_coded(value)]
    if _OF_HAN.fullmatch(value):
        return NAME, [*_of_han(value)]
    return NAME, [*_name(value)]


def _mail(value: str) -> Form:
    local, _, domain = value.rpartition("@")
    return Form(rf"{_spelled(local)}\s{{0,2}}@\s{{0,2}}{_spelled(domain)}", _squeezed(of(value)))


def _number(digits: str) -> Form:
    """A telephone number as it is dialled at home and from abroad."""
    between = rf"{_PHONE_SIGNS}{{0,3}}"
    country, national = _split(digits)
    figures = national.lstrip("0") or national
    known = "|".join(between.join(each) for each in ([country] if country else _codes(national)))
    abroad = rf"(?:(?:\+|00){between}[0-9]{{1,3}}|(?:\+|00)?{between}(?:{known or '(?!)'}))"
    dialled = rf"(?:\(?{abroad}{between})?(?:\(?0{between})?\(?"
    return Form(f"{dialled}{between.join(figures)}", _squeezed(figures))


def _codes(national: str) -> list[str]:
    """The codes of the countries that may have such a number."""
    from phonenumbers import NumberParseException, country_code_for_region, is_valid_number, parse

    codes = []
    for region in REGIONS:
        try:
            if is_valid_number(parse(national, region)):
                codes.append(str(country_code_for_region(region)))
        except NumberParseException:
            continue
    return codes


def _split(digits: str) -> tuple[str, str]:
    """The country's code, if the number has one, and the rest of the number."""
    from phonenumbers import NumberParseException, parse

    if not digits.startswith(("+", "00")):
        return "", digits
    whole = "+" + digits.lstrip("+").removeprefix("00")
    try:
        code = str(parse(whole).country_code)
    except NumberParseException:
        return "", whole[1:]
    return code, whole[1:].removeprefix(code)


def _coded(value: str) -> Iterator[Form]:
    """Numbers with letters, and addresses: in one, by line, and the street without its number."""
    runs = _RUNS.findall(value)
    yield _joined(runs) if re.search(r"\s", value) else _regrouped(runs)
    starts = [0, *(match.end() for match in re.finditer(r"[省市区县镇]", value))]
    lines = [line for line in re.split(r"[,;，、\n]", value) if line.strip()]
    lines += [value[start:] for start in starts[1:]]
    for line in lines if len(lines) > 1 else ():
        runs = _RUNS.findall(line)
        letters = sum(len(run) for run in runs if not run.isdecimal())
        if any(map(str.isdecimal, runs)) and letters >= LEAST_OTHER:
            yield _joined(runs)
    for line in lines if re.search(rf"[\s{HAN}]", value) else ():
        runs = _RUNS.findall(line)
        words = [run for run in runs if not run.isdecimal()]
        if (
            len(runs) - len(words) == 1
            and len("".join(words)) >= LEAST_STREET
            and not _postal(runs)
        ):
            yield _joined(words)


def _postal(runs: Sequence[str]) -> bool:
    return any(run.isdecimal() and len(run) > POSTCODE for run in runs)


def _regrouped(runs: Sequence[str]) -> Form:
    """A number of letters and figures, in whatever groups."""
    plain = "".join(runs)
    return Form(_BETWEEN.join(map(re.escape, of(plain))), _squeezed(of(plain)))


def _joined(runs: Sequence[str]) -> Form:
    needles = [_squeezed(of(run)) for run in runs if not _abbreviation(run)]
    return Form(_BETWEEN.join(map(_of_address, runs)), max(needles, key=len, default=""))


def _of_address(run: str) -> str:
    letters = of(run)
    if abbreviated := _ABBREVIATED.get(letters):
        return abbreviated
    if re.search(r"stra(?:ss|ß)e\Z", letters):
        return rf"{_spelled(letters[: letters.rindex('stra')])}str(?:a(?:ss|ß)e)?"
    return r"\s?".join(letters) if _OF_HAN.fullmatch(run) else _spelled(run)


def _abbreviation(run: str) -> bool:
    letters = of(run)
    return letters in _ABBREVIATED or bool(re.search(r"stra(?:ss|ß)e\Z", letters))


def _of_han(value: str) -> Iterator[Form]:
    """A Chinese name with spaces between its signs; the given name alone, if it has two."""
    signs = re.sub(r"[·\s]", "", value)
    family = 2 if signs[:2] in COMPOUND_FAMILIES else 1
    givens = {
        signs[family:],
        signs[2:] if len(signs) >= LEAST_TWO_FAMILIES else "",
    }  # two families, when married
    for part in {signs, *(each for each in givens if len(each) >= LEAST_OTHER)}:
        yield Form(r"[\s·]{0,2}".join(map(of, part)), _squeezed(of(part)))


def _name(value: str) -> Iterator[Form]:
    """A name in words: in order, turned, in part, with initials; with an s for what is theirs."""
    words = [word for word in re.split(r"[\s,;]+", value) if _PARTS.search(word)]
    runs = {tuple(words)}
    if len(words) <= MAX_WORDS:
        for at in range(1, len(words)):
            runs |= {tuple(words[at:] + words[:at]), tuple(words[at:]), tuple(words[:at])}
            yield from _with_initials(words[:at], words[at:])
    runs |= {(part,) for word in words for part in (word, *_PARTS.findall(word))}
    for run in runs:
        if len(run) == len(words) or any(map(_telling, run)):
            yield _of_words(run)


def _with_initials(given: Sequence[str], family: Sequence[str]) -> Iterator[Form]:
    if any(map(_telling, family)):
        first, *others = (rf"{re.escape(of(word)[:1])}\.?" for word in given)
        initials = first + "".join(rf"(?:\s?{each})?" for each in others)
        form = _of_words(family)
        yield Form(rf"{initials}\s?{form.pattern}", form.needle)
        yield Form(rf"{form.pattern}[\s,]{{1,2}}{initials}", form.needle)


def _of_words(words: Sequence[str]) -> Form:
    patterns = (r"['\-.·\s]{0,2}".join(map(_spelled, _PARTS.findall(word))) for word in words)
    needle = max((_squeezed(of(word)) for word in words), key=len)
    return Form(rf"{_MIDDLE.join(patterns)}(?:'?s)?", needle)


def _telling(word: str) -> bool:
    return _long_enough(word) and of(word) not in PARTICLES


def _spelled(text: str) -> str:
    """A pattern for the text in a shadow, with letters that may be written as two."""
    pattern, letters, at = "", of(text), 0
    while at < len(letters):
        two = _TWO.get(letters[at : at + 2])
        if two and text[at : at + 2].isascii():
            pattern, at = pattern + two, at + 2
        else:
            pattern += _SPELLED.get(text[at].lower()) or re.escape(letters[at])
            at += 1
    return pattern


def _long_enough(part: str) -> bool:
    return len(part) >= (LEAST_LATIN if part.isascii() else LEAST_OTHER)
