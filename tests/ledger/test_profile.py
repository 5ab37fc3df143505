"""Clause E6 of specs/event.md: the verifier's own reading of events and the ledger's are one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import envelope
from ledger.events.envelope import MalformedEventError
from ledger.vault.commitments import canonical
from ledger.verify import event_profile
from ledger.verify.event_profile import ProfileError, require_event
from tests.ledger.events import instructions, publics, trees
from tests.ledger.test_event import BYTES, EVERY, MALFORMED

NOON = "2026-01-01T12:00:00Z"
ROOT = Path(__file__).parents[2]


def verdicts(data: bytes) -> tuple[bool, bool]:
    """Whether the ledger decodes the bytes; whether the verifier takes their JSON."""
    try:
        envelope.decode(data)
        decoded = True
    except MalformedEventError:
        decoded = False
    try:
        value = json.loads(data)
        require_event(value)
        taken = canonical(value) == data
    except (ValueError, RecursionError):
        taken = False
    return decoded, taken


@given(instructions | publics)
def test_e6_every_event_is_one_to_the_verifier(each: envelope.Event) -> None:
    require_event(json.loads(envelope.encode(each)))


@pytest.mark.parametrize("each", EVERY, ids=lambda each: type(each).__name__)
def test_e6_one_of_each_kind_is_an_event_and_without_a_member_it_is_not(
    each: envelope.Event,
) -> None:
    value = json.loads(envelope.encode(each))
    require_event(value)
    for name in value.keys() - {"mandate", "time_uncertain"}:
        with pytest.raises(ProfileError):
            require_event({member: part for member, part in value.items() if member != name})


@pytest.mark.parametrize("why", MALFORMED)
def test_e6_what_the_ledger_refuses_the_verifier_refuses(why: str) -> None:
    assert verdicts(MALFORMED[why]) == (False, False)


@given(st.sampled_from(EVERY), st.data())
def test_e6_any_value_in_any_part_gets_one_verdict(
    each: envelope.Event, data: st.DataObject
) -> None:
    value = json.loads(envelope.encode(each))
    at = value
    while True:
        name = data.draw(st.sampled_from(sorted(at)))
        if not isinstance(at[name], dict) or not at[name] or data.draw(st.booleans()):
            break
        at = at[name]
    at[name] = data.draw(trees | st.sampled_from(NEARLY))
    decoded, taken = verdicts(canonical(value))
    assert decoded == taken, value


NEARLY: list[Any] = [
    "A" * 43 + "=",
    "A" * 42 + "g=",
    "A" * 42 + "B=",
    "A" * 22 + "==",
    "A" * 21 + "Q==",
    "A" * 21 + "B==",
    "2026-01-01T12:00:00Z",
    "2026-01-01T12:00:01Z",
    "2026-02-29T12:00:00Z",
    "2026-01-01t12:00:00z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    " 2026-01-01T12:00:00Z",
    1 << 53,
    -(1 << 53),
    (1 << 53) - 1,
    ["a", "b"],
    ["a", "a"],
    [1],
    "C",
    "granted",
    {},
]


@given(st.sampled_from(sorted(json.loads(BYTES))))
def test_e6_no_part_may_be_missing(name: str) -> None:
    value = json.loads(BYTES)
    del value[name]
    with pytest.raises(ProfileError):
        require_event(value)
    assert verdicts(canonical(value)) == (False, False)


def test_e6_the_page_knows_the_same_events_and_parts() -> None:
    page = (ROOT / "portal/web/static/verify.js").read_text()
    tables = page[page.index("const TRIGGER") : page.index("/** Who signed: {")]
    for kinds in (event_profile._EVENTS, event_profile._ACTS):
        for kind, parts in kinds.items():
            assert f'"{kind}":' in tables
            assert all(re.search(rf"\b{part}\b", tables) for part in parts)
    assert len(re.findall(r'^  "[a-z-]+":', tables, re.MULTILINE)) == len(
        [*event_profile._EVENTS, *event_profile._ACTS]
    )


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("levels", "taken"), [(15, True), (16, False), (17, False)])
def test_e3_a_body_has_at_most_so_many_levels(levels: int, taken: bool, as_list: bool) -> None:
    body: Any = 1
    for _ in range(levels - 1):
        body = [body] if as_list else {"a": body}
    body = {"a": body}
    value = {"type": "synthetic-released", "release": "r", "scene": "s", "at": NOON, "body": body}
    assert verdicts(canonical(value)) == (taken, taken)
