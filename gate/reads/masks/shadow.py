"""A text in plain small letters, sign by sign, so that one pattern finds all ways to write a thing.

    "（０１７０）ｏʼＭüller"  is looked for in  "(0170)o'muller"

Both have the same length, so a place in the one is the place in the other.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

HAN = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"  # and kana and hangul: written without spaces
MASKED = "\0"  # stands for each sign that is masked already
_NO_WIDTH = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
_WIDE: dict[int, int | None] = {  # digits, letters and signs of full width, to plain ones
    wide: wide - 0xFEE0
    for wide in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF5B), 0xFF20, 0xFF0B, 0xFF0E, 0xFF0D)
}
_NO_NUMBER = re.compile(
    r"""(?<![0-9.])(?:[0-9]{1,2}[.\-/][0-9]{1,2}[.\-/](?:19|20)[0-9]{2}  # a date
      | (?:19|20)[0-9]{2}[.\-/][0-9]{1,2}[.\-/][0-9]{1,2}
      | (?:1?[0-9]{1,2}|2[0-5][0-9])(?:\.(?:1?[0-9]{1,2}|2[0-5][0-9])){3}  # an address: IPv4
      | -?[0-9]{1,3}\.[0-9]{4,}[ ]*,[ ]*-?[0-9]{1,3}\.[0-9]{4,}  # coordinates
    )(?![0-9]|\.[0-9])
      | (?<![0-9:])[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?(?![0-9])  # a time""",
    re.VERBOSE,
)
_PLAIN = _WIDE | _NO_WIDTH
_NOT_DECOMPOSED = dict(zip("łøđıħŧ", "lodiht", strict=True))  # letters whose stroke is no accent
_APOSTROPHES = "'’‘ʼ´`＇"


def plain(text: str) -> str:
    """Composed (NFC), with plain letters and digits for wide ones, without what has no width."""
    return unicodedata.normalize("NFC", text.translate(_PLAIN))


def of(text: str) -> str:
    """The shadow of a text that is plain."""
    return "".join(map(_sign, text))


@lru_cache(maxsize=65_536)
def _sign(sign: str) -> str:
    if sign.isascii():
        return " " if sign.isspace() and sign != "\n" else sign.lower()
    if sign in _APOSTROPHES:
        return "'"
    category = unicodedata.category(sign)
    if category == "Zs":
        return " "
    if category == "Pd" or sign == "\u2212":
        return "-"
    return _letter(sign)


def _letter(sign: str) -> str:
    """Without its accents; a sign that stands for several, such as a ligature, as it is."""
    if re.match(rf"[{HAN}]", sign):
        return sign
    apart = unicodedata.normalize("NFKD", sign)
    small = apart[0].lower()
    if len(small) != 1 or not all(map(unicodedata.combining, apart[1:])):
        return sign
    return _NOT_DECOMPOSED.get(small, small)


class Shadow:
    """A plain text, its shadow, and what of it is masked so far."""

    def __init__(self, text: str, labels: "re.Pattern[str]") -> None:
        """`labels` finds the labels of earlier masking, which are left as they are."""
        self.letters = of(text)
        self._text = text
        self._masks: list[tuple[int, int, str]] = []
        self._hide([match.span() for match in labels.finditer(text)])

    def mask(self, spans: Iterable[tuple[int, int, str]]) -> None:
        """Mask [begin, end) of each under its label. Those that overlap are masked as one, under
        the label that begins first: what belongs to which nobody can say, and all of it is hidden.
        """
        merged: list[tuple[int, int, str]] = []
        for begin, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
            if merged and begin < merged[-1][1]:
                first, last, name = merged[-1]
                merged[-1] = first, max(end, last), name
            else:
                merged.append((begin, end, label))
        self._masks += merged
        self._hide([(begin, end) for begin, end, _ in merged])

    def figures(self) -> str:
        """The letters, without what is a date, a time, an address (IPv4) or coordinates: its
        figures are part of no number beside it."""
        return _NO_NUMBER.sub(lambda match: MASKED * len(match.group()), self.letters)

    def may_be_name(self, begin: int, end: int) -> bool:
        """Whether each word there has a capital letter, or the text has none at all."""
        words = re.findall(r"[^\W\d_][\w']*", self._text[begin:end])
        return not any(word[0].islower() for word in words) or self._text.islower()

    def _hide(self, spans: Sequence[tuple[int, int]]) -> None:
        parts, last = [], 0
        for begin, end in spans:
            parts += [self.letters[last:begin], MASKED * (end - begin)]
            last = end
        self.letters = "".join([*parts, self.letters[last:]])

    def masked(self) -> str:
        """The text with labels for what was masked."""
        parts, last = [], 0
        for begin, end, label in sorted(self._masks):
            parts += [self._text[last:begin], label]
            last = end
        return "".join([*parts, self._text[last:]])
