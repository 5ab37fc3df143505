"""What the search for a customer's reads refuses in an entry or a list of a read log."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger.verify import read_log_entry
from ledger.verify.read_log_entry import EntryError

TAG, DIGEST, MASKED = "ab" * 24, "cd" * 32, "ef" * 8
WORDING: dict[str, Any] = {
    "fields": ["age"],
    "plan": DIGEST,
    "reason": "granted",
    "release": None,
    "rows": 1,
    "scene": "segmentation",
    "service": "analytics",
    "views": {"age": "personal"},
}
COMMON: dict[str, Any] = {"at": "2026-11-21T12:00:00Z", "consent": {"root": "AA==", "size": 7}}
ONE = {**WORDING, **COMMON, "action": "read", "cohort": None}
ONE |= {"determined_by": MASKED, "subject": TAG}
OWN = ONE | {"action": "own", "plan": "", "scene": "", "service": ""}
MANY = {**WORDING, **COMMON, "action": "rows", "answered": DIGEST, "cohort": DIGEST}
MANY |= {"determined_by": None, "subject": None}
BATCH = {**COMMON, "action": "batch", "decisions": 2, "list": DIGEST, "service": "analytics"}
LIST: dict[str, Any] = {"decisions": [[TAG, MASKED, 0], [TAG, None, 0]], "wordings": [WORDING]}
Change = Callable[[dict[str, Any]], object]


def leaf(members: dict[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


ALSO_BATCHES = [BATCH | {"action": each} for each in ("named", "policy")]


@pytest.mark.parametrize(
    "entry",
    [
        ONE,
        OWN,
        MANY,
        BATCH,
        *ALSO_BATCHES,
        MANY | {"action": "statistics"},
        MANY | {"mode": "naive"},
    ],
)
def test_what_a_journal_writes_is_parsed(entry: dict[str, Any]) -> None:
    assert read_log_entry.parse(leaf(entry)) == entry


@pytest.mark.parametrize("position", [0, 1, None])
def test_earlier_versions_wrote_the_position_itself(position: int | None) -> None:
    entry = ONE | {"determined_by": position}
    assert read_log_entry.parse(leaf(entry)) == entry


ENTRIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the members of a batch": (BATCH, {"more": 1}),
    "the digest of a list": (BATCH, {"list": DIGEST[1:]}),
    "a number of decisions": (BATCH, {"decisions": 0}),
    "the members of a read-log entry": (ONE, {"more": 1}),
    "a tag and no set": (ONE, {"cohort": DIGEST}),
    "no service, scene or plan, in a customer's access to their own row": (OWN, {"scene": "x"}),
    "a position, masked or not": (ONE, {"determined_by": "x"}),
    "a known action, and no tag": (MANY, {"action": "listen"}),
    "no position": (MANY, {"determined_by": 4}),
    "digests of sets": (MANY, {"answered": TAG}),
}


@pytest.mark.parametrize("wanted", ENTRIES)
def test_an_entry_is_refused_that_no_journal_writes(wanted: str) -> None:
    entry, change = ENTRIES[wanted]
    with pytest.raises(EntryError, match=f"want {wanted}:"):
        read_log_entry.parse(leaf(entry | change))


@pytest.mark.parametrize("entry", [ONE, MANY, BATCH], ids=["one", "many", "batch"])
def test_what_is_read_as_text_is_text(entry: dict[str, Any]) -> None:
    for name in entry.keys() & {"at", "plan", "reason", "scene", "service"}:
        with pytest.raises(EntryError, match="want texts:"):
            read_log_entry.parse(leaf(entry | {name: 7}))


@pytest.mark.parametrize("action", [7, None, [], {}])
def test_an_action_is_text(action: Any) -> None:
    with pytest.raises(EntryError, match="want "):
        read_log_entry.parse(leaf(ONE | {"action": action}))


@pytest.mark.parametrize("at", ["2026-11-21T12:00:00", "2026-11-21 12:00:00Z", "now"])
def test_a_time_is_in_utc(at: str) -> None:
    with pytest.raises(EntryError, match="want a time in UTC:"):
        read_log_entry.parse(leaf(ONE | {"at": at}))


@pytest.mark.parametrize("name", ["plan", "reason", "scene", "service"])
def test_what_is_read_as_text_is_text_in_a_list(name: str) -> None:
    listed = json.loads(leaf(LIST))
    listed["wordings"][0][name] = 7
    with pytest.raises(EntryError, match="want texts:"):
        read_log_entry.decisions(leaf(listed), BATCH)


def without_plan(listed: dict[str, Any]) -> None:
    del listed["wordings"][0]["plan"]


LISTS: dict[str, Change] = {
    "decisions and wordings": lambda it: it.update(more=[]),
    "two lists": lambda it: it.update(wordings={}),
    "2 decisions": lambda it: it["decisions"].pop(),
    "the members of a wording": without_plan,
    "a view for each field": lambda it: it["wordings"][0].update(views={"age": 5}),
    "three members": lambda it: it["decisions"][0].pop(),
    "a tag": lambda it: it["decisions"][0].__setitem__(0, "x"),
    "a position, masked or not": lambda it: it["decisions"][0].__setitem__(1, "x"),
    "the number of a wording": lambda it: it["decisions"][0].__setitem__(2, 1),
}


@pytest.mark.parametrize(
    ("batch", "action"), [("batch", "evaluate"), ("named", "named"), ("policy", "policy")]
)
def test_a_list_has_one_entry_for_each_decision(batch: str, action: str) -> None:
    both = read_log_entry.decisions(leaf(LIST), BATCH | {"action": batch})
    alone = ONE | {"action": action}
    del alone["cohort"], alone["consent"]
    assert both == [alone, alone | {"determined_by": None}]


@pytest.mark.parametrize("wanted", LISTS)
def test_a_list_is_refused_that_no_journal_writes(wanted: str) -> None:
    listed = json.loads(leaf(LIST))
    LISTS[wanted](listed)
    with pytest.raises(EntryError, match=f"want {wanted}:"):
        read_log_entry.decisions(leaf(listed), BATCH)
