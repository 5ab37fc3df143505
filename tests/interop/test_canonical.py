"""Clauses I60 and I61 of specs/instruction.md: strict JSON here and in the browser."""

import pytest
import rfc8785
from hypothesis import given

from ledger.events import canonical_json, envelope
from ledger.events.canonical_json import StrictJsonError
from tests.campaign import sized
from tests.fuzz.canonical import compared, documents
from tests.interop.opinions import has_node
from tests.ledger.events import instructions, trees

DEEP = b"[" * 64 + b"]" * 64
REFUSED = {
    "nothing": b"",
    "white space alone": b" ",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'"\xff"',
    "half a character": b'"\\ud800"',
    "half a character, encoded": b'"\xed\xa0\x80"',
    "a key twice": b'{"a":1,"a":1}',
    "a key twice, once escaped": b'{"a":1,"\\u0061":2}',
    "a key twice, deep inside": b'[{"b":{"a":1,"a":1}}]',
    "a key that is not ASCII": '{"é":1}'.encode(),
    "a key without quotes": b"{a:1}",
    "a fraction": b"1.5",
    "a whole number with a point": b"1.0",
    "an exponent": b"1e2",
    "minus zero": b"-0",
    "a zero before": b"01",
    "a plus": b"+1",
    "2^53": b"9007199254740992",
    "-2^53": b"-9007199254740992",
    "a number of 5000 digits": b"9" * 5000,
    "not a number": b"NaN",
    "without end": b"Infinity",
    "a comma too many": b"[1,]",
    "a comment": b"{}//",
    "two values": b"{}{}",
    "a control character": b'"\n"',
    "an escape there is none": b'"\\a"',
    "white space there is none": b"\x0b1",
    "nested too deep": b"[" + DEEP + b"]",
    "nested far too deep": b"[" * 100_000,
}
ACCEPTED = {
    b' { "b" : [ 1 , null ] , "a" : "\\u00e9\\/" } ': '{"a":"é/","b":[1,null]}',
    b'"\\ud83d\\ude00\\u0000\\u001F\x7f"': '"😀\\u0000\\u001f\x7f"',
    b'{"__proto__":{"toString":1}}': '{"__proto__":{"toString":1}}',
    b'{"10":1,"9":2,"a":3,"A":4}': '{"10":1,"9":2,"A":4,"a":3}',
    b"9007199254740991": "9007199254740991",
    DEEP: DEEP.decode(),
}


@pytest.mark.parametrize("why", REFUSED)
def test_i60_strict_json_is_not(why: str) -> None:
    with pytest.raises(StrictJsonError):
        canonical_json.parse(REFUSED[why])


@pytest.mark.parametrize("data", ACCEPTED)
def test_i60_one_value_has_one_form(data: bytes) -> None:
    assert canonical_json.canonical(canonical_json.parse(data)).decode() == ACCEPTED[data]


@given(trees)
def test_i60_what_is_written_reads_back(found: object) -> None:
    data = canonical_json.canonical(found)
    assert canonical_json.parse(data) == found
    assert data == rfc8785.dumps(found)  # type: ignore[arg-type] # a tree


@given(instructions)
def test_i60_instructions_are_strict_json(said: envelope.Instruction) -> None:
    data = envelope.encode(said)
    assert canonical_json.canonical(canonical_json.parse(data)) == data


@pytest.mark.campaign
@pytest.mark.skipif(not has_node(), reason="needs Node 20 or later")
def test_i61_server_and_page_read_and_write_the_same() -> None:
    found = compared(documents(sized(3_000, 100_000), seed=5))
    assert found.differing == []
    assert found.tried / 6 < found.accepted < found.tried * 5 / 6


@pytest.mark.skipif(not has_node(), reason="needs Node 20 or later")
def test_i61_the_page_says_the_same_of_every_case() -> None:
    found = compared([*REFUSED.values(), *ACCEPTED])
    assert found.differing == []
    assert found.accepted == len(ACCEPTED)
