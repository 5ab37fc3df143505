"""Bank accounts, payment cards and national ids, each with its check digits computed here.

No library is asked, so that a fault of one does not hide in the labels.
"""

from random import Random
from typing import NamedTuple

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NO_BREAK, NARROW = "\u00a0", "\u202f"
WIDE = {ord("0") + n: ord("０") + n for n in range(10)} | {
    ord("A") + n: ord("Ａ") + n for n in range(26)
}
# The basic account number by country: n figures, a capital letters, c either (IBAN registry).
ACCOUNTS = {
    "AD": "8n12c", "AE": "19n", "AT": "16n", "BG": "4a6n8c", "CH": "5n12c", "CY": "8n16c",
    "CZ": "20n", "DE": "18n", "DK": "14n", "EE": "16n", "GB": "4a14n", "GE": "2a16n",
    "GI": "4a15c", "GR": "7n16c", "HU": "24n", "IE": "4a14n", "IL": "19n", "KW": "4a22c",
    "KZ": "3n13c", "LI": "5n12c", "LT": "16n", "LU": "3n13c", "LV": "4a13c", "MT": "4a5n18c",
    "NL": "4a10n", "PK": "4a16c", "PL": "24n", "QA": "4a21c", "RO": "4a16c", "SA": "2n18c",
    "SE": "20n", "SK": "20n", "TR": "6n16c", "UA": "6n19c",
}  # fmt: skip
SPANISH_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"  # of the DNI: the number modulo 23
REGIONS = ("110105", "310104", "440106", "330106", "510107", "320102", "420106", "610113")
NETWORKS = {  # by name: beginnings, and the lengths that are issued
    "visa": (("4",), (13, 16, 19)),
    "mastercard": (("51", "53", "55", "2221", "2500", "2720"), (16,)),
    "amex": (("34", "37"), (15,)),
    "discover": (("6011", "644", "65"), (16,)),
    "jcb": (("3528", "3566", "3589"), (16,)),
    "diners": (("300", "305", "36"), (14,)),
    "unionpay": (("6200", "6222", "6228"), (16, 17, 18, 19)),
}


class Written(NamedTuple):
    """A value as a note has it; `tail` follows and may be masked or not (an extension)."""

    text: str
    entity: str
    format: str
    tail: str = ""


def figures(random: Random, count: int) -> str:
    return "".join(random.choices("0123456789", k=count))


def account(random: Random) -> Written:
    country = random.choice([*ACCOUNTS, "ES", "BE", "DE", "DE", "GB", "ES"])
    plain = with_account_check(country, _with_own_check(random, country))
    groups = [plain[at : at + 4] for at in range(0, len(plain), 4)]
    written, how = random.choice(
        [
            (plain, "plain"),
            (" ".join(groups), "spaced"),
            (" ".join(groups), "spaced"),
            (NO_BREAK.join(groups), "no-break"),
            ("-".join(groups), "dashes"),
            (" ".join(groups).lower(), "lower case"),
            (" ".join(groups).translate(WIDE), "full width"),
        ]
    )
    return Written(written, "iban", f"{country} {how}")


def with_account_check(country: str, basic: str) -> str:
    """The whole account number: ISO 7064 modulo 97-10."""
    turned = "".join(str(int(each, 36)) for each in f"{basic}{country}00")
    return f"{country}{98 - int(turned) % 97:02d}{basic}"


def _with_own_check(random: Random, country: str) -> str:
    if country == "ES":  # two check figures of its own: weights of powers of 2 modulo 11
        bank, number = figures(random, 8), figures(random, 10)
        return f"{bank}{_spanish_check('00' + bank)}{_spanish_check(number)}{number}"
    if country == "BE":  # the last two are the rest modulo 97, and 97 for none
        number = figures(random, 10)
        return f"{number}{int(number) % 97 or 97:02d}"
    return basic(random, ACCOUNTS[country])


def basic(random: Random, structure: str) -> str:
    """A basic account number of a structure such as "4a14n"."""
    made, count = "", ""
    for each in structure:
        if each.isdigit():
            count += each
            continue
        drawn = {"n": "0123456789", "a": LETTERS, "c": "0123456789" + LETTERS}[each]
        made += "".join(random.choices(drawn, k=int(count)))
        count = ""
    return made


def _spanish_check(ten: str) -> str:
    rest = 11 - sum(int(each) * 2**at for at, each in enumerate(ten)) % 11
    return {10: "1", 11: "0"}.get(rest, str(rest))


def card(random: Random) -> Written:
    network = random.choice([*NETWORKS, "visa", "mastercard", "unionpay"])
    beginnings, lengths = NETWORKS[network]
    start, length = random.choice(beginnings), random.choice(lengths)
    plain = with_luhn(start + figures(random, length - len(start) - 1))
    groups = _card_groups(plain)
    written, how = random.choice(
        [
            (plain, "plain"),
            (" ".join(groups), "spaced"),
            (" ".join(groups), "spaced"),
            ("-".join(groups), "dashes"),
            (".".join(groups), "dots"),
            (NO_BREAK.join(groups), "no-break"),
            (plain.translate(WIDE), "full width"),
        ]
    )
    return Written(written, "card", f"{network} {how}")


