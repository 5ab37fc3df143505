"""Answers and streams are understood whole, or are errors (G185, G186)."""

import asyncio
from typing import Any

import pytest

from sovereign_client import (
    AsyncClient,
    Client,
    CustomerRow,
    Generalised,
    IncompleteError,
    MalformedError,
    NamedRow,
    NotPersonalError,
    Personal,
    Retries,
    Synthetic,
    UnknownAnswerError,
    Withheld,
    values,
)
from sovereign_client.rows import CustomerRows, NamedRows, RowParser
from tests.clients.answering import Reply, answering

LINE = b'{"customer":"c1","age":31,"age.view":"personal"}\n'
NAMED = LINE.replace(b'"age":', b'"customer.allowed":true,"customer.reason":"granted","age":')
READ = (
    b'{"decision":true,"reason":"granted","fields":{"age":{"value":31,"view":"personal"}},'
    b'"release":null,"ledger_size":7,"determined_by":3,"read_log":"gate/reads","entry":4}'
)
EVIDENCE = {"Sovereign-Evidence": 'entry=12;ledger_size=7;read_log="gate.example/one"'}


def test_g185_a_values_type_says_what_it_is() -> None:
    found = {view: values.marked("age", 31, view) for view in ("personal", "generalised")}
    assert found == {"personal": Personal(31), "generalised": Generalised(31)}
    drawn, nothing = values.marked("age", 31, "synthetic"), values.marked("age", None, "withheld")
    assert (drawn, nothing) == (Synthetic(31), Withheld())
    assert drawn != Personal(31)
    assert not hasattr(drawn, "value")
    assert not hasattr(nothing, "value")
    fields = values.Fields({"age": Personal(31), "job": Synthetic("cook"), "x": Generalised(1)})
    assert fields.personal("age") == 31
    for each in ("job", "x"):
        with pytest.raises(NotPersonalError, match=f"{each} is {fields[each].view}"):
            fields.personal(each)


ROWS: dict[str, bytes] = {
    "a field that was not asked for": LINE.replace(b"}", b',"job":"cook"}'),
    "a field without its view": LINE.replace(b',"age.view":"personal"', b""),
    "an unknown view": LINE.replace(b"personal", b"true"),
    "a view that is no text": LINE.replace(b'"personal"', b"1"),
    "withheld with a value": LINE.replace(b"personal", b"withheld"),
    "an id that is a number": LINE.replace(b'"c1"', b"1"),
    "no id": LINE.replace(b'"customer":"c1",', b""),
    "no object": b"[1]\n",
    "an empty line": b"\n",
    "no JSON": b"<html>\n",
    "no UTF-8": LINE.replace(b"c1", b"\xff"),
    "deep": b"[" * 100_000 + b"\n",
    "two in a line": LINE[:-1] + LINE,
}


@pytest.mark.parametrize("why", ROWS)
def test_g185_a_row_that_is_not_understood_is_an_error(why: str) -> None:
    parser = RowParser(CustomerRows(), ["age"])
    assert parser.rows(LINE) == [CustomerRow({"age": Personal(31)}, "c1")]
    with pytest.raises(UnknownAnswerError):
        parser.rows(ROWS[why])


BODIES: dict[str, bytes] = {
    "another field": READ.replace(b'"age"', b'"job"'),
    "a field more": READ.replace(b'"fields":{', b'"fields":{"job":{"value":1,"view":"personal"},'),
    "no field": READ.replace(b'"age":{"value":31,"view":"personal"}', b""),
    "an unknown view": READ.replace(b"personal", b"true"),
    "no view": READ.replace(b',"view":"personal"', b""),
    "a decision that is a text": READ.replace(b"true", b'"true"'),
    "no decision": READ.replace(b'"decision":true,', b""),
    "no JSON": b"<html>",
    "nothing": b"",
}


@pytest.mark.parametrize("why", BODIES)
def test_g185_an_answer_that_is_not_understood_is_an_error(why: str) -> None:
    replies = [Reply(body=READ), Reply(body=BODIES[why])]
    with answering(replies.__getitem__) as server, Client(server.address, "key") as gate:
        assert gate.read("s", "c1", ["age"])["age"] == Personal(31)
        with pytest.raises(UnknownAnswerError):
            gate.read("s", "c1", ["age"])


