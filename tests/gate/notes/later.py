"""Formats that were added after the masker had been mended by the first corpus.

What a masker finds of them says more than what it finds of the formats it was mended by.
"""

from random import Random
from unicodedata import normalize

from tests.gate.notes import identifiers, telephones
from tests.gate.notes.identifiers import LETTERS, WIDE, Written, figures
from tests.gate.notes.people import Person
from tests.gate.notes.telephones import Number

EN_DASH = "\u2013"
ACCOUNTS = {  # further countries of the IBAN registry
    "AZ": "4a20c", "BH": "4a14c", "CR": "18n", "DO": "4c20n", "FO": "14n", "GL": "14n",
    "GT": "4c20c", "JO": "4a4n18c", "LB": "4n20c", "MD": "2c18c", "PS": "4a21c", "VA": "18n",
    "VG": "4a16n",
}  # fmt: skip
NETWORKS = {  # beginnings and lengths of further networks
    "mir": (("2200", "2204"), (16,)),
    "rupay": (("6521", "8172"), (16,)),
    "troy": (("9792",), (16,)),
    "maestro": (("5018", "6304", "6759"), (13, 16, 18, 19)),
}
ABROAD = {
    "SE": ("46", "70", (3, 2, 2)), "NO": ("47", "412", (2, 3)), "PT": ("351", "912", (3, 3)),
    "BE": ("32", "470", (2, 2, 2)), "GR": ("30", "694", (3, 4)), "TR": ("90", "532", (3, 2, 2)),
    "ZA": ("27", "82", (3, 4)), "AE": ("971", "50", (3, 4)), "KR": ("82", "10", (4, 4)),
    "VN": ("84", "90", (3, 4)), "MY": ("60", "12", (3, 4)), "CL": ("56", "9", (4, 4)),
    "CO": ("57", "310", (3, 4)), "EG": ("20", "100", (3, 4)), "IL": ("972", "52", (3, 4)),
}  # fmt: skip
ADDRESSES = (
    ("иван.петров@почта.example", "Cyrillic"),
    ("γιάννης@ταχυδρομείο.example", "Greek"),
    ("a@b.example", "short"),
    ("first.last@very.long.sub.domain.example.museum", "long"),
    ("x_y_z_@mail.example", "underscores"),
    ("info@[IPv6:2001:db8::1]", "address literal"),
    ("user=tag@mail.example", "rare signs"),
    ("!deals#1@mail.example", "rare signs"),
    ("o’neil@mail.example", "apostrophe"),
)


def value(random: Random, language: str) -> Written:
    kinds = [_telephone, _telephone, _account, _card, _resident, _spanish, _address]
    if language == "de":
        kinds += [_tax_number, _tax_number]
    if language == "en":
        kinds += [_nhs, _nhs]
    if language == "zh":
        kinds += [_resident]
    return random.choice(kinds)(random, language)


def own(random: Random, customer: Person) -> Written:
    return random.choice([_name, _name, _number, _email, _own_address, _id])(random, customer)


def _telephone(random: Random, language: str) -> Written:
    if random.random() < 0.4:
        country = random.choice([*ABROAD])
        code, area, sizes = ABROAD[country]
        rest = tuple(random.choice("23456789") + figures(random, size - 1) for size in sizes)
        made = Number(country, code, "", area, rest)
        text, how = random.choice(_from_abroad(made))
        return Written(text, "phone", f"{country} {how}")
    made = telephones.number(random, random.choice(telephones.HOME[language]))
    text, how = random.choice([*_from_abroad(made), *_at_home(made)])
    return Written(text, "phone", f"{made.country} {how}")


def _from_abroad(made: Number) -> list[tuple[str, str]]:
    rest = "".join(made.rest)
    pairs = " ".join(_cut(made.area + rest, 2))
    return [
        (f"+ {made.code} {made.area} {rest}", "plus and space"),
        (f"+{made.code} {pairs}", "international pairs"),
        (f"+{made.code}/{made.area}/{rest}", "international slashes"),
        (f"+{made.code} ({made.area}) {' '.join(made.rest)}", "area in brackets"),
        (f"(+{made.code} {made.area}) {rest}", "code and area in brackets"),
        (f"(00{made.code}) {made.area} {rest}", "00 in brackets"),
        (f"00{made.code}-{made.area}-{'-'.join(made.rest)}", "00 dashes"),
        (f"00{made.code}/{made.area}{rest}", "00 slash"),
        (f"+{made.code} {made.area} {EN_DASH} {' '.join(made.rest)}", "spaced dash"),
        (f"+{made.code}  {made.area}  {rest}", "two spaces"),
    ]


