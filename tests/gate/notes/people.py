"""Customers, and the variants in which a note names them."""

from random import Random
from typing import Literal, NamedTuple
from unicodedata import normalize

from tests.gate.notes import telephones
from tests.gate.notes.identifiers import NO_BREAK, WIDE, Written, figures
from tests.gate.notes.telephones import Number

GIVEN = {
    "zh": ("小明", "丽华", "建国", "婷婷", "志强", "雅芳"),
    "en": ("Ada", "Zoë", "Eleanor", "Siobhán", "Desmond", "Mary-Jane"),
    "de": ("Jürgen", "Käthe", "Marie-Luise", "Björn", "Wolfgang", "Änne"),
    "es": ("José", "María Ángeles", "Iñaki", "Belén", "Rocío", "Andrés"),
}
FAMILY = {
    "zh": ("王", "李", "张", "欧阳", "陈", "司马"),
    "en": ("Lovelace", "O'Sullivan", "Brontë", "Featherstone", "Smith-Jones", "McAllister"),
    "de": ("Müller", "Groß", "Schäfer", "von der Heide", "Krüger", "Strauß"),
    "es": ("García López", "Núñez", "Muñoz Peña", "Ibáñez Ruiz", "Güell", "Cortés Vega"),
}
STREETS = {
    "zh": ("北京市朝阳区建国路{}号", "上海市浦东新区世纪大道{}号", "广州市天河区体育西路{}号"),
    "en": (
        "{} Abbey Road, London NW8 9AY",
        "{} Elm Street, Springfield IL 62704",
        "{} Princes Street, Edinburgh EH2 4AD",
    ),
    "de": (
        "Hauptstraße {}, 10115 Berlin",
        "Lindenallee {}, 50667 Köln",
        "Königstraße {}, 70173 Stuttgart",
    ),
    "es": (
        "Calle de Alcalá {}, 28014 Madrid",
        "Avenida Diagonal {}, 08019 Barcelona",
        "Plaza España {}, 41013 Sevilla",
    ),
}
TRANSLITERATED = {ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue", ord("Ä"): "Ae", ord("Ö"): "Oe",
                  ord("Ü"): "Ue", ord("ß"): "ss"}  # fmt: skip


class Person(NamedTuple):
    language: str
    given: str
    family: str
    email: str
    number: Number
    phone: str
    address: str
    customer_id: str

    @property
    def name(self) -> str:
        if self.language == "zh":
            return self.family + self.given
        return f"{self.given} {self.family}"

    @property
    def known(self) -> tuple[str, ...]:
        """The values that the company's source has of this customer."""
        return (self.name, self.email, self.phone, self.address, self.customer_id)


def person(random: Random, language: str) -> Person:
    given, family = random.choice(GIVEN[language]), random.choice(FAMILY[language])
    number = telephones.number(random, random.choice(telephones.HOME[language]))
    rest = "".join(number.rest)
    stored = [
        number.international,
        f"+{number.code} {number.area} {rest}",
        f"{number.trunk}{number.area}{rest}",
    ]
    local = random.choice(("kunde", "shopper", "mi.correo", "hello", "user")) + figures(random, 3)
    composed: Literal["NFC", "NFD"] = (
        "NFC" if random.random() < 0.75 else "NFD"
    )  # some sources store decomposed text
    return Person(
        language,
        normalize(composed, given),
        normalize(composed, family),
        f"{local}@{random.choice(('mail.example', 'post.example.de', 'correo.example.es'))}",
        number,
        random.choice(stored),
        random.choice(STREETS[language]).format(random.randint(2, 199)),
        random.choice(
            (
                f"C-{figures(random, 3)}-{figures(random, 4)}",
                f"KD{figures(random, 7)}",
                f"cust_{figures(random, 6)}",
            ),
        ),
    )


def named(random: Random, customer: Person) -> Written:
    """One of the customer's own values, in one of its variants."""
    return random.choice([_name, _name, _name, _phone, _phone, _email, _address, _id])(
        random, customer
    )


