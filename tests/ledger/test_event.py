"""Clauses of specs/event.md."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.events import envelope
from ledger.events.envelope import (
    Event,
    Granted,
    Imported,
    Instruction,
    MalformedEventError,
    SignalReported,
    SyntheticReleased,
)
from tests.ledger.events import (
    ACTS,
    GRANTED,
    INSTRUCTION,
    KEY_ACTS,
    NOON,
    OF_THE_COMPANY,
    PUBLIC,
    instructions,
    publics,
    trees,
)

BYTES = envelope.encode(INSTRUCTION)
EVERY: tuple[Event, ...] = (
    *(replace(INSTRUCTION, act=act) for act in (*ACTS, *KEY_ACTS)),
    *OF_THE_COMPANY,
    replace(INSTRUCTION, mandate=bytes(32)),
    replace(INSTRUCTION, time_uncertain=True),
    *PUBLIC,
)


@pytest.mark.parametrize("each", EVERY, ids=lambda each: type(each).__name__)
def test_e1_every_kind_of_event_decodes_to_itself(each: Event) -> None:
    assert envelope.decode(envelope.encode(each)) == each


@given(instructions | publics)
def test_e1_every_event_decodes_to_itself(each: Event) -> None:
    assert envelope.decode(envelope.encode(each)) == each


@given(instructions | publics)
def test_e2_the_bytes_are_canonical_json_to_a_second_implementation(each: Event) -> None:
    data = envelope.encode(each)
    assert rfc8785.dumps(json.loads(data)) == data


def test_e2_the_example_of_the_specification() -> None:
    assert BYTES == (
        b'{"act":{"fields":["age","job"],"scene":"segmentation","type":"granted","until":null},'
        b'"at":"2026-01-01T12:00:00Z","evidence":"C","nonce":"' + b"A" * 22 + b'==",'
        b'"origin":"test.example/consent","prev":"' + b"A" * 43 + b'=","seq":1,"subject":"c1",'
        b'"type":"instruction","wording":{"digest":"' + b"A" * 43 + b'=","locale":"en"}}'
    )


def changed(**parts: Any) -> bytes:
    return json.dumps(
        json.loads(BYTES) | parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def without(name: str) -> bytes:
    left = {key: value for key, value in json.loads(BYTES).items() if key != name}
    return json.dumps(left, sort_keys=True, separators=(",", ":")).encode()


MALFORMED = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": BYTES.replace(b"c1", b"\xff\xfe"),
    "UTF-16": BYTES.decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + BYTES,
    "a list": b"[]",
    "a text": b'"instruction"',
    "a number": b"1",
    "null": b"null",
    "no type": without("type"),
    "an unknown type": changed(type="permitted"),
    "a type that is no text": changed(type=[]),
    "white space": BYTES.replace(b":", b": "),
    "a newline after it": BYTES + b"\n",
    "keys out of order": b'{"type":"subject-erased","at":"2026-01-01T12:00:00Z"}',
    "a key twice": BYTES.replace(b'"seq":1', b'"seq":1,"seq":1'),
    "an escape that is not needed": BYTES.replace(b"c1", b"c\\u0031"),
    "half a character": BYTES.replace(b"c1", b"\\ud800"),
    "a part missing": without("nonce"),
    "a part too many": changed(more=1),
    "a float": changed(seq=1.0),
    "a float in scientific notation": BYTES.replace(b'"seq":1', b'"seq":1e0'),
    "not a number at all": BYTES.replace(b'"seq":1', b'"seq":NaN'),
    "infinity": BYTES.replace(b'"seq":1', b'"seq":Infinity'),
    "negative zero": BYTES.replace(b'"seq":1', b'"seq":-0'),
    "an integer beyond 2^53": changed(seq=1 << 53),
    "an integer of 5000 digits": BYTES.replace(b'"seq":1', b'"seq":' + b"9" * 5000),
    "true for a number": changed(seq=True),
    "text for a number": changed(seq="1"),
    "a number for a text": changed(subject=1),
    "url-safe base64": changed(prev="_" * 43 + "="),
    "base64 without padding": changed(prev="A" * 43),
    "base64 with bits that are not used": changed(prev="A" * 42 + "B="),
    "base64 with a newline": changed(prev="A" * 43 + "=\n"),
    "hex": changed(prev="00" * 32),
    "a short predecessor": changed(prev="A" * 40),
    "a long nonce": changed(nonce="A" * 24),
    "a short wording digest": changed(wording={"digest": "AAAA", "locale": "en"}),
    "a part too many in the wording": changed(
        wording={"digest": "A" * 43 + "=", "locale": "en", "more": 1}
    ),
    "an unknown evidence class": changed(evidence="E"),
    "a time without its zone": changed(at="2026-01-01T12:00:00"),
    "a time in another zone": changed(at="2026-01-01T12:00:00+00:00"),
    "a time with a fraction": changed(at="2026-01-01T12:00:00.5Z"),
    "a day that does not exist": changed(at="2026-02-30T12:00:00Z"),
    "digits of another script": changed(at="٢026-01-01T12:00:00Z"),
    "an end within a minute": changed(
        act=json.loads(BYTES)["act"] | {"until": "2026-01-01T12:00:01Z"}
    ),
    "a field twice": changed(act=json.loads(BYTES)["act"] | {"fields": ["age", "age"]}),
    "fields that are a text": changed(act=json.loads(BYTES)["act"] | {"fields": "age"}),
    "an act that is none": changed(act={"type": "subject-erased", "at": "2026-01-01T12:00:00Z"}),
    "an instruction as an act": changed(act=json.loads(BYTES)),
    "an act alone": b'{"fields":null,"scene":"s","type":"withdrawn"}',
    "nested too deep": b'{"at":"2026-01-01T12:00:00Z","body":{"a":'
    + b"[" * 40
    + b"]" * 40
    + b'},"release":"r","scene":"s","type":"synthetic-released"}',
    "nested far too deep": b"[" * 200_000,
    "a body that is a list": b'{"at":"2026-01-01T12:00:00Z","body":[1],"release":"r",'
    b'"scene":"s","type":"synthetic-released"}',
    "a key outside ASCII": '{"at":"2026-01-01T12:00:00Z","body":{"é":1},"release":"r",'
    '"scene":"s","type":"synthetic-released"}'.encode(),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_e3_what_departs_from_the_profile_is_refused(why: str) -> None:
    with pytest.raises(MalformedEventError):
        envelope.decode(MALFORMED[why])


@given(st.binary(max_size=60) | trees.map(lambda tree: json.dumps(tree).encode()))
def test_e3_one_error_and_no_other(data: bytes) -> None:
    with pytest.raises(MalformedEventError):
        envelope.decode(data)


@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_e3_a_changed_byte_is_another_event_or_none(at: int, change: int) -> None:
    data = bytearray(BYTES)
    data[at] ^= change
    try:
        found = envelope.decode(bytes(data))
    except MalformedEventError:
        return
    assert found != INSTRUCTION
    assert envelope.encode(found) == bytes(data)


@given(trees, st.sampled_from(sorted(json.loads(BYTES))))
def test_e3_any_value_in_any_part_is_refused_or_stands_for_itself(tree: Any, name: str) -> None:
    data = changed(**{name: tree})
    try:
        found = envelope.decode(data)
    except MalformedEventError:
        return
    assert envelope.encode(found) == data


def wrong(**parts: Any) -> Callable[[], bytes]:
    return lambda: envelope.encode(replace(INSTRUCTION, **parts))


UNENCODABLE: dict[str, Callable[[], bytes]] = {
    "an end within a minute": lambda: envelope.encode(
        replace(INSTRUCTION, act=Imported("s", (), NOON.replace(second=1), "x"))
    ),
    "a naive time": wrong(at=NOON.replace(tzinfo=None)),
    "a fraction of a second": wrong(at=NOON.replace(microsecond=1)),
    "a time before all times": wrong(at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
    "an evidence class of no kind": wrong(evidence="Z"),
    "half a character": wrong(subject="\ud800"),
    "a number for a text": wrong(subject=7),
    "a float": wrong(seq=1.0),
    "an integer beyond 2^53": wrong(seq=1 << 53),
    "true for a number": wrong(seq=True),
    "a short predecessor": wrong(prev=bytes(31)),
    "a long nonce": wrong(nonce=bytes(17)),
    "an event for an act": wrong(act=PUBLIC[0]),
    "an act for a wording": wrong(wording=GRANTED),
    "a field twice": lambda: envelope.encode(
        replace(INSTRUCTION, act=Granted("s", ("age", "age"), None))
    ),
    "a text for fields": wrong(act=Granted("s", "age", None)),  # type: ignore[arg-type]  # on purpose
    "a float in a body": lambda: envelope.encode(SyntheticReleased("r", "s", {"a": 0.5}, NOON)),
    "a key outside ASCII": lambda: envelope.encode(SyntheticReleased("r", "s", {"é": 1}, NOON)),
    "nothing": lambda: envelope.encode(None),  # type: ignore[arg-type]  # on purpose
}


@pytest.mark.parametrize("why", UNENCODABLE)
def test_e4_what_could_not_be_decoded_is_not_encoded(why: str) -> None:
    with pytest.raises(MalformedEventError):
        UNENCODABLE[why]()


def test_e5_the_next_instruction_names_the_one_before() -> None:
    following = INSTRUCTION.next(GRANTED, at=NOON, wording=INSTRUCTION.wording)
    assert (following.seq, following.prev) == (2, envelope.digest(INSTRUCTION))
    assert following.nonce != INSTRUCTION.nonce
    assert following.evidence is INSTRUCTION.evidence


def test_e1_a_class_keeps_its_name() -> None:
    encoded = json.loads(envelope.encode(SignalReported("s", "accuracy", 9200, NOON)))
    assert encoded["type"] == "signal-reported"
    assert isinstance(envelope.decode(BYTES), Instruction)
