"""Masks personal data in free text, Chinese and English, before it leaves the gate.

    "Hi, I'm Clara, call +44 7700 900417 or 4111 1111 1111 1111"
    "Hi, I'm [name], call [phone] or [card]"

It masks three kinds of data: the customer's own known values (name, addresses, numbers) in any
spacing and case; numbers with a valid checksum (payment cards, Chinese resident ids); and values of
an unmistakable form (e-mail addresses, telephone numbers). It cannot promise to mask everything: it
does not recognise names of other people. Every pattern runs in time linear in the text's length.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

NAME, MAIL, PHONE, CARD, IDENTITY = "[name]", "[e-mail]", "[phone]", "[card]", "[id]"
LEAST_LATIN, LEAST_OTHER = 3, 2  # shorter parts of known values are not masked
_WIDE = {  # digits, letters and signs of full width, as they are typed in Chinese, to plain ones
    wide: wide - 0xFEE0
    for wide in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF5B), 0xFF20, 0xFF0B, 0xFF0E, 0xFF0D)
}
_MAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]++@[a-z0-9-]++(?:\.[a-z0-9-]++)++", re.ASCII | re.IGNORECASE
)
_DIGITS = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_IDENTITY = re.compile(r"(?<![0-9])[0-9]{17}[0-9Xx](?![0-9A-Za-z])")
_PHONE = re.compile(
    r"""(?<![0-9+])(?:
        \+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,4}\)?){2,6}     # with a country code
      | 1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}           # Chinese mobile
      | 0[0-9]{2,3}[ -][0-9]{7,8}                       # Chinese landline
      | 0[0-9]{3,4}[ ][0-9]{3}[ ]?[0-9]{3,4}            # British
      | \(?[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4}   # North American
    )(?![0-9])""",
    re.VERBOSE,
)
_PARTS = re.compile(r"[^\W_]+")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_CHECKS = "10X98765432"


def mask(text: str, known: Sequence[object] = ()) -> str:
    """The text with personal data replaced. `known`: the customer's own values to mask."""
    text = _MAIL.sub(MAIL, text.translate(_WIDE))
    for pattern, label in _known([str(each) for each in known if each is not None]):
        text = pattern.sub(label, text)
    text = _IDENTITY.sub(lambda match: IDENTITY if _resident(match[0]) else match[0], text)
    text = _DIGITS.sub(lambda match: CARD if _luhn(match[0]) else match[0], text)
    return _PHONE.sub(PHONE, text)


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


def _known(values: Sequence[str]) -> Iterator[tuple["re.Pattern[str]", str]]:
    """Patterns for a customer's known values, longest first, with their replacements."""
    forms = dict(chain.from_iterable(_forms(value.translate(_WIDE).strip()) for value in values))
    ordered = sorted(forms.items(), key=lambda each: -len(each[0]))
    return ((re.compile(pattern, re.IGNORECASE), label) for pattern, label in ordered)


def _forms(value: str) -> Iterator[tuple[str, str]]:
    """Patterns for the ways in which a value can be written in a text."""
    digits = re.sub(r"[ ().-]", "", value)
    if "@" in value:
        yield _bounded(re.escape(value)), MAIL
    elif re.fullmatch(r"\+?[0-9]{6,18}", digits):
        yield r"(?<![0-9])\+?" + r"[ ().-]{0,2}".join(digits.lstrip("+")) + r"(?![0-9])", PHONE
    elif _long_enough(value):
        yield _bounded(r"\s+".join(re.escape(part) for part in value.split())), NAME
        for part in _PARTS.findall(value):
            if _long_enough(part) and not part.isdecimal():
                yield _bounded(re.escape(part)), NAME


def _long_enough(part: str) -> bool:
    return len(part) >= (LEAST_LATIN if part.isascii() else LEAST_OTHER)


def _bounded(pattern: str) -> str:
    """Match whole words only, except in Chinese, which has no spaces between words."""
    return rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"


def _luhn(text: str) -> bool:
    digits = [int(each) for each in text if each.isdecimal()]
    doubled = [sum(divmod(2 * each, 10)) for each in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _resident(text: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _WEIGHTS, strict=True))
    return _CHECKS[total % 11] == text[17].upper()