def test_g186_a_stream_is_whole_at_no_byte_before_its_last() -> None:
    whole = NAMED + NAMED.replace(b"c1", b"c2")
    for size in range(len(whole) + 1):
        parser = RowParser(NamedRows(["c1", "c2"]), ["age"], 2)
        arrived: list[NamedRow] = []
        for start in range(0, size, 7):
            arrived += parser.rows(whole[start : min(start + 7, size)])
        if size == len(whole):
            parser.end()
            assert [each.customer for each in arrived] == ["c1", "c2"]
        else:
            with pytest.raises(IncompleteError):
                parser.end()


@pytest.mark.parametrize("ids", [["c2", "c1"], ["c1", "c3"], ["c1"]])
def test_g186_a_read_by_name_has_the_rows_of_its_ids_in_their_order(ids: list[str]) -> None:
    parser = RowParser(NamedRows(ids), ["age"], len(ids))
    with pytest.raises(UnknownAnswerError, match="in their order"):
        parser.rows(NAMED + NAMED.replace(b"c1", b"c2"))


CUT: dict[str, tuple[Reply, str]] = {
    "less than its length": (Reply(body=LINE, headers=EVIDENCE, cut=True), "broke off"),
    "inside a row": (Reply(body=LINE + LINE[:9], headers=EVIDENCE), "ends inside row 2"),
    "compressed": (
        Reply(body=LINE, headers=EVIDENCE | {"Content-Encoding": "gzip"}),
        "no content encoding",
    ),
}


@pytest.mark.parametrize("why", CUT)
def test_g186_rows_that_break_off_raise_in_both_clients(why: str) -> None:
    reply, said = CUT[why]

    async def with_asyncio(address: str) -> None:
        async with AsyncClient(address, "key") as gate, gate.rows("s", ["age"]) as rows:
            async for _ in rows:
                assert not rows.whole

    with answering(lambda _: reply) as server:
        with Client(server.address, "key") as gate, pytest.raises(IncompleteError, match=said):
            _all(gate)
        with pytest.raises(IncompleteError, match=said):
            asyncio.run(with_asyncio(server.address))
        assert len(server.paths) == 2, "once an answer has begun, nothing is repeated"


def _all(gate: Client) -> None:
    with gate.rows("s", ["age"]) as rows:
        for _ in rows:
            assert not rows.whole


def test_g186_an_arrow_table_without_its_end_mark_is_incomplete() -> None:
    with (
        answering(lambda _: Reply(body=b"ARROW")) as server,
        Client(server.address, "key") as gate,
        pytest.raises(IncompleteError, match="end mark"),
    ):
        gate.table_arrow("s", ["age"])


ARGUMENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a text for fields": ("read", ("s", "c1", "age")),
    "nobody": ("named", ("s", [], ["age"])),
    "an id twice": ("named", ("s", ["c1", "c1"], ["age"])),
    "a text for ids": ("named", ("s", "c1", ["age"])),
    "too many": ("named", ("s", [str(n) for n in range(10_001)], ["age"])),
    "no question": ("decide_all", ([],)),
}


@pytest.mark.parametrize("why", ARGUMENTS)
def test_wrong_arguments_are_not_sent(why: str) -> None:
    name, words = ARGUMENTS[why]
    with answering(lambda _: Reply()) as server, Client(server.address, "key") as gate:
        with pytest.raises(ValueError, match="want"):
            getattr(gate, name)(*words)
        assert server.paths == []


def test_g188_a_problem_is_an_exception_with_its_members() -> None:
    body = b'{"type":"urn:x","title":"No","status":400,"detail":"say it so","reason":"r","entry":3}'
    with answering(lambda _: Reply(400, body)) as server:
        gate = Client(server.address, "key", retries=Retries(1))
        with gate, pytest.raises(MalformedError, match="400 No: r: say it so") as raised:
            gate.uses()
    error = raised.value
    assert (error.type, error.title, error.detail) == ("urn:x", "No", "say it so")
    assert (error.reason, error.entry, error.status) == ("r", 3, 400)
