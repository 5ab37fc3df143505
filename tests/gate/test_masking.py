"""Free text leaves masked (G29): what a customer is known by, and what proves what it is."""

import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.contracts.scene import Fallback
from gate.factory import build
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.filter import FilterCondition, FilterError
from gate.reads.masking import mask
from gate.reads.request import ReadRequest
from gate.reads.sources.duckdb import DuckDBSource
from ledger.events.envelope import Granted
from tests.gate.scenes import SCENES, scene
from tests.gate.world import NOON, World, options, shipped, world

ADA = ("Ada Lovelace", "ada.lovelace@mail.example", "+44 7700 900417")
OWN = (*ADA, "221B Baker Street, London NW1 6XE")
WILL = ("Bill Will",)
HAUPT = "Hauptstraße 5b, Berlin"
WANG = ("王小明", "wang@mail.example", "13812345678")

FOUND: dict[str, tuple[str, tuple[str, ...], str]] = {
    "an e-mail address": ("write to x.y+z@sub.mail.example now", (), "write to [e-mail] now"),
    "an e-mail address in Chinese": ("请发到a.b@mail.example谢谢", (), "请发到[e-mail]谢谢"),
    "a card": ("card 4111 1111 1111 1111.", (), "card [card]."),
    "a card with hyphens": ("4111-1111-1111-1111", (), "[card]"),
    "a card of fifteen digits": ("378282246310005", (), "[card]"),
    "a card with dots": ("4111.1111.1111.1111", (), "[card]"),
    "a card with spaces of another kind": ("4111\u00a01111\u202f1111\u20091111", (), "[card]"),
    "a card with its code after it": ("4111 1111 1111 1111 123", (), "[card] 123"),
    "a card after other figures": ("room 22 4111 1111 1111 1111", (), "room 22 [card]"),
    "a Visa card": ("4012888888881881", (), "[card]"),
    "a Mastercard": ("2223 0031 2200 3222", (), "[card]"),
    "a Mir card": ("2200000000000053", (), "[card]"),
    "a RuPay card": ("8172 0000 0000 0005", (), "[card]"),
    "a Troy card": ("9792030394440796", (), "[card]"),
    "a card of an airline": ("135412345678911", (), "[card]"),
    "a UnionPay card of nineteen digits": ("6205500000000000004", (), "[card]"),
    "a bank account": ("IBAN DE89 3704 0044 0532 0130 00 is mine", (), "IBAN [account] is mine"),
    "an account in small letters": ("gb82west12345698765432.", (), "[account]."),
    "two accounts": ("DE89370400440532013000 ES9121000418450200051332", (), "[account] [account]"),
    "an address with accents": ("josé.garcía@example.es", (), "[e-mail]"),
    "an address in quotation marks": ('write "ada b"@mail.example', (), "write [e-mail]"),
    "an address of another alphabet": ("иван@почта.рф", (), "[e-mail]"),
    "a Chinese id with spaces": ("110105 19491231 002X", (), "[id]"),
    "a German number": ("ruf 01705550100 an", (), "ruf [phone] an"),
    "a German number with a slash": ("0170/5550100", (), "[phone]"),
    "a Spanish number": ("llama al 612 345 678", (), "llama al [phone]"),
    "a number dialled from abroad": ("0049 170 5550100", (), "[phone]"),
    "a number with what is dialled at home": ("+49 (0)170 5550100", (), "[phone]"),
    "her number as she dials it": ("call 07700 900417", ADA, "call [phone]"),
    "her number from abroad": ("call 0044 (0) 7700-900 417", ADA, "call [phone]"),
    "a number of a plan that is not known, as its owner dials it": (
        "rufen Sie 6601234567 oder 0660 1234567 an",
        ("+43 660 1234567",),
        "rufen Sie [phone] oder [phone] an",
    ),
    "her name decomposed": ("I am Jose\u0301 Garci\u0301a", ("José García",), "I am [name]"),
    "her name without its accents": ("I am JOSE GARCIA", ("José García",), "I am [name]"),
    "her name with accents that it has not": ("I am José", ("Jose Garcia",), "I am [name]"),
    "her name with what cannot be seen": ("Ada Love\u200blace", ADA, "[name]"),
    "a Chinese id": ("身份证11010519491231002X，谢谢", (), "身份证[id]，谢谢"),
    "a Chinese id, small x": ("id 11010519491231002x", (), "id [id]"),
    "a Chinese id with its date": ("110105 1949-12-31 002X", (), "[id]"),
    "a Chinese id with its date, joined": ("110105-1949-12-31-002X", (), "[id]"),
    "a Chinese mobile": ("电话13900001111", (), "电话[phone]"),
    "a Chinese mobile, spaced": ("电话 139 0000 1111 哦", (), "电话 [phone] 哦"),
    "a Chinese mobile, wide digits": ("电话１３９００００１１１１", (), "电话[phone]"),
    "a Chinese landline": ("010-62770334", (), "[phone]"),
    "an international number": ("call +49 30 901820", (), "call [phone]"),
    "a British number": ("07700 900 417", (), "[phone]"),
    "an American number": ("(202) 555-0123", (), "[phone]"),
    "her name": ("I am Ada Lovelace", ADA, "I am [name]"),
    "her name in other case": ("ADA  LOVELACE here", ADA, "[name] here"),
    "half of her name": ("Ms Lovelace asked", ADA, "Ms [name] asked"),
    "her number in another form": ("on +447700900417", ADA, "on [phone]"),
    "an id of advertisements, twice": ("SSN 078-05-1120 078 05 1120", (), "SSN [id] [id]"),
    "an id next to its name": ("NHS9434765919", (), "NHS[id]"),
    "an account next to its name": ("IBANDE89370400440532013000", (), "IBAN[account]"),
    "an insured next to the word": ("NINOAB123456C", (), "NINO[id]"),
    "a card over two lines": ("card 4111 1111\n1111 1111 ok", (), "card [card] ok"),
    "an account over two lines": ("DE89 3704 0044\n0532 0130 00", (), "[account]"),
    "a card between times": ("12:30 4111 1111 1111 1111 13:00", (), "12:30 [card] 13:00"),
    "a number after a count": ("am 3 030 124405", (), "am 3 [phone]"),
    "a number before a count": ("612 34 52 44 12", (), "[phone] 12"),
    "a number in brackets": ("(0121 234 4671)", (), "[phone]"),
    "a name of common words": (
        "Mr Will called, Bill's bill",
        WILL,
        "Mr [name] called, [name] bill",
    ),
    "a name of common words, turned": ("Will, Bill will pay", WILL, "[name] will pay"),
    "a name of common words in a text of small letters": ("bill here", WILL, "[name] here"),
    "one name of common words of two": (
        "I will pay the bill. Will Bill be sent?",
        WILL,
        "I will pay the bill. [name] be sent?",
    ),
    "an address whose street is in it": ("Hauptstraße 5b, Berlin", (HAUPT,), "[name]"),
    "his name": ("我是王小明，想退款", WANG, "我是[name]，想退款"),
    "his number with spaces": ("打 138-1234-5678", WANG, "打 [phone]"),
}
LEFT: dict[str, tuple[str, tuple[str, ...]]] = {
    "a date": ("on 2026-11-21 at 12:30", ()),
    "an amount": ("I paid 1,234,567.89 for order 20261121001", ()),
    "sixteen digits that are no card": ("reference 4111 1111 1111 1112", ()),
    "eighteen digits that are no id": ("110105194912310021", ()),
    "a word with her name inside": ("adaptable Canada", ADA),
    "a family name alone": ("王先生您好", WANG),
    "nothing": ("", ADA),
    "an order that no issuer of cards gives": ("order 1234567812345670", ()),
    "an account whose check is wrong": ("IBAN GB82 WEST 1234 5698 7654 33", ()),
    "an invoice": ("invoice 2026/4711 of 3 May, room 0301", ()),
    "years in two lines": ("2019 2020\n2021 2022", ()),
    "a log line": ("login from 35.32.130.60 2025-08-16 20:24", ()),
    "an hour before an address of the Internet": ("2006-01-02 04:00 119.87.215.119 ok", ()),
    "words that are names too": ("Please will the price rise? The bill may.", WILL),
    "a word of a street": ("the long street and a baker", ("221B Baker Street",)),
    "a flat": ("my apartment is cold", ("Apartment 4, 12 High Road",)),
    "a sentence": ("the app is slow, 3 of 5 stars", ADA),
}


