"""What leaves of a free text (G29): own known values and telling forms are masked."""

import re
from collections.abc import Iterator, Sequence

_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_LONG = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")  # a card has 13 to 19 digits
_RESIDENT = re.compile(r"(?<![0-9])[0-9]{17}[0-9X](?![0-9A-Za-z])")
_PHONES = re.compile(r"\+[0-9]{1,3}(?: [0-9]{2,4}){2,4}|(?<![0-9])1[3-9][0-9]{9}(?![0-9])")
SHORTEST = 3  # letters of a known value that is masked, unless it is Chinese
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643


def masked(text: str, known: Sequence[str]) -> str:
    text = _MAIL.sub("[e-mail]", text)
    for part in sorted(_parts(known), key=len, reverse=True):
        alone = rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])"
        text = re.sub(alone, "[name]", text, flags=re.IGNORECASE)
    text = _RESIDENT.sub(lambda each: "[id]" if _is_resident(each[0]) else each[0], text)
    text = _LONG.sub(lambda each: "[card]" if _is_card(each[0]) else each[0], text)
    return _PHONES.sub("[phone]", text)


def _parts(known: Sequence[str]) -> Iterator[str]:
    """Known values whole, and their words: no figures alone."""
    for value in known:
        if len(value) >= SHORTEST:
            yield value
            words = re.findall(r"[^\W_]+", value)
            yield from (each for each in words if len(each) >= SHORTEST and not each.isdigit())


def _is_card(text: str) -> bool:
    """Luhn: every second digit from the right is doubled, and its digits are added."""
    digits = [int(each) for each in text if each.isdigit()][::-1]
    doubled = (sum(map(int, str(2 * each))) for each in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_resident(text: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(text, WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == text[-1]
