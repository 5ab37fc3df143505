"""Notes with their labels, made from a seed. Offsets count in the text's form NFC."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from unicodedata import normalize

from tests.gate.notes import addresses, distractors, identifiers, later, people, telephones
from tests.gate.notes.identifiers import Written
from tests.gate.notes.sentences import ABOUT, EMPTY, OTHERS, PLAIN

LANGUAGES = ("zh", "en", "de", "es")
LOCAL_IDS = {
    "zh": identifiers.resident,
    "en": identifiers.nhs,
    "de": identifiers.tax_number,
    "es": identifiers.spanish,
}
KINDS = ("phone", "phone", "phone", "e-mail", "iban", "card", "local id", "local id", "any id")
CHECKSUMMED = {"iban", "card", "cn-resident", "es-dni", "es-nie", "de-tax", "uk-nhs"}


@dataclass(frozen=True, slots=True)
class Label:
    """One value, [start, end) in the text. `entity` begins with "own" for the customer's own."""

    start: int
    end: int
    entity: str
    format: str


@dataclass(slots=True)
class Note:
    """`neutral` may be masked or not; each of `distractors` must stay."""

    language: str
    known: tuple[str, ...]
    text: str = ""
    labels: list[Label] = field(default_factory=list)
    neutral: list[Label] = field(default_factory=list)
    distractors: list[Label] = field(default_factory=list)
    written: str = ""  # as it was typed, not normalised

    def add(self, text: str) -> int:
        """Where what was added begins."""
        self.written += text
        start = len(self.text)
        self.text += normalize("NFC", text)
        return start


Kind = Callable[[Random, Note, people.Person], None]


def notes(seed: int, count: int) -> Iterator[Note]:
    """As many notes in each language as in the others, in turn."""
    return _notes(seed, count, FIRST)


def later_notes(seed: int, count: int) -> Iterator[Note]:
    """The second corpus: formats that the masker had not been mended by."""
    return _notes(seed, count, SECOND)


def _notes(seed: int, count: int, kinds: Sequence[Kind]) -> Iterator[Note]:
    random = Random(seed)
    for at in range(count):
        yield _note(random, LANGUAGES[at % len(LANGUAGES)], kinds)


def _note(random: Random, language: str, kinds: Sequence[Kind]) -> Note:
    customer = people.person(random, language)
    note = Note(language, customer.known)
    drawn = random.choices(kinds, WEIGHTS, k=random.choice((1, 2, 2, 3, 4)))
    for at, kind in enumerate(drawn):
        note.add(random.choice((" ", "\n", " ")) if at else "")
        kind(random, note, customer)
    return note


def _value(random: Random, note: Note, _customer: people.Person) -> None:
    kind = random.choice(KINDS)
    before, behind = "", ""
    match kind:
        case "phone":
            made = telephones.telephone(random, note.language)
        case "e-mail":
            before, made, behind = addresses.bracketed(random, note.language)
        case "iban":
            made = identifiers.account(random)
        case "card":
            made = identifiers.card(random)
        case "any id":
            made = random.choice(
                [identifiers.resident, identifiers.spanish, identifiers.without_checksum]
            )(random)
        case _:
            made = LOCAL_IDS[note.language](random)
    templates = ABOUT[note.language].get(made.entity, ABOUT[note.language]["other"])
    _say(note, random.choice(templates), made, before, behind)


def _own(random: Random, note: Note, customer: people.Person) -> None:
    _say(note, random.choice(ABOUT[note.language]["own"]), people.named(random, customer))


def _later_value(random: Random, note: Note, _customer: people.Person) -> None:
    made = later.value(random, note.language)
    templates = ABOUT[note.language].get(made.entity, ABOUT[note.language]["other"])
    _say(note, random.choice(templates), made)


def _later_own(random: Random, note: Note, customer: people.Person) -> None:
    _say(note, random.choice(ABOUT[note.language]["own"]), later.own(random, customer))


def _say(note: Note, template: str, made: Written, before: str = "", behind: str = "") -> None:
    head, tail = template.split("{}")
    value = made.text.removeprefix("tel:")
    note.add(head + before + made.text.removesuffix(value))
    start = note.add(value)
    note.labels.append(Label(start, len(note.text), made.entity, made.format))
    if made.tail:
        start = note.add(made.tail)
        note.neutral.append(Label(start, len(note.text), made.entity, "extension"))
    note.add(behind + tail)


def _distractor(random: Random, note: Note, _customer: people.Person) -> None:
    head, tail = random.choice(PLAIN[note.language]).split("{}")
    note.add(head)
    text, kind = distractors.distractor(random, note.language)
    start = note.add(text)
    note.distractors.append(Label(start, len(note.text), "distractor", kind))
    note.add(tail)


def _empty(random: Random, note: Note, _customer: people.Person) -> None:
    note.add(random.choice(EMPTY[note.language]))


def _other(random: Random, note: Note, _customer: people.Person) -> None:
    """Labelled, though the scope leaves it out: another person, their address, a plate."""
    sentence, value, kind = random.choice(OTHERS[note.language])
    start = note.add(sentence) + sentence.index(value)
    note.labels.append(Label(start, start + len(value), kind, "in words"))
    note.add("." if note.language != "zh" else "。")


WEIGHTS = (38, 30, 20, 8, 4)
FIRST = (_value, _own, _distractor, _empty, _other)
SECOND = (_later_value, _later_own, _distractor, _empty, _other)
