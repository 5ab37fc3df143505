"""Numbers that a check proves: bank accounts, payment cards and national ids.

A check of one figure in ten or eleven proves little about a run of figures alone. Such a number
counts if it is written in its own groups, or with its name before it.
"""

import re
from collections.abc import Callable, Iterator
from operator import mul
from typing import NamedTuple

from gate.reads.masks.shadow import Shadow

CARD, IDENTITY, ACCOUNT = "[card]", "[id]", "[account]"
_GAP = r"[ .\-/]{0,3}"  # between figures; " - " is three
_BROKEN = r"[0-9]{3}(?:[ \-]?[0-9]{4}){0,2}[ \-]?\n ?[0-9]{4}(?:[ \-]?[0-9]{4}){0,2}"
_BROKEN_ACCOUNT = r"[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){0,7} ?\n ?(?:[a-z0-9]{4} ?){0,7}[a-z0-9]{1,4}"
_LUHN_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")  # twice a figure, its figures added
_RESIDENT_WEIGHTS = tuple(2**power % 11 for power in range(17, 0, -1))
_SEPARATORS = dict.fromkeys(map(ord, " .-/\n"))
RESIDENT_FIGURES = 18
TAXPAYER_VARIETY = (8, 9)  # how many different figures the first ten have
_NAME_REACH = 32  # how many signs before a number its name may begin
_WHOLE = "(?<![a-z0-9])"
_NAMES = ("nhs", "ssn", "dni", "nie", "iban", "nino", "idnr")  # written also without a space
_AFTER_NAME = "(?:" + "|".join(rf"(?<=\b{name})" for name in _NAMES) + ")"
_NAMED = re.compile(rf"\b(?:{'|'.join(_NAMES)})[a-z]{{0,2}}[0-9]")
_INSURED = "(?!bg|gb|kn|nk|nt|tn|zz)[abceghj-prstw-z][abceghj-nprstw-z]"  # its letters, after HMRC
_ISSUED = re.compile(  # beginnings and lengths that issuers of cards have, after ISO/IEC 7812
    r"""1[0-9]{14}                    # airlines: UATP
      | 2[2-7][0-9]{13,17}            # Mastercard, Mir
      | [3-6][0-9]{12,18}             # American Express, Visa, Maestro, UnionPay and the others
      | [89][0-9]{15,18}              # RuPay, UnionPay, Humo; national ones such as Troy, Napas
    """,
    re.VERBOSE,
)


class Kind(NamedTuple):
    """A shape in a shadow, and what proves a number of it, without its separators."""

    label: str
    least: int  # letters and figures of the shortest
    shape: "re.Pattern[str]"
    proves: Callable[[str], bool]
    name: "re.Pattern[str] | None" = None  # one that has to stand before it


def hide(shadow: Shadow) -> None:
    """Mask the numbers of each kind."""
    if any(map(str.isdigit, shadow.letters)):
        dated = _found(shadow.letters, DATED)  # before dates are left out
        shadow.mask((*span, DATED.label) for span in dated)
        named = NAMED if _NAMED.search(shadow.letters) else ()
        # an account may have what looks like another's
        for kinds in (KINDS[:1], (*KINDS[1:], *named)):
            letters = shadow.figures()
            shadow.mask((*span, kind.label) for kind in kinds for span in _found(letters, kind))


def _found(letters: str, kind: Kind) -> Iterator[tuple[int, int]]:
    """A match can begin or end with figures beside the number, so each of its ends is tried,
    longest first, and then the next beginning. A number ends where its figures do."""
    match = kind.shape.search(letters)
    while match:
        begin = match.start()
        end = _end(letters, match, kind)
        if end is not None:
            yield begin, end
        match = kind.shape.search(letters, end or begin + 1)


def _end(letters: str, match: "re.Match[str]", kind: Kind) -> int | None:
    begin, end = match.span()
    before = letters[max(0, begin - _NAME_REACH) : begin]
    if kind.name is not None and not kind.name.search(before):
        return None
    number = match.group().translate(_SEPARATORS)
    while len(number) >= kind.least:
        if _ends(letters, end) and kind.proves(number):
            return end
        end -= 1
        while not letters[end - 1].isalnum():
            end -= 1
        number = number[:-1]
    return None


def _ends(letters: str, end: int) -> bool:
    """Whether letters and digits end there."""
    following = letters[end : end + 1]
    return letters[end - 1].isalnum() and not (following.isascii() and following.isalnum())


def _is_account(number: str) -> bool:
    """By its length and check alone: tables of banks are never complete."""
    if int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 != 1:
        return False
    from stdnum import iban

    return bool(iban.is_valid(number, check_country=False))


def _is_card(number: str) -> bool:
    """Whether an issuer may give numbers of this beginning and length, and the check is right."""
    if _ISSUED.fullmatch(number) is None:
        return False
    figures = number[::-1].encode()
    total = sum(figures[::2]) + sum(figures[1::2].translate(_LUHN_DOUBLED))
    return (total - len(figures) * ord("0")) % 10 == 0


