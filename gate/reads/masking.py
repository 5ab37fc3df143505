"""Masks personal data in free text before it leaves the gate.

    "Hi, I'm Clara, call +44 7700 900417 or 4111 1111 1111 1111"
    "Hi, I'm [name], call [phone] or [card]"

It masks three kinds of data: the customer's own known values (name, addresses, numbers) in any
spacing, case, accents and form, numbers nationally and internationally; numbers with a valid check
(payment cards, bank accounts, Chinese resident ids); and values of an unmistakable form (e-mail
addresses, telephone numbers: international, and as REGIONS write them). It cannot promise to mask
everything: it does not recognise names of other people. Time is linear in the text's length.

What leaves is in Unicode's composed form (NFC), with plain letters and digits instead of wide ones,
and without characters that have no width.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

NAME, MAIL, PHONE, CARD, IDENTITY, ACCOUNT = (
    f"[{label}]" for label in ("name", "e-mail", "phone", "card", "id", "account")
)
REGIONS = ("CN", "GB", "US", "DE", "ES")  # whose national telephone numbers are recognised
LEAST_LATIN, LEAST_OTHER = 3, 2  # shorter parts of known values are not masked
_WIDE: dict[int, int | None] = {  # digits, letters and signs of full width, to plain ones
    wide: wide - 0xFEE0
    for wide in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF5B), 0xFF20, 0xFF0B, 0xFF0E, 0xFF0D)
}
_PLAIN = _WIDE | dict.fromkeys((0xAD, 0x200B, 0x2060, 0xFEFF))  # and what has no width, to nothing
_BETWEEN = r" .\-/\u00a0\u2007\u2009\u202f\u2010-\u2013"  # digits: spaces, dots and dashes
_GAP = rf"[{_BETWEEN}]?"
_HAN = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"  # and kana and hangul: written without spaces
_WORD = rf"(?![{_HAN}])[\w+%'&*=?^`{{|}}~!#$-]"
_MAIL = re.compile(
    rf'(?<![\w.+%-])(?<!")(?:"[^"\n]{{1,64}}+"|(?:{_WORD}|\.)++)'
    rf"@(?:(?![{_HAN}])[\w-])++(?:\.(?:(?![{_HAN}])[\w-])++)++"
    rf"|(?<=[{_HAN}])(?:{_WORD}|\.)++@(?:(?![{_HAN}])[\w-])++(?:\.(?:(?![{_HAN}])[\w-])++)++"
)
_CARD = re.compile(rf"(?<![0-9])[1-689](?:{_GAP}[0-9]){{12,18}}")
_ACCOUNT = re.compile(rf"(?<![A-Za-z0-9])[A-Za-z]{{2}}[0-9]{{2}}(?:{_GAP}[A-Za-z0-9]){{11,30}}")
_IDENTITY = re.compile(rf"(?<![0-9])[0-9]{{6}}{_GAP}[0-9]{{8}}{_GAP}[0-9]{{3}}[0-9Xx]")
_PHONE = re.compile(
    r"""(?<![0-9+])(?:
        (?:\+|00[ -]?)[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,4}\)?){2,6}  # with a country code
      | 1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}           # Chinese mobile
      | 0[0-9]{2,3}[ -][0-9]{7,8}                       # Chinese landline
      | 0[0-9]{3,4}[ ][0-9]{3}[ ]?[0-9]{3,4}            # British
      | \(?[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4}   # North American
    )(?![0-9])""",
    re.VERBOSE,
)
_ISSUED = re.compile(  # beginnings and lengths that issuers of cards have, after ISO/IEC 7812
    r"""1[0-9]{14}                    # airlines: UATP
      | 2[2-7][0-9]{13,17}            # Mastercard, Mir
      | [3-6][0-9]{12,18}             # American Express, Visa, Maestro, UnionPay and the others
      | [89][0-9]{15,18}              # RuPay, UnionPay, Humo; national ones such as Troy, Napas
    """,
    re.VERBOSE,
)
_PARTS = re.compile(r"[^\W_]+")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_CHECKS = "10X98765432"


def mask(text: str, known: Sequence[object] = ()) -> str:
    """The text with personal data replaced. `known`: the customer's own values to mask."""
    text = _MAIL.sub(MAIL, _plain(text))
    folded = _folded(text)
    for pattern, label in _known([str(each) for each in known if each is not None]):
        spans = [match.span() for match in pattern.finditer(folded)]
        text, folded = (_replaced(each, spans, label) for each in (text, folded))
    text = _proven(text, _ACCOUNT, _is_account, ACCOUNT)
    text = _proven(text, _IDENTITY, _is_resident, IDENTITY)
    text = _proven(text, _CARD, _is_card, CARD)
    return _PHONE.sub(PHONE, _replaced(text, _phones(text), PHONE))


