"""Telephone numbers by country, and the ways in which people write them."""

from random import Random
from typing import NamedTuple

from tests.gate.notes.identifiers import NARROW, NO_BREAK, WIDE, Written, figures

HARD_DASH = "\u2011"


class Number(NamedTuple):
    """A number in its parts: country code, trunk prefix, area or network, the rest in groups."""

    country: str
    code: str
    trunk: str
    area: str
    rest: tuple[str, ...]

    @property
    def international(self) -> str:
        return f"+{self.code}{self.area}{''.join(self.rest)}"


HOME = {"zh": ("CN",), "en": ("GB", "US"), "de": ("DE",), "es": ("ES",)}
ABROAD: dict[
    str, tuple[str, str, tuple[int, ...]]
] = {  # country code, network, groups of figures that follow, how many each
    "FR": ("33", "6", (2, 2, 2, 2)),
    "IT": ("39", "347", (3, 4)),
    "CH": ("41", "79", (3, 2, 2)),
    "AT": ("43", "664", (3, 4)),
    "PL": ("48", "512", (3, 3)),
    "NL": ("31", "6", (4, 4)),
    "JP": ("81", "90", (4, 4)),
    "AU": ("61", "412", (3, 3)),
    "HK": ("852", "9", (3, 4)),
    "SG": ("65", "9", (3, 4)),
    "IN": ("91", "98", (4, 4)),
    "BR": ("55", "119", (4, 4)),
    "MX": ("52", "55", (4, 4)),
    "TW": ("886", "912", (3, 3)),
}


PLANS: dict[
    str, list[tuple[str, tuple[str, ...], tuple[int, ...]]]
] = {  # by country, at home: trunk prefix, areas or networks, how many figures follow
    "CN": [
        ("", ("138", "139", "150", "158", "176", "186", "189", "199"), (4, 4)),
        ("", ("133", "137", "152", "166", "188", "198"), (4, 4)),
        ("0", ("10", "21", "20", "755", "571", "28", "512"), (4, 4)),
    ],
    "GB": [
        ("0", ("7700", "7911", "7456", "7520", "7871"), (3, 3)),
        ("0", ("161", "121", "113"), (3, 4)),
        ("0", ("20",), (4, 4)),
        ("0", ("1223", "1865"), (3, 3)),
    ],
    "US": [("", ("201", "212", "415", "617", "312", "604", "416"), (3, 4))],
    "DE": [
        ("0", ("160", "170", "171", "172", "175", "179"), (3, 4)),
        ("0", ("151", "176"), (3, 5)),
        ("0", ("30", "89", "40", "221", "69", "711", "6221"), (4, 4)),
        ("0", ("30", "89", "40"), (4, 3)),
    ],
    "ES": [("", ("612", "634", "655", "678", "699", "722", "911", "934", "954"), (3, 3))],
}
CODES = {"CN": "86", "GB": "44", "US": "1", "DE": "49", "ES": "34"}


def number(random: Random, country: str) -> Number:
    """Subscribers' numbers do not begin with 0 or 1, and NANP has no exchange N11."""
    if country in PLANS:
        trunk, areas, sizes = random.choice(PLANS[country])
        code, area = CODES[country], random.choice(areas)
    else:
        code, area, sizes = ABROAD[country]
        trunk = ""
    first = random.choice("23456789") + figures(random, sizes[0] - 1)
    if first.endswith("11"):
        return number(random, country)
    return Number(country, code, trunk, area, (first, *(figures(random, n) for n in sizes[1:])))


def telephone(random: Random, language: str) -> Written:
    """One of the note's country as it is dialled at home or from abroad, or one from elsewhere."""
    if random.random() < 0.25:
        made = number(random, random.choice([*ABROAD]))
        text, how = random.choice(_from_abroad(made))
    else:
        made = number(random, random.choice(HOME[language]))
        text, how = random.choice([*_at_home(made), *_from_abroad(made)])
    tail, how = _extension(random, language, how)
    return Written(text, "phone", f"{made.country} {how}", tail)


def own(random: Random, made: Number) -> tuple[str, str]:
    """How a note may write the customer's own number."""
    return random.choice([*_at_home(made), *_from_abroad(made)])


def _at_home(made: Number) -> list[tuple[str, str]]:
    area, rest = made.trunk + made.area, made.rest
    plain = area + "".join(rest)
    forms = [
        (plain, "national plain"),
        (" ".join((area, *rest)), "national spaced"),
        (" ".join((area, "".join(rest))), "national spaced"),
        ("-".join((area, *rest)), "national dashes"),
        (NO_BREAK.join((area, *rest)), "national no-break"),
        (plain.translate(WIDE), "national full width"),
        (".".join((area, *rest)), "national dots"),
    ]
    if made.trunk or made.country == "US":
        forms += [
            (f"({area}) {' '.join(rest)}", "national brackets"),
            (f"({area}) {'-'.join(rest)}", "national brackets"),
            (f"（{area}）{''.join(rest)}", "national full-width brackets"),
        ]
    if made.country == "DE":
        forms += [
            (f"{area}/{''.join(rest)}", "national slash"),
            (f"{area} / {' '.join(rest)}", "national slash"),
        ]
        if not made.area.startswith("1"):  # mobiles have none
            forms += [(f"{area} {rest[0]}-{rest[1][:2]}", "national direct dialling")]
    if made.country == "US":
        forms += [(f"1-{'-'.join((area, *rest))}", "national dashes")]
    if made.country == "ES":
        last = "".join(rest)
        forms += [(f"{area} {last[:2]} {last[2:4]} {last[4:]}", "national pairs")]
    return forms


def _from_abroad(made: Number) -> list[tuple[str, str]]:
    parts = (made.area, *made.rest)
    spaced = " ".join(parts)
    forms = [
        (f"+{made.code} {spaced}", "international spaced"),
        (f"+{made.code}{''.join(parts)}", "international plain"),
        (f"+{made.code}-{'-'.join(parts)}", "international dashes"),
        (f"+{made.code}{HARD_DASH}{HARD_DASH.join(parts)}", "international no-break dashes"),
        (f"+{made.code}.{'.'.join(parts)}", "international dots"),
        (f"00{made.code} {spaced}", "international 00"),
        (f"00{made.code}{''.join(parts)}", "international 00"),
        (f"(+{made.code}) {spaced}", "international brackets"),
        (f"tel:+{made.code}-{'-'.join(parts)}", "international tel"),
        (f"＋{made.code}{''.join(parts)}".translate(WIDE), "international full width"),
        (f"+{made.code}{NARROW}{NARROW.join(parts)}", "international narrow spaces"),
    ]
    if made.trunk:
        forms += [(f"+{made.code} ({made.trunk}){spaced}", "international trunk in brackets")]
        forms += [(f"+{made.code} ({made.trunk}) {spaced}", "international trunk in brackets")]
    if made.country == "US":
        forms += [(f"+1 ({made.area}) {'-'.join(made.rest)}", "international brackets")]
    return forms


def _extension(random: Random, language: str, how: str) -> tuple[str, str]:
    if random.random() > 0.08:
        return "", how
    digits = figures(random, 3)
    word = {"zh": "转", "en": " ext. ", "de": " Durchwahl ", "es": " ext. "}[language]
    return word + digits, f"{how} extension"