def _at_home(made: Number) -> list[tuple[str, str]]:
    area, rest = made.trunk + made.area, "".join(made.rest)
    forms = [
        (f"{area} - {' - '.join(made.rest)}", "spaced dashes"),
        (f"{area}{EN_DASH}{rest}", "en dash"),
    ]
    if made.country == "US":
        forms += [(f"({area}){'-'.join(made.rest)}", "brackets, no space")]
    if made.country == "CN" and not made.trunk:
        forms += [(f"86-{area}{rest}", "code, no plus"), (f"86 {area} {rest}", "code, no plus")]
        forms += [(f"{area}{made.rest[0]} {made.rest[1]}", "seven and four")]
    if made.country == "CN" and made.trunk:
        forms += [(f"{area}－{rest}", "full-width dash"), (f"{area}—{rest}", "em dash")]
    if made.country in {"DE", "ES"}:
        forms += [(f"{area} {' '.join(_cut(rest, 2))}", "pairs")]
    if made.country == "DE":
        forms += [(f"({area}) {rest}", "brackets"), (f"{area}/{' '.join(made.rest)}", "slash")]
    return forms


def _cut(plain: str, size: int) -> list[str]:
    return [plain[at : at + size] for at in range(0, len(plain), size)]


def _account(random: Random, _language: str) -> Written:
    country = random.choice([*ACCOUNTS, "DE", "DE", "NL", "AT"])
    structure = ACCOUNTS.get(country) or identifiers.ACCOUNTS[country]
    plain = identifiers.with_account_check(country, identifiers.basic(random, structure))
    groups = _cut(plain, 4)
    written, how = random.choice(
        [
            (f"{plain[:2]} {plain[2:4]} {' '.join(_cut(plain[4:], 4))}", "country apart"),
            (f"{plain[:4]} {plain[4:12]} {plain[12:]}", "bank and account"),
            (".".join(groups), "dots"),
            ("/".join(groups), "slashes"),
            ("\u202f".join(groups), "narrow spaces"),
            ("  ".join(groups), "two spaces"),
            (EN_DASH.join(groups), "en dashes"),
            (" - ".join(groups), "spaced dashes"),
        ]
    )
    return Written(written, "iban", f"{country} {how}")


def _card(random: Random, _language: str) -> Written:
    network = random.choice([*NETWORKS, "visa"])
    starts, lengths = NETWORKS.get(network, (("4",), (16,)))
    start, length = random.choice(starts), random.choice(lengths)
    plain = identifiers.with_luhn(start + figures(random, length - len(start) - 1))
    groups = _cut(plain, 4)
    written, how, tail = random.choice(
        [
            ("  ".join(groups), "two spaces", ""),
            (" - ".join(groups), "spaced dashes", ""),
            (EN_DASH.join(groups), "en dashes", ""),
            ("/".join(groups), "slashes", ""),
            (f"{plain[:8]} {plain[8:]}", "eights", ""),
            (" ".join(groups), "expiry", " 12/27"),
            (" ".join(groups), "code behind", " 123"),
        ]
    )
    return Written(written, "card", f"{network} {how}", tail)


def _resident(random: Random, _language: str) -> Written:
    plain = identifiers.resident_number(random)
    region, born, last = plain[:6], plain[6:14], plain[14:]
    written, how = random.choice(
        [
            (f"{region} {born[:4]} {born[4:6]} {born[6:]} {last}", "date apart"),
            (f"{region}-{born}-{last[:3]}-{last[3]}", "check apart"),
            (f"{region}{EN_DASH}{born}{EN_DASH}{last}", "en dashes"),
            (f"{region}  {born}  {last}", "two spaces"),
            (" ".join(_cut(plain, 3)), "threes"),
            (f"{plain[:17].translate(WIDE)}{plain[17].lower()}", "full width, small x"),
        ]
    )
    return Written(written, "cn-resident", how)


def _spanish(random: Random, _language: str) -> Written:
    number = figures(random, 8)
    letter = identifiers.SPANISH_LETTERS[int(number) % 23]
    first, short = random.choice("XYZ"), figures(random, 7)
    foreign = identifiers.SPANISH_LETTERS[int(f"{'XYZ'.index(first)}{short}") % 23]
    dotted = f"{short[0]}.{short[1:4]}.{short[4:]}"
    return random.choice(
        [
            Written(f"{number[:2]} {number[2:5]} {number[5:]} {letter}", "es-dni", "threes"),
            Written(f"{number} - {letter}", "es-dni", "spaced dash"),
            Written(f"{number}/{letter}", "es-dni", "slash"),
            Written(f"{number}{letter}".translate(WIDE), "es-dni", "full width"),
            Written(f"{first}-{short}{foreign}", "es-nie", "one dash"),
            Written(f"{first}{short}-{foreign}", "es-nie", "one dash"),
            Written(f"{first}-{dotted}-{foreign}", "es-nie", "dots"),
        ]
    )


def _tax_number(random: Random, _language: str) -> Written:
    plain = identifiers.tax_digits(random)
    forms = [
        (f"{plain[:2]} {plain[2:5]} {plain[5:]}", "two, three and six"),
        (" ".join(_cut(plain, 3)), "threes"),
        ("-".join((plain[:2], plain[2:5], plain[5:8], plain[8:])), "dashes"),
        ("/".join((plain[:2], plain[2:5], plain[5:8], plain[8:])), "slashes"),
    ]
    text, how = random.choice(forms)
    return Written(text, "de-tax", how)