STREETS: dict[str, tuple[str, ...]] = {  # stored, and what others write
    "Lange Straße 12a\n80331 München": (
        *("Lange Straße", "LANGE STRASSE", "Lange Straße 12", "Lange Straße Nr. 12a"),
        *("Lange Str. 12 a", "80331 Muenchen"),
    ),
    "Hauptstraße 5b": ("Hauptstraße", "Hauptstraße 5", "Hauptstr. 5 B", "Hauptstrasse 5b"),
    "221B Baker Street": ("Baker Street", "221 Baker Street", "Baker St.", "221b baker st"),
    "221B Baker Street, London NW1 6XE": ("221B Baker St", "London NW1 6XE", "221 B Baker Street"),
    "10 Downing Street London SW1A 2AA": ("Downing Street", "10 Downing St"),
    "Goethestr. 4": ("Goethestraße 4", "Goethestrasse 4", "Goethestr 4", "Goethestraße"),
    "5 High St": ("5 high street", "High Street 5"),
    "Calle de Alcalá 45, 3º izq": (
        *("C/ Alcalá 45", "Alcalá 45", "Calle Alcalá", "calle de alcala 45"),
        *("C. de Alcalá, 45", "Calle de Alcalá nº 45"),
    ),
    "Müllerstraße 12-14, 10115 Berlin": ("Muellerstr. 12", "Müllerstraße"),
    "Am Markt 3c 10115 Berlin": ("Am Markt 3c", "am markt"),
    "北京市朝阳区建国路88号": ("建国路", "建国路88号", "建国路 88 号", "朝阳区建国路88号"),
}
LOG_LINES = (
    "login from {ip} {date} {time}",
    "{date} {time} {ip} ok",
    "{date}T{time}:05 {ip}:443 GET",
    "{ip} - - [{date} {time}] 200 {number}",
    "{date} {time}:11,123 {number} bytes",
)


