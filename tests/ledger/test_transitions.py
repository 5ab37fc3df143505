"""specs/statemap.md, S30 to S34: transitions of the map. The attacks are in tests/attacks."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.statemap import transition
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.map_replay import LogCounts, MapReplay
from ledger.statemap.transition import MalformedTransitionError, StateVersion, Transition
from ledger.tlog.merkle import EMPTY_ROOT
from specs.model import statemap
from tests.campaign import sized
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, change, opened, say

HASHES = st.binary(min_size=32, max_size=32)
VERSIONS = st.builds(StateVersion, st.integers(1, transition.MAX_VERSION - 1), HASHES)


@settings(max_examples=sized(30, 300))
@given(st.dictionaries(HASHES, VERSIONS, max_size=5))
def test_s31_a_record_formats_back_to_the_same_bytes(changes: dict[bytes, StateVersion]) -> None:
    data = transition.record(changes)
    assert transition.parse(data) == Transition(changes)
    assert len(data) == 1 + 72 * len(changes)


ONE = transition.record({bytes(32): StateVersion(1, bytes(32))})
MALFORMED = {
    "nothing": b"",
    "another kind": b"\x02",
    "a byte short": ONE[:-1],
    "a byte long": ONE + b"\0",
    "version 0": ONE[:33] + bytes(8) + ONE[41:],
    "version 2^53": ONE[:33] + (1 << 53).to_bytes(8) + ONE[41:],
    "a label twice": ONE + ONE[1:],
    "labels that descend": transition.record({b"\1" * 32: StateVersion(1, bytes(32))}) + ONE[1:],
    "half a map": transition.base_record([bytes(63)]),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_s31_malformed_records_are_refused(why: str) -> None:
    with pytest.raises(MalformedTransitionError):
        transition.parse(MALFORMED[why])


FILES: dict[str, Callable[[bytes], bytes]] = {
    "another header": lambda data: b"x" + data[1:],
    "a number cut off": lambda data: data[:30],
    "a record cut off": lambda data: data[:-1],
    "an entry twice": lambda data: data + data[25:],
    "a record of 2^40 bytes": lambda data: data[:33] + (1 << 40).to_bytes(8) + data[41:],
}


@pytest.mark.parametrize("why", FILES)
def test_s31_malformed_files_are_refused(why: str) -> None:
    file = io.BytesIO()
    assert transition.write(file, [(7, ONE)]) == 1
    assert [*transition.read(io.BytesIO(file.getvalue()))] == [(7, ONE)]
    with pytest.raises(MalformedTransitionError):
        [*transition.read(io.BytesIO(FILES[why](file.getvalue())))]


def entry(size: int, values: dict[bytes, bytes]) -> StateRoot:
    return StateRoot(size, EMPTY_ROOT, statemap.root(values))


@settings(max_examples=sized(30, 300))
@given(st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 3), min_size=1), max_size=6))
def test_s32_growing_versions_are_right_and_any_other_count_is_not(
    steps: list[dict[int, int]],
) -> None:
    """`steps`: how many instructions each of ten customers gives in each commit."""
    replay, total = MapReplay(), 0
    versions: dict[bytes, int] = {}
    values: dict[bytes, bytes] = {}
    for number, step in enumerate(steps, 1):
        given = {bytes([who]) * 32: by for who, by in step.items()}
        versions |= {label: versions.get(label, 0) + by for label, by in given.items()}
        changes = {label: StateVersion(versions[label], bytes([number]) * 32) for label in given}
        values |= {label: each.value for label, each in changes.items()}
        total += sum(given.values())
        wrong = replay.step(entry(total, values), transition.record(changes), LogCounts(total))
        assert wrong == []
    for count in (total - 1, total + 1):
        (found,) = replay.step(entry(total, values), None, LogCounts(count))
        assert "the versions advance by 0" in found


def test_s33_what_a_ledger_records_is_right_through_erasures_and_returns(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        say(ledger, "c-1", AGE, AGE)
        say(ledger, "c-2", AGE)
        ledger.erase("c-1", NOON)
        say(ledger, "c-1", AGE)  # returns, as somebody new
        say(ledger, "c-2", AGE)
        assert len([*_records(ledger)]) == 5
    assert [*fsck(tmp_path)] == []


def _records(ledger: Ledger) -> list[tuple[int, bytes]]:
    return [*ledger._store.state_store().transitions()]


DAMAGE = {
    "a byte": ('UPDATE state_transition SET data = ? WHERE "index" = 1', [ONE]),
    "a record": ('DELETE FROM state_transition WHERE "index" = 1', []),
    "a record that is none": ('UPDATE state_transition SET data = ? WHERE "index" = 1', [b"?"]),
}


@pytest.mark.parametrize("why", DAMAGE)
def test_s34_fsck_finds_a_changed_or_missing_transition(tmp_path: Path, why: str) -> None:
    with closing(opened(tmp_path)) as ledger:
        say(ledger, "c-1", AGE, AGE)
    statement, values = DAMAGE[why]
    change(tmp_path / "ledger.sqlite", statement, *values)
    found = [*fsck(tmp_path)]
    assert {each.where for each in found} == {"table state_transition"}
    assert all(each.what.startswith("entry 1: ") for each in found)
