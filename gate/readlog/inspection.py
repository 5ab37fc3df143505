"""Checks what a read log's entries name but do not contain: sets, lists of decisions, and the
private index by which customers' pages find them.

Whether a pseudonym in the index is the right customer's needs their key: `sovereign replay` sees.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from gate.readlog import batch_entry, customer_sets
from gate.readlog.batch_entry import POLICY, MalformedListError
from gate.storage import membership
from gate.storage.read_log import ReadLogReader
from ledger.tlog import tiles

LAST = 1 << 40  # bundle: there are fewer
_ANSWERED = re.compile(rb'\{"action":"\w+","answered":"([0-9a-f]{64})"')
_SET = re.compile(rb'"(?:answered|cohort)":"([0-9a-f]{64})"')


def missing(
    stored: ReadLogReader, folder: Path, answered: Mapping[int, str], since: int = 0
) -> Iterator[tuple[str, str]]:
    """What the entries name and is missing or differs: (the set's file or "", what is wrong).

    `folder`: of the read log. `answered`: the sets that its index names, by entry. `since`: the
    first entry that is looked at. Raises ValueError, and what its database raises.
    """
    sets: set[str] = set()
    for what in _entries(stored, answered, since, sets):
        yield "", what
    for digest in sorted(sets):
        if not (folder / customer_sets.FOLDER / digest).exists():
            what = "it is missing, but an entry of the read log names it"
            yield f"{customer_sets.FOLDER}/{digest}", what


def _entries(
    stored: ReadLogReader, answered: Mapping[int, str], since: int, sets: set[str]
) -> Iterator[str]:
    """What is wrong with lists and index; adds the sets that the entries name to `sets`."""
    size = 0
    for number, data, names in stored.named_bundles(since // tiles.WIDTH, LAST):
        leaves, first = tiles.unbundle(data), number * tiles.WIDTH
        size = first + len(leaves)
        if len(names) != membership.SIZE * len(leaves):
            yield f"entries {first} to {size - 1}: the index of customers lacks some of them"
        for entry, leaf in enumerate(leaves, first):
            sets.update(each.decode() for each in _SET.findall(leaf))
            if (wrong := _entry(stored, entry, leaf, answered.get(entry))) is not None:
                yield wrong
    for lo, hi in stored.unsorted_runs(since, size):
        yield f"entries {lo} to {hi}: the index of customers does not find them"


def _entry(stored: ReadLogReader, entry: int, leaf: bytes, indexed: str | None) -> str | None:
    if leaf.startswith(batch_entry.BEGINS):
        return _list(stored, entry, leaf)
    named = _ANSWERED.match(leaf)
    if (named[1].decode() if named else None) != indexed:
        return f"entry {entry}: the index names another set of customers than it"
    return None


def _list(stored: ReadLogReader, entry: int, leaf: bytes) -> str | None:
    try:
        named = batch_entry.batch(leaf)
        if named.action == POLICY:
            batch_entry.policy_listing(stored.listing(entry), named)
            return None
        batch_entry.listing(stored.listing(entry), named)
    except MalformedListError as error:
        return f"entry {entry}: {error}"
    if len(stored.member_names(entry, named.decisions)) != membership.SIZE * named.decisions:
        return f"entry {entry}: the index of customers lacks decisions of its list"
    return None