def _card_groups(plain: str) -> list[str]:
    if len(plain) in {14, 15}:  # as they are embossed: 4-6-4 and 4-6-5
        return [plain[:4], plain[4:10], plain[10:]]
    return [plain[at : at + 4] for at in range(0, len(plain), 4)]


def with_luhn(digits: str) -> str:
    total = 0
    for at, each in enumerate(reversed(digits)):
        value = int(each) * (2 if at % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{digits}{-total % 10}"


def resident_number(random: Random) -> str:
    """China, GB 11643: ISO 7064 modulo 11-2."""
    born = f"{random.randint(1940, 2008)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}"
    body = random.choice(REGIONS) + born + f"{random.randint(1, 999):03d}"
    total = sum(int(each) * (2 ** (17 - at) % 11) for at, each in enumerate(body))
    return body + "10X98765432"[total % 11]


def resident(random: Random) -> Written:
    plain = resident_number(random)
    parts = (plain[:6], plain[6:14], plain[14:])
    written, how = random.choice(
        [
            (plain, "plain"),
            (plain, "plain"),
            (plain.lower(), "lower case"),
            (" ".join(parts), "spaced"),
            ("-".join(parts), "dashes"),
            (plain.translate(WIDE), "full width"),
        ]
    )
    return Written(written, "cn-resident", how)


def spanish(random: Random) -> Written:
    """The DNI, or the NIE of foreigners: X, Y and Z count as 0, 1 and 2."""
    if random.random() < 0.5:
        number = figures(random, 8)
        letter = SPANISH_LETTERS[int(number) % 23]
        dotted = f"{number[:2]}.{number[2:5]}.{number[5:]}"
        forms = [
            (f"{number}{letter}", "plain"),
            (f"{number}-{letter}", "dash"),
            (f"{number} {letter}", "spaced"),
            (f"{dotted}-{letter}", "dots"),
            (f"{dotted}{letter}", "dots"),
            (f"{number}{letter.lower()}", "lower case"),
        ]
        return Written(*_of(random.choice(forms), "es-dni"))
    first, number = random.choice("XYZ"), figures(random, 7)
    letter = SPANISH_LETTERS[int(f"{'XYZ'.index(first)}{number}") % 23]
    forms = [
        (f"{first}{number}{letter}", "plain"),
        (f"{first}-{number}-{letter}", "dash"),
        (f"{first} {number} {letter}", "spaced"),
        (f"{first}{number}{letter}".lower(), "lower case"),
    ]
    return Written(*_of(random.choice(forms), "es-nie"))


def tax_digits(random: Random) -> str:
    """Germany: ten figures of which just one comes twice or three times, and ISO 7064 mod 11,10."""
    ten = list("0123456789")
    random.shuffle(ten)
    at = random.randrange(9)
    ten[at + 1] = ten[at] if random.random() < 0.5 else ten[at - 1]
    if ten[0] == "0" or len(set(ten)) != 9:
        return tax_digits(random)
    product = 10
    for each in ten:
        product = ((int(each) + product) % 10 or 10) * 2 % 11
    return "".join(ten) + str((11 - product) % 10)


def tax_number(random: Random) -> Written:
    plain = tax_digits(random)
    spaced = f"{plain[:2]} {plain[2:5]} {plain[5:8]} {plain[8:]}"
    forms = [
        (plain, "plain"),
        (spaced, "spaced"),
        (spaced, "spaced"),
        (plain.translate(WIDE), "full width"),
    ]
    return Written(*_of(random.choice(forms), "de-tax"))


def nhs(random: Random) -> Written:
    """Britain: nine figures weighted 10 to 2, modulo 11; no number has the check 10."""
    nine = random.choice("4679") + figures(random, 8)
    check = 11 - sum(int(each) * (10 - at) for at, each in enumerate(nine)) % 11
    if check == 10:
        return nhs(random)
    plain = f"{nine}{check % 11}"
    parts = (plain[:3], plain[3:6], plain[6:])
    forms = [
        (plain, "plain"),
        (" ".join(parts), "spaced"),
        (" ".join(parts), "spaced"),
        ("-".join(parts), "dashes"),
    ]
    return Written(*_of(random.choice(forms), "uk-nhs"))


def without_checksum(random: Random) -> Written:
    """The SSN of the USA and the National Insurance number of Britain: patterns, no more."""
    if random.random() < 0.5:
        area = random.choice([each for each in range(1, 900) if each != 666])
        group, serial = random.randint(1, 99), random.randint(1, 9999)
        return Written(f"{area:03d}-{group:02d}-{serial:04d}", "us-ssn", "dashes")
    letters = random.choice("ABCEGHJKLMNPRSTWXYZ") + random.choice("ABCEGHJKLMPRSTWXYZ")
    if letters in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
        return without_checksum(random)
    pairs, last = [figures(random, 2) for _ in range(3)], random.choice("ABCD")
    forms = [
        (f"{letters} {' '.join(pairs)} {last}", "spaced"),
        (f"{letters}{''.join(pairs)}{last}", "plain"),
    ]
    return Written(*_of(random.choice(forms), "uk-nino"))


def _of(form: tuple[str, str], entity: str) -> tuple[str, str, str]:
    return form[0], entity, form[1]