def _is_resident(number: str) -> bool:
    """GB 11643; the region and date are not looked up: regions were renamed since."""
    if len(number) != RESIDENT_FIGURES:
        return False
    last = 10 if number[-1] == "x" else int(number[-1])
    total: int = sum(map(mul, map(int, number[:-1]), _RESIDENT_WEIGHTS))
    return (total + last) % 11 == 1


def _is_taxpayer(number: str) -> bool:
    """Steuer-ID: of its first ten figures, one or two are missing, and the check is right."""
    return len({*number[:10]}) in TAXPAYER_VARIETY and _stdnum("de.idnr")(number)


def _stdnum(module: str) -> Callable[[str], bool]:
    """A check of python-stdnum, imported when it is first used."""

    def proves(number: str) -> bool:
        from importlib import import_module

        return bool(import_module(f"stdnum.{module}").is_valid(number.upper()))

    return proves


def _shape(pattern: str) -> "re.Pattern[str]":
    """A whole number: no letter or figure before it. See `_ends` for its end."""
    return re.compile(rf"{_WHOLE}{pattern}")


def _is_patient(number: str) -> bool:
    """A 1 before it is what North America dials: then it is a telephone number, and whole."""
    figures = [*map(int, number[-10:])]
    total: int = sum(map(mul, figures, range(10, 0, -1)))
    return total % 11 == 0


def _is_insured(number: str) -> bool:
    """By its form: it has no check."""
    return re.fullmatch(rf"{_INSURED}[0-9]{{6}}[a-d]", number) is not None


DATED = Kind(  # a resident id with the date of birth written as one
    IDENTITY,
    18,
    re.compile(
        r"(?<![0-9])[1-9][0-9]{5}[ .\-/]{0,3}(?:19|20)[0-9]{2}([.\-/])[0-9]{2}\1[0-9]{2}"
        r"[ .\-/]{0,3}[0-9]{3}[ .\-/]?[0-9x]"
    ),
    _is_resident,
)
KINDS = (
    Kind(
        ACCOUNT, 15, _shape(rf"[a-z]{{2}}{_GAP}[0-9]{{2}}(?:{_GAP}[a-z0-9]){{11,30}}"), _is_account
    ),
    Kind(
        IDENTITY,
        18,
        re.compile(rf"(?<![0-9])[1-9](?:{_GAP}[0-9]){{16}}{_GAP}[0-9x]"),
        _is_resident,
    ),
    Kind(CARD, 13, re.compile(rf"(?<![0-9])[1-689](?:{_GAP}[0-9]){{12,18}}"), _is_card),
    # Spain has the DNI, and the NIE for foreigners
    Kind(
        IDENTITY,
        9,
        _shape(rf"[0-9](?:{_GAP}[0-9]){{7}}{_GAP}[trwagmyfpdxbnjzsqvhlcke]"),
        _stdnum("es.dni"),
    ),
    Kind(IDENTITY, 9, _shape(rf"[xyz](?:{_GAP}[0-9]){{7}}{_GAP}[a-z]"), _stdnum("es.nie")),
    # Germany: Steuer-ID. One run of figures in 250 has its form, so it needs no name
    Kind(IDENTITY, 11, _shape(rf"[1-9](?:{_GAP}[0-9]){{10}}"), _is_taxpayer),
    # Britain: NHS number in its groups, or named; National Insurance number, a form alone
    Kind(IDENTITY, 10, _shape(r"(?:1[ .\-])?[0-9]{3}(?:[ .\-]{1,3}[0-9]{3}){2}[0-9]"), _is_patient),
    Kind(IDENTITY, 10, _shape(rf"[0-9](?:{_GAP}[0-9]){{9}}"), _is_patient, re.compile("nhs")),
    Kind(IDENTITY, 9, _shape(rf"{_INSURED}[0-9]{{6}}[a-d]"), _is_insured),
    Kind(
        IDENTITY,
        9,
        _shape(rf"{_INSURED}(?:[ .\-]{{1,3}}[0-9]{{2}}){{3}}[ .\-]{{1,3}}[a-d]"),
        _is_insured,
    ),
    # USA: social security number in its groups, a form alone. Numbers of advertisements, which the
    # library refuses, were somebody's
    Kind(
        IDENTITY,
        9,
        _shape(r"(?!000|666)[0-8][0-9]{2}[ \-](?!00)[0-9]{2}[ \-](?!0000)[0-9]{4}"),
        lambda _number: True,
    ),
    # in groups of four, broken once where a line ends
    Kind(CARD, 16, re.compile(rf"(?<![0-9])[1-689]{_BROKEN}"), _is_card),
    Kind(ACCOUNT, 15, _shape(_BROKEN_ACCOUNT), _is_account),
)
NAMED = tuple(  # the same, with the name just before it: a slower search
    kind._replace(shape=re.compile(_AFTER_NAME + kind.shape.pattern.removeprefix(_WHOLE)))
    for kind in KINDS
    if kind.shape.pattern.startswith(_WHOLE)
)
