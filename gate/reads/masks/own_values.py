"""Where a customer's own values stand in a text, in the variants in which people write them.

Jürgen von der Heide   JUERGEN VON DER HEIDE · von der Heide, Jürgen · J. von der Heide · Heide's
王小明                  王 小明 · 小明
+49 170 5550100        0170/5550100 · 0049 (0)170 555 0100
C-104-2882             c 104 2882 · C1042882
Hauptstraße 12, 10115 Berlin   Hauptstr. 12 · HAUPTSTRASSE 12 10115 BERLIN
"""

import re
from collections.abc import Iterator, Sequence

from gate.reads.masks import addresses
from gate.reads.masks.common_words import COMMON_WORDS
from gate.reads.masks.shadow import HAN, Shadow, of, plain
from gate.reads.masks.spelling import BETWEEN, Form, spelled, squeezed
from gate.reads.masks.telephones import REGIONS

NAME, MAIL, PHONE = "[name]", "[e-mail]", "[phone]"
LEAST_LATIN, LEAST_OTHER = 3, 2  # shorter parts of known values are not masked
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
_MIDDLE = rf"{BETWEEN}(?:(?<![a-z0-9])[a-z]\.?{BETWEEN})?"  # words, and an initial between them
_PHONE_SIGNS = r"[ ().\-/]"
_BEFORE, _AFTER = rf"(?<![^\W_{HAN}])", rf"(?![^\W_{HAN}])"  # whole words, but in Chinese
_PARTS = re.compile(r"[^\W_]+")
_OF_HAN = re.compile(rf"[{HAN}][{HAN}·\s]*[{HAN}]")


def hide(shadow: Shadow, values: Sequence[str]) -> None:
    """Mask the values where they stand in a text."""
    short = squeezed(shadow.letters)
    found: list[tuple[int, int, str]] = []
    for value in {plain(each).strip() for each in values}:
        label, forms = _forms(value)
        present = dict.fromkeys(form for form in forms if form.needle in short)
        patterns = [form.pattern for form in present if not form.common]
        if patterns:
            found += ((*span, label) for span in _places(shadow, _one_of(value, patterns)))
        for form in present:
            spans = _places(shadow, form.pattern) if form.common else ()
            found += ((*span, label) for span in spans if shadow.may_be_name(*span))
    shadow.mask(found)


def _one_of(value: str, patterns: Sequence[str]) -> str:
    """Longest first; those of an address as they come, which is the whole before its parts."""
    if any(map(str.isdigit, value)):
        return "|".join(patterns)
    return "|".join(sorted(patterns, key=len, reverse=True))


def _places(shadow: Shadow, pattern: str) -> Iterator[tuple[int, int]]:
    matches = re.finditer(f"{_BEFORE}(?:{pattern}){_AFTER}", shadow.letters)
    return (match.span() for match in matches)


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
        return NAME, [*addresses.forms(value)]
    if _OF_HAN.fullmatch(value):
        return NAME, [*_of_han(value)]
    return NAME, [*_name(value)]


def _mail(value: str) -> Form:
    local, _, domain = value.rpartition("@")
    return Form(rf"{spelled(local)}\s{{0,2}}@\s{{0,2}}{spelled(domain)}", squeezed(of(value)))


def _number(digits: str) -> Form:
    """A telephone number as it is dialled at home and from abroad."""
    between = rf"{_PHONE_SIGNS}{{0,3}}"
    country, national = _split(digits)
    figures = national.lstrip("0") or national
    known = "|".join(between.join(each) for each in ([country] if country else _codes(national)))
    abroad = rf"(?:(?:\+|00){between}[0-9]{{1,3}}|(?:\+|00)?{between}(?:{known or '(?!)'}))"
    dialled = rf"(?:\(?{abroad}{between})?(?:\(?0{between})?\(?"
    return Form(f"{dialled}{between.join(figures)}", squeezed(figures))


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


def _of_han(value: str) -> Iterator[Form]:
    """A Chinese name with spaces between its signs; the given name alone, if it has two."""
    signs = re.sub(r"[·\s]", "", value)
    family = 2 if signs[:2] in COMPOUND_FAMILIES else 1
    givens = {
        signs[family:],
        signs[2:] if len(signs) >= LEAST_TWO_FAMILIES else "",
    }  # two families, when married
    for part in {signs, *(each for each in givens if len(each) >= LEAST_OTHER)}:
        yield Form(r"[\s·]{0,2}".join(map(of, part)), squeezed(of(part)))


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
        yield form._replace(pattern=rf"{initials}\s?{form.pattern}")
        yield form._replace(pattern=rf"{form.pattern}[\s,]{{1,2}}{initials}")


def _of_words(words: Sequence[str]) -> Form:
    patterns = (r"['\-.·\s]{0,2}".join(map(spelled, _PARTS.findall(word))) for word in words)
    needle = max((squeezed(of(word)) for word in words), key=len)
    common = all(of(word) in COMMON_WORDS for word in words)
    return Form(rf"{_MIDDLE.join(patterns)}(?:'?s)?", needle, common)


def _telling(word: str) -> bool:
    return _long_enough(word) and of(word) not in PARTICLES


def _long_enough(part: str) -> bool:
    return len(part) >= (LEAST_LATIN if part.isascii() else LEAST_OTHER)