@pytest.mark.parametrize("stored", STREETS)
def test_g230_a_street_is_masked_however_it_and_its_number_are_written(stored: str) -> None:
    for written in STREETS[stored]:
        assert mask(f"to: {written}, now", (stored,)) == "to: [name], now", written


def test_g232_log_lines_stay_as_they_are() -> None:
    random = Random(1)
    for at in range(1_000):
        line = LOG_LINES[at % len(LOG_LINES)].format(
            ip=".".join(str(random.randrange(256)) for _ in range(4)),
            date=f"{random.randint(2000, 2030)}-{random.randint(1, 12):02d}-{at % 28 + 1:02d}",
            time=f"{random.randrange(24):02d}:{random.randrange(60):02d}",
            number=random.randint(1, 9_999),
        )
        assert mask(line, ADA) == line


@pytest.mark.parametrize("why", FOUND)
def test_what_names_a_person_is_masked(why: str) -> None:
    text, known, wanted = FOUND[why]
    assert mask(text, known) == wanted


@pytest.mark.parametrize("why", LEFT)
def test_what_names_nobody_is_left_as_it_is(why: str) -> None:
    text, known = LEFT[why]
    assert mask(text, known) == text


@given(st.text(max_size=200))
def test_masking_again_changes_nothing(text: str) -> None:
    once = mask(text, ADA)
    assert mask(once, ADA) == once


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from([*ADA[1:], *WANG[1:]]))
def test_no_known_address_or_number_is_left(before: str, after: str, value: str) -> None:
    text = f"{before} {value} {after}"
    assert value not in mask(text, (value,))


