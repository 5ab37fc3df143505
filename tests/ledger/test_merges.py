"""Clauses E17 to E20 of specs/event.md: `fsck` names what allows more (acts 35 and 53)."""

from datetime import timedelta
from pathlib import Path

import pytest

from ledger.events.acts import Act, Imported, Limited, Merged, Renamed, SourceDeleted, Split
from ledger.events.envelope import EvidenceClass, Granted, Instruction, TriggerSet, Withdrawn
from ledger.fsck import fsck
from ledger.service import Ledger
from tests.ledger.events import NOON, WORDING
from tests.ledger.worlds import opened, say

A, B, C = "a", "b", "c"
AGE = Granted(A, ("age",), None)
BOTH = Granted(A, ("age", "job"), None)
OLD: dict[str, tuple[list[Act], list[Act]]] = {  # what the other one said, and this one
    "it stays allowed": ([Withdrawn(A)], [AGE]),
    "the other one never said it": ([], [AGE]),
    "it is silent where the other one refused": ([Withdrawn(A)], [Granted(B, ("age",), None)]),
    "an item that the other one did not allow": ([AGE], [BOTH]),
    "a later end": ([Granted(A, ("age",), NOON)], [AGE]),
    "the other one was deleted": ([AGE, SourceDeleted()], [AGE]),
}
NARROW: dict[str, list[Act]] = {
    "it stays allowed": [Withdrawn(A)],
    "the other one never said it": [Withdrawn(A)],
    "it is silent where the other one refused": [Withdrawn(A), Withdrawn(B)],
    "an item that the other one did not allow": [Limited(A, ("age",), None)],
    "a later end": [Limited(A, ("age",), NOON)],
    "the other one was deleted": [Withdrawn(A)],
}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return opened(tmp_path / "home")


def record(ledger: Ledger, *acts: tuple[str, Act]) -> int:
    """The acts of one command, together; returns the index of the second."""
    drafts: list[Instruction] = []
    for who, act in acts:
        mine = [each for each in drafts if each.subject == who]
        drafts.append(
            mine[-1].next(act, at=NOON, wording=WORDING)
            if mine
            else ledger.draft(who, act, at=NOON, wording=WORDING, evidence=EvidenceClass.IMPORTED)
        )
    return ledger.record(drafts)[1].index


def findings(ledger: Ledger, home: Path) -> list[tuple[str, str]]:
    ledger.close()
    return [(each.where, each.what) for each in fsck(home / "home")]


@pytest.mark.parametrize("why", OLD)
@pytest.mark.parametrize("narrowed", [False, True])
def test_e19_a_merge_after_which_more_is_allowed_is_named(
    why: str, ledger: Ledger, tmp_path: Path, *, narrowed: bool
) -> None:
    theirs, mine = OLD[why]
    say(ledger, "c1", *theirs)
    say(ledger, "c2", *mine)
    narrow = [("c2", each) for each in NARROW[why]] if narrowed else []
    marks: list[tuple[str, Act]] = [("c1", SourceDeleted("c2")), ("c2", Merged("c1", ()))]
    index = record(ledger, *marks, *narrow)
    found = findings(ledger, tmp_path)
    if narrowed:
        assert found == []
    else:
        assert [where for where, _ in found] == [f"entry {index}"]
        assert (
            "after this merge more is allowed than the other customer allowed, in a" in found[0][1]
        )


def test_e19_what_silence_allowed_of_the_other_one_may_stay(ledger: Ledger, tmp_path: Path) -> None:
    say(ledger, "c2", AGE)
    say(ledger, "c1", Granted(B, ("age",), None))
    marks: list[tuple[str, Act]] = [("c1", SourceDeleted("c2")), ("c2", Merged("c1", (A,)))]
    record(ledger, *marks)
    assert findings(ledger, tmp_path) == []


@pytest.mark.parametrize("narrowed", [False, True])
def test_e19_a_split_after_which_an_objection_is_lost_is_named(
    ledger: Ledger, tmp_path: Path, *, narrowed: bool
) -> None:
    say(ledger, "c1", AGE, Withdrawn(B))
    narrow: list[tuple[str, Act]] = [("c9", Withdrawn(B))] if narrowed else []
    index = record(ledger, ("c1", Split("c9")), ("c9", Split("c1")), *narrow)
    found = findings(ledger, tmp_path)
    assert [where for where, _ in found] == ([] if narrowed else [f"entry {index}"])


def test_e19_a_split_gives_the_new_customer_nothing(ledger: Ledger, tmp_path: Path) -> None:
    say(ledger, "c1", AGE)
    record(ledger, ("c1", Split("c9")), ("c9", Split("c1")))
    say(ledger, "c9", AGE)
    assert findings(ledger, tmp_path) == [], "a later act of the customer is their own"


DAY = timedelta(days=1)
ARMED = TriggerSet(A, "below", "accuracy", 9200)
TAKEN = Imported(A, ("age",), None, "renamed:c1")
RENAMES: dict[str, tuple[list[Act], list[Act], timedelta, bool]] = {
    # what the old number said, what is recorded for the new one, how much later, whether it is more
    "the same": ([AGE], [TAKEN], 0 * DAY, False),
    "less": ([BOTH], [TAKEN], 0 * DAY, False),
    "a refusal": ([Withdrawn(A)], [Withdrawn(A)], 0 * DAY, False),
    "a condition": ([AGE, ARMED], [TAKEN, ARMED], 0 * DAY, False),
    "another item": ([AGE], [Imported(A, ("age", "job"), None, "")], 0 * DAY, True),
    "what was never allowed": ([], [TAKEN], 0 * DAY, True),
    "what was refused": ([Withdrawn(A)], [TAKEN], 0 * DAY, True),
    "silence in place of a refusal": ([Withdrawn(A)], [], 0 * DAY, True),
    "silence in place of a permission": ([AGE], [], 0 * DAY, True),
    "a later time": ([AGE], [TAKEN], DAY, True),
    "a later end": ([Granted(A, ("age",), NOON)], [TAKEN], 0 * DAY, True),
    "without its condition": ([AGE, ARMED], [TAKEN], 0 * DAY, True),
    "silence without its condition": ([ARMED], [], 0 * DAY, True),
}


@pytest.mark.parametrize("what", RENAMES)
def test_e20_a_rename_after_which_more_is_allowed_is_named(
    what: str, ledger: Ledger, tmp_path: Path
) -> None:
    old, new, later, more = RENAMES[what]
    say(ledger, "c1", *old)
    acts = [*new, Renamed("c1")]
    first = ledger.draft(
        "k9", acts[0], at=NOON + later, wording=WORDING, evidence=EvidenceClass.IMPORTED
    )
    drafts = [first]
    for each in acts[1:]:
        drafts.append(drafts[-1].next(each, at=NOON + later, wording=WORDING))
    ended = ledger.draft(
        "c1", SourceDeleted("k9"), at=NOON, wording=WORDING, evidence=EvidenceClass.IMPORTED
    )
    index = ledger.record([ended, *drafts])[-1].index
    found = findings(ledger, tmp_path)
    assert [where for where, _ in found] == ([f"entry {index}"] if more else [])
    assert all("after this rename more is allowed" in each for _, each in found)