def _nhs(random: Random, _language: str) -> Written:
    plain = "".join(filter(str.isdigit, identifiers.nhs(random).text))
    three = (plain[:3], plain[3:6], plain[6:])
    text, how = random.choice(
        [
            (".".join(three), "dots"),
            (EN_DASH.join(three), "en dashes"),
            (f"{three[0]} {three[1]}-{three[2]}", "mixed"),
            ("  ".join(three), "two spaces"),
        ]
    )
    return Written(text, "uk-nhs", how)


def _address(random: Random, _language: str) -> Written:
    text, how = random.choice(ADDRESSES)
    return Written(text, "e-mail", how)


def _name(random: Random, customer: Person) -> Written:
    given, family, name = customer.given, customer.family, customer.name
    if customer.language == "zh":
        forms = [(f"{family}·{given}", "dot"), (f"{family}\n{given}", "line break")]
        forms += [("\u200b".join(name), "no width"), (name, "with title")]
        text, how = random.choice(forms)
        return Written(text, "own name", how, "先生" if how == "with title" else "")
    initials = ". ".join(word[0] for word in given.split()) + "."
    forms = [
        (f"{given[0]} {family}", "initial, no dot"),
        (f"{given[0]}.{family}", "initial, no space"),
        (f"{family}, {given[0]}.", "last, initial"),
        (f"{family} {given[0]}.", "last, initial"),
        (f"{initials} {family}", "initials"),
        (f"{given} M. {family}", "middle initial"),
        (f"{given}_{family}".replace(" ", "_").lower(), "underscores"),
        (f"{given}.{family}".replace(" ", ".").lower(), "dots"),
        (f"{given}{family}".replace(" ", ""), "one word"),
        (normalize("NFC", name).replace("ß", "ẞ").upper(), "capital sharp s"),
        (f"{given}-{family}", "dash"),
        (f"{given} / {family}", "slash"),
        (f"{family.upper()} {given}", "last first"),
        (f"{family};{given}", "semicolon"),
    ]
    text, how = random.choice(forms)
    return Written(text, "own name", how)


def _number(random: Random, customer: Person) -> Written:
    made = customer.number
    text, how = random.choice(
        [
            *_from_abroad(made),
            *_at_home(made),
            (f"{made.code} {made.area} {''.join(made.rest)}", "code, no plus"),
            (" ".join(_cut(made.trunk + made.area + "".join(made.rest), 3)), "threes"),
            (f"{made.trunk} {made.area} {' '.join(made.rest)}".strip(), "trunk apart"),
            (f"+{made.code}-(0)-{made.area}-{'-'.join(made.rest)}", "trunk in brackets, dashes"),
        ]
    )
    return Written(text, "own phone", how)


def _email(random: Random, customer: Person) -> Written:
    mail = customer.email
    text, how = random.choice(
        [
            (mail.replace("@", "@ "), "space behind"),
            (mail.replace("@", " @"), "space before"),
            (mail.replace("@", "@\n"), "line break"),
            (mail.replace("@", "\u200b@"), "no width"),
            (mail.title(), "title case"),
        ]
    )
    return Written(text, "own e-mail", how)


def _own_address(random: Random, customer: Person) -> Written:
    stored = customer.address
    if customer.language == "zh":
        forms = [(stored[3:], "without the city"), (f"{stored[:3]} {stored[3:]}", "spaced")]
        forms += [(f"{stored[:-1]} 号", "spaced")]
    else:
        street, place = stored.split(", ")
        forms = [
            (f"{place}, {street}", "turned"),
            (place, "place alone"),
            (f"{street} / {place}", "slash"),
            (f"{street}; {place}", "semicolon"),
            (f"{street}  {place}".upper(), "capitals"),
            (f"{street},{place}", "no space"),
            (f"{street} - {place}", "dash"),
        ]
    if customer.language == "de":
        forms += [
            (stored.replace("straße", "str"), "abbreviated"),
            (stored.replace("ß", "ss"), "ss"),
        ]
    if customer.language == "es":
        forms += [(stored.replace("Calle", "C/").replace("Plaza", "Pza."), "abbreviated")]
    if customer.language == "en":
        forms += [(stored.replace("Street", "St.").replace("Road", "Rd"), "abbreviated")]
    text, how = random.choice(forms)
    return Written(text, "own address", how)


def _id(random: Random, customer: Person) -> Written:
    stored = customer.customer_id
    plain = "".join(each for each in stored if each.isalnum())
    letters = "".join(each for each in plain if each in LETTERS or each.islower())
    digits = plain.removeprefix(letters)
    text, how = random.choice(
        [
            (f"{letters}/{digits}", "slash"),
            (f"{letters}.{digits}", "dot"),
            (f"{letters}{EN_DASH}{digits}", "en dash"),
            (f"{letters} {' '.join(_cut(digits, 3))}", "regrouped"),
            (f"{letters}-{'-'.join(_cut(digits, 2))}", "regrouped"),
            (f"#{stored}", "number sign"),
            (f"({stored})", "brackets"),
        ]
    )
    return Written(text, "own id", how)