def _name(random: Random, customer: Person) -> Written:
    name, given, family = customer.name, customer.given, customer.family
    forms = [
        (name, "as stored"),
        (normalize("NFD", name), "NFD"),
        (normalize("NFC", name), "NFC"),
        (name.replace(" ", "  "), "two spaces"),
        (NO_BREAK.join(name.split(" ")), "no-break"),
    ]
    if customer.language == "zh":
        forms += [
            (f"{family} {given}", "spaced"),
            (" ".join(name), "spaced"),
            (f"{family}　{given}", "ideographic space"),
            (given, "given name alone"),
        ]
    else:
        plain = normalize("NFC", name)
        forms += [
            (name.upper(), "upper case"),
            (name.lower(), "lower case"),
            (_unaccented(plain), "no accents"),
            (plain.translate(TRANSLITERATED), "transliterated"),
            (f"{family}, {given}", "last, first"),
            (f"{family.upper()}, {given}", "last, first"),
            (f"{family} {given}", "last first"),
            (f"{given[0]}. {family}", "initial"),
            (f"{given}\n{family}", "line break"),
            (family, "family name alone"),
            (given, "given name alone"),
            (_unaccented(plain).translate(_wide_letters()), "full width"),
        ]
    if customer.language == "en":
        forms += [(name, "possessive 's"), (name, "possessive ’s")]
    if customer.language == "de":
        forms += [(name, "possessive s")]
    text, how = random.choice(forms)
    return Written(text, "own name", how, how.removeprefix("possessive ") if "poss" in how else "")


def _unaccented(text: str) -> str:
    apart = normalize("NFD", text).replace("ß", "ss")
    return "".join(each for each in apart if not "\u0300" <= each <= "\u036f")


def _wide_letters() -> dict[int, int | str]:
    letters = {each: each - 0x21 + 0xFF01 for each in range(0x21, 0x7F)}
    return {**letters, ord(" "): "　"}


def _phone(random: Random, customer: Person) -> Written:
    text, how = telephones.own(random, customer.number)
    if "direct dialling" in how:  # another number of the same firm
        return _phone(random, customer)
    return Written(text, "own phone", how)


def _email(random: Random, customer: Person) -> Written:
    mail = customer.email
    forms = [
        (mail, "as stored"),
        (mail.upper(), "case"),
        (mail.capitalize(), "case"),
        (mail.replace("@", " @ "), "spaced"),
        (mail.translate(_wide_letters()), "full width"),
    ]
    text, how = random.choice(forms)
    return Written(text, "own e-mail", how)


def _address(random: Random, customer: Person) -> Written:
    stored = customer.address
    forms = [
        (stored, "as stored"),
        (normalize("NFD", stored), "NFD"),
        (stored.translate(WIDE), "full width"),
    ]
    if customer.language != "zh":
        forms += [
            (stored.upper(), "case"),
            (stored.lower(), "case"),
            (stored.replace(", ", "\n"), "line break"),
            (stored.replace(", ", " "), "no comma"),
            (stored.split(", ")[0], "street alone"),
            (_unaccented(stored), "no accents"),
        ]
    else:
        forms += [(stored.replace("区", "区 "), "spaced"), (stored.split("区")[-1], "street alone")]
    if customer.language == "de":
        forms += [(stored.replace("straße", "str."), "abbreviated")]
    text, how = random.choice(forms)
    return Written(text, "own address", how)


def _id(random: Random, customer: Person) -> Written:
    stored = customer.customer_id
    forms = [
        (stored, "as stored"),
        (stored.lower(), "case"),
        (stored.upper(), "case"),
        (stored.replace("-", "").replace("_", ""), "no separators"),
        (stored.replace("-", " ").replace("_", " "), "spaces"),
        (stored.translate(_wide_letters()), "full width"),
    ]
    text, how = random.choice(forms)
    return Written(text, "own id", how)
