"""Limit the retired keys of a ledger that rotated its keys before policies had ranges."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.keys import log_keys, rotation
from ledger.statemap import map_proof
from ledger.tlog import checkpoint, policy
from ledger.tlog.policy import KeyRange, LogKey
from ledger.tlog.writer import Log
from ledger.verify import receipt as receipts


def limit(home: Path, log: Log, states: Log) -> None:
    """Limit retired keys that an earlier version did not limit to the sizes that they may sign.

    The receipts of the rotations say when each key was replaced. Durable on return.
    """
    for ring in log_keys.rings(home):
        retired, known = ring.before(), ring.ranges()
        if all(policy.key_name(key) in known for key in retired):
            continue
        of_log = states if ring.log == "state" else log
        found = _ranges(home, of_log.origin, retired)
        if ring.log == "state":
            ends = _state_sizes(states, {each.end - 1 for each in found.values() if each.end})
            found = {name: _at(ends, each) for name, each in found.items()}
        ring.retire(retired, found | known)
        ring.trust([each.verifier for each in log_keys.read(ring.key)])


def _ranges(home: Path, origin: str, retired: Sequence[LogKey]) -> dict[str, KeyRange]:
    """The sizes of the consent log at which each retired key was active."""
    rotations = [receipts.parse(text) for text in rotation.stored_receipts(home)]
    mine = [each for each in rotations if each.extra["event"]["origin"] == origin]
    named = [{*map(str, each.extra["event"]["keys"])} for each in mine]
    sizes = [checkpoint.parse(each.checkpoint.text).size for each in mine]
    ranges: dict[str, KeyRange] = {}
    for key in retired:
        begun = next((at for at, keys in enumerate(named) if str(key) in keys), -1)
        if begun + 1 < len(sizes):
            first = sizes[begun] if begun >= 0 else 0
            ranges[policy.key_name(key)] = KeyRange(first, sizes[begun + 1] + 1)
    return ranges


def _state_sizes(states: Log, wanted: set[int]) -> dict[int, int]:
    """Size of the consent log -> size of the state log whose newest entry names it."""
    entries = enumerate(states.entries(0, states.size), start=1)
    found = ((map_proof.newest([entry]).size, size) for size, entry in entries)
    return {named: size for named, size in found if named in wanted}


def _at(ends: Mapping[int, int], sizes: KeyRange) -> KeyRange:
    """The same range in sizes of the state log."""
    end = ends[sizes.end - 1] + 1 if sizes.end else None
    return KeyRange(ends.get(sizes.first, 0), end)
