"""Free text leaves masked (G29): what a customer is known by, and what proves what it is."""

import time
from dataclasses import replace
from pathlib import Path
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
    "a sentence": ("the app is slow, 3 of 5 stars", ADA),
}


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


@pytest.mark.parametrize(
    "text",
    ["a", "1 ", "a.b@", "+1-", "4111 1111 ", "DE89 ", "(0) ", '"', "José ", "中", "1", "ada l. "],
)
def test_a_hostile_text_takes_time_linear_in_its_length(text: str) -> None:
    mask(text, ADA)  # loads the plans of telephone numbers
    short, long = (min(_spent(text * times) for _ in range(3)) for times in (1_500, 6_000))
    assert long < 8 * max(short, 0.02), (short, long)


def _spent(text: str) -> float:
    start = time.process_time()
    mask(text, ADA)
    return time.process_time() - start


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