def batches(incoming: Iterator[Any], free: Sequence[str], known: Sequence[str]) -> Iterator[Any]:
    """Mask the columns `free` of record batches, each row using its own columns `known`."""
    import pyarrow as pa

    for batch in incoming:
        masked = batch
        names = [batch[name].to_pylist() for name in known]
        whose = list(zip(*names, strict=True)) if names else [()] * batch.num_rows
        for field in free:
            texts = zip(batch[field].to_pylist(), whose, strict=True)
            values = [None if text is None else mask(text, row) for text, row in texts]
            place = batch.schema.get_field_index(field)
            masked = masked.set_column(
                place, batch.schema.field(field), pa.array(values, pa.string())
            )
        yield masked


def row(values: Mapping[str, Any], free: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """One customer's values, with those in `free` masked using those in `known`."""
    whose = [values.get(name) for name in known]
    return {
        name: mask(value, whose) if name in free and value is not None else value
        for name, value in values.items()
    }


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.translate(_PLAIN))


def _folded(text: str) -> str:
    """The text in small letters without accents, character by character."""
    return text if text.isascii() and text.islower() else "".join(map(_letter, text))


@lru_cache(maxsize=65_536)
def _letter(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0].lower()
    return base if len(base) == 1 and base.isalnum() else letter


def _replaced(text: str, spans: Sequence[tuple[int, int]], label: str) -> str:
    """The text with `label` instead of each span; spans rise and do not overlap."""
    ends = [0, *(end for _, end in spans)]
    begins = [*(begin for begin, _ in spans), len(text)]
    return label.join(text[end:begin] for end, begin in zip(ends, begins, strict=True))


def _proven(text: str, shape: "re.Pattern[str]", proves: Callable[[str], bool], label: str) -> str:
    """The text with `label` instead of each number of this shape whose check is right.

    A match can begin or end with figures beside the number, so each of its ends is tried, longest
    first, and then the next beginning. A number ends where its digits do.
    """
    spans: list[tuple[int, int]] = []
    match = shape.search(text)
    while match:
        begin = match.start()
        ends = (end for end in range(match.end(), begin, -1) if _ends(text, end))
        number = (end for end in ends if proves(re.sub(rf"[{_BETWEEN}]", "", text[begin:end])))
        if (end := next(number, None)) is not None:
            spans.append((begin, end))
        match = shape.search(text, end or begin + 1)
    return _replaced(text, spans, label)


def _ends(text: str, end: int) -> bool:
    """Whether letters and digits end there."""
    following = text[end : end + 1]
    return text[end - 1].isalnum() and not (following.isascii() and following.isalnum())


def _phones(text: str) -> list[tuple[int, int]]:
    """Where telephone numbers stand that their country's plan has, merged where they overlap."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    spans: list[tuple[int, int]] = []
    found = (
        (each.start, each.end)
        for region in REGIONS
        for each in PhoneNumberMatcher(text, region, Leniency.VALID, max_tries=len(text))
    )
    for begin, end in sorted(found) if any(map(str.isdigit, text)) else ():
        if spans and begin < spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((begin, end))
    return spans


def _known(values: Sequence[str]) -> Iterator[tuple["re.Pattern[str]", str]]:
    """Patterns for a customer's known values, longest first, with their replacements.

    They match in what `_folded` makes of a text.
    """
    forms = dict(chain.from_iterable(_forms(_folded(_plain(value).strip())) for value in values))
    ordered = sorted(forms.items(), key=lambda each: -len(each[0]))
    return ((re.compile(pattern), label) for pattern, label in ordered)


def _forms(value: str) -> Iterator[tuple[str, str]]:
    """Patterns for the ways in which a value can be written in a text."""
    digits = re.sub(rf"[(){_BETWEEN}]", "", value)
    if "@" in value:
        yield _bounded(re.escape(value)), MAIL
    elif re.fullmatch(r"\+?[0-9]{6,18}", digits):
        yield _number(digits), PHONE
    elif _long_enough(value):
        yield _bounded(r"\s+".join(re.escape(part) for part in value.split())), NAME
        for part in _PARTS.findall(value):
            if _long_enough(part) and not part.isdecimal():
                yield _bounded(re.escape(part)), NAME


def _number(digits: str) -> str:
    """A pattern for a telephone number as it is dialled at home and from abroad."""
    between = rf"[(){_BETWEEN}]{{0,3}}"
    country, national = _split(digits)
    own = between.join(national.lstrip("0") or national)
    code = between.join(country) if country else "[0-9]{1,3}"
    abroad = rf"(?:(?:\+|00){between}{code}{between})?"
    return rf"(?<![0-9])(?:{abroad}(?:0{between})?|\+?){own}(?![0-9])"


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


def _long_enough(part: str) -> bool:
    return len(part) >= (LEAST_LATIN if part.isascii() else LEAST_OTHER)


def _bounded(pattern: str) -> str:
    """Match whole words only, except in Chinese, which has no spaces between words."""
    return rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"


def _is_account(number: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(number))


def _is_card(number: str) -> bool:
    """Whether an issuer may give numbers of this beginning and length, and the check is right."""
    from stdnum import luhn

    return _ISSUED.fullmatch(number) is not None and bool(luhn.is_valid(number))


def _is_resident(number: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    return _CHECKS[total % 11] == number[17].upper()