HOSTILE = (
    *("a", "1 ", "a.b@", "+1-", "4111 1111 ", "DE89 ", "(0) ", '"', "José ", "中", "1", "ada l. "),
    *("1 - ", "0170/", "1-", "4111 ", "00 49 ", "3 ", "0 ", "ab 12 ", "1.", "2025-08-16 ", "1("),
    *(
        "1.1.1.1 ",
        "nhs 1 ",
        "x1 ",
        "1\n",
        "4111\n",
        "7 7 0 0 9 0 0 4 1 ",
        "ext. 1 ",
        "221b ",
        "baker ",
    ),
)
ORDINARY = (
    "the app is slow, 3 of 5 stars, says Ada Lovelace of 221b Baker Street, and her mail is. "
)
MAX_CALLS = (
    400  # of functions, for a character; how long they take: python -m benchmarks gate_masking
)


@pytest.mark.parametrize("text", HOSTILE)
def test_g287_what_a_hostile_text_costs_grows_with_its_length_alone(text: str) -> None:
    whole, part = _calls(text, 6_000), _calls(text, 1_500)
    assert whole < MAX_CALLS * 6_000
    assert whole < 4.4 * part


def test_g287_random_figures_cost_no_more_for_a_character() -> None:
    random = Random(2)
    for separator in (" ", "-", " - ", "/", ".", "(", "\n"):
        for figures in (1, 2, 4, 7):
            groups = (f"{random.randrange(10**figures):0{figures}}" for _ in range(2_000))
            assert _calls(separator.join(groups), 6_000) < MAX_CALLS * 6_000, (separator, figures)


def _calls(text: str, length: int) -> int:
    """Calls of functions, and returns from them, for so many characters of the text repeated."""
    mask("+44 7700 900417 0049 170 5550100", OWN)  # loads the plans of telephone numbers
    text = (text * (length // len(text) + 1))[:length]
    counted = 0

    def count(_frame: Any, _event: str, _arg: Any) -> None:
        nonlocal counted
        counted += 1

    sys.setprofile(count)
    try:
        mask(text, OWN)
    finally:
        sys.setprofile(None)
    return counted


def bank(tmp_path: Path) -> World:
    """A scene with a note that people wrote, in which one may read notes but not names."""
    made = world(tmp_path)
    path = tmp_path / "notes.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(
            "CREATE TABLE customer AS SELECT * FROM (VALUES"
            " ('c1', 'Ada Lovelace', 'Ada here, ada@mail.example'),"
            " ('c2', '王小明', '我是王小明'), ('c3', 'Cy', NULL)) people(id, name, note)"
        )
    care = scene("care", {"note": Fallback.WITHHOLD}, fallback=Fallback.WITHHOLD)
    note = care.fields["note"]
    field = replace(note, item=replace(note.item, free_text=True))
    care = replace(care, fields={"note": field})
    scenes = {"care": care, **SCENES}
    gate = build(
        made.ledger,
        DuckDBSource(path),
        scenes,
        made.gate.journal,
        shipped(),
        bytes(32),
        options=options(known_by=("name",)),
    )
    made = World(made.ledger, gate)
    for subject in ("c1", "c2", "c3"):
        made.says(subject, Granted("care", ("note",), None))
    return made


MASKED = {"[name] here, [e-mail]", "我是[name]", None}


def test_a_free_text_of_a_contract_leaves_masked(tmp_path: Path) -> None:
    gate = bank(tmp_path).gate
    points = {
        gate.read(ReadRequest("analytics", "care", subject, ("note",), NOON)).values["note"]
        for subject in ("c1", "c2", "c3")
    }
    assert points == MASKED
    request = TableRequest("analytics", "care", ("note",), NOON)
    reads: list[Any] = [read_rows, read_table]
    for read in reads:
        answer = read(gate, request)
        assert {*answer.table["note"].to_pylist()} == MASKED
        assert "name" not in answer.table.column_names


def test_a_free_text_is_compared_with_nothing(tmp_path: Path) -> None:
    condition = FilterCondition("note", "eq", "Ada here")
    request = TableRequest("analytics", "care", ("note",), NOON, filter=(condition,))
    with pytest.raises(FilterError, match="free text"):
        read_rows(bank(tmp_path).gate, request)
