"""Verifies one read log, and finds the entries in it that are about one customer.

An entry about one customer has a tag, which only the customer's key for the log derives. An entry
about several names a list of such tags, or a set of customers' numbers, by SHA-256: the bytes are
compared with the digest before they count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.tlog import auditor
from ledger.tlog.auditor import Demand
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import LogSource
from ledger.tlog.merkle import Hash, leaf_hash
from ledger.vault import commitments, number_sets
from ledger.vault.commitments import EntryKeys, EntryTags
from ledger.verify import masked_persons, read_log_entry
from ledger.verify.announced_read_logs import UnsoundLogError, require_sound
from ledger.verify.cli import read
from ledger.verify.read_keys import LogKeys
from ledger.verify.read_log_entry import POLICY, STATISTICS, WITH_LIST, EntryError

MAX_NAMED = 1 << 28  # bytes of a list or set
LIST, SET = "whose list was not given", "whose set was not given"
NUMBERLESS = "about several, as the file of read keys has no number"
OLD_KEYS = "whose key the file of read keys, of an earlier version, lacks"
EARLIER = "of an earlier version, whose sets name nobody"


@dataclass(frozen=True, slots=True)
class OwnRead:
    """One entry that is about the customer, or one decision in the list that an entry names."""

    place: str  # origin, index and, of a decision, index in the list: "bank.example/reads-1a#7/2"
    index: int
    at: str
    action: str
    service: str
    scene: str
    views: Mapping[str, str]  # those of the customer's own values, or "counted"
    subject: str | None
    determined_by: int | str | None  # the entry of the consent log; masked without the key
    on_behalf_of: str | None  # the person for whom the service asked; masked without the key


@dataclass(frozen=True, slots=True)
class Searched:
    """What a log has; `undecided`: entries that could not be decided, by the reason."""

    origin: str
    looked: int
    root: str
    own: list[OwnRead]
    undecided: Mapping[str, list[int]]


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """A folder of lists and sets, by the digests that entries name them by; None: no folder."""

    folder: Path | None

    def get(self, digest: str) -> bytes | None:
        """The bytes with this digest, or None. Raises EntryError for others, OSError."""
        if self.folder is None or not (path := self.folder / digest).exists():
            return None
        data = read(path, MAX_NAMED)
        if sha256(data).hexdigest() != digest:
            raise EntryError(f"the file {digest} has other bytes than the entry names")
        return data


def search(
    source: LogSource,
    trust: Demand,
    anchors: Mapping[int, Hash],
    number: int | None,
    keys: LogKeys,
    named: NamedFiles,
) -> Searched:
    """Verify the whole log, and find the customer's entries.

    `anchors`: roots that prefixes of the log must have. Raises UnsoundLogError, UnreadableError.
    """
    derived = None if keys.positions is None else EntryKeys(keys.positions)
    walk = _Walk(EntryTags(keys.tags), derived, number, named, anchors)
    report = auditor.audit(source, trust, check_entry=walk.check)
    require_sound(report)
    if (head := report.head) is None:
        raise AssertionError("a sound log has a checkpoint")
    if anchors and max(anchors) > head.size:
        raise UnsoundLogError(
            f"{head.origin} shows {head.size} entries, the consent log anchored {max(anchors)}"
        )
    own = [OwnRead(f"{head.origin}#{place}", **members) for place, members in walk.own]
    return Searched(head.origin, walk.frontier.size, head.root.hex(), own, walk.undecided)


@dataclass(slots=True)
class _Walk:
    """One pass over the entries of a log, in order."""

    earlier: EntryTags
    derived: EntryKeys | None
    number: int | None
    named: NamedFiles
    anchors: Mapping[int, Hash]
    frontier: Frontier = field(default_factory=Frontier)
    own: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    undecided: dict[str, list[int]] = field(default_factory=dict)
    _sets: dict[str, bool | None] = field(default_factory=dict)

    def check(self, leaf: bytes) -> str | None:
        """Look at the next entry; returns what is wrong with it, or None."""
        index = self.frontier.size
        self.frontier.append([leaf_hash(leaf)])
        root = self.anchors.get(self.frontier.size)
        if root is not None and root != self.frontier.root():
            return f"the consent log anchored another root for the first {self.frontier.size}"
        try:
            self.own += self._own(index, read_log_entry.parse(leaf))
        except EntryError as error:
            return str(error)
        return None

    def _own(self, index: int, entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        if entry["action"] == POLICY:
            return
        if entry["action"] in WITH_LIST:
            yield from self._listed(index, entry)
        elif entry["subject"] is not None:
            if self._is_own(entry["subject"], index, None):
                yield str(index), _members(index, self._unmasked(entry, index, None))
        elif self._answered(index, entry):
            counted = entry["action"] == STATISTICS
            views = dict.fromkeys(entry["fields"], "counted") if counted else None
            views = views or dict.fromkeys(entry["views"], "personal")
            yield str(index), _members(index, entry | {"views": views})

    def _listed(self, index: int, entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        if (data := self.named.get(entry["list"])) is None:
            self._undecided(LIST, index)
            return
        for place, each in enumerate(read_log_entry.decisions(data, entry)):
            if self._is_own(each["subject"], index, place):
                yield f"{index}/{place}", _members(index, self._unmasked(each, index, place))

    def _is_own(self, tag: str, index: int, place: int | None) -> bool:
        """Whether the tag is the customer's; undecided if the file of read keys is too old."""
        if not commitments.is_openable(tag):
            earlier = self.earlier
            return tag == (earlier.at(index) if place is None else earlier.member(index, place))
        if self.derived is None:
            self._undecided(OLD_KEYS, index)
            return False
        return tag == commitments.entry_tag(self.derived.of(index, place))

    def _unmasked(self, entry: dict[str, Any], index: int, place: int | None) -> dict[str, Any]:
        """The customer's own entry with the position that it rests on, if it can be told."""
        masked = entry["determined_by"]
        if self.derived is None or not isinstance(masked, str):
            return entry
        pad = self.derived.pad(entry["subject"], index, place)
        own = entry | {"determined_by": commitments.unmasked(masked, pad)}
        if (person := entry.get("on_behalf_of")) is None:
            return own
        return own | {"on_behalf_of": _person(person, self.derived.position_key, index)}

    def _answered(self, index: int, entry: dict[str, Any]) -> bool:
        """Whether the set that an entry names has the customer's number."""
        if "answered" not in entry:
            if entry["cohort"] is not None:
                self._undecided(EARLIER, index)
            return False
        if self.number is None:
            self._undecided(NUMBERLESS, index)
            return False
        if (answered := self._in_set(entry["answered"], self.number)) is None:
            self._undecided(SET, index)
        return bool(answered)

    def _in_set(self, digest: str, number: int) -> bool | None:
        if digest not in self._sets:
            stored = self.named.get(digest)
            known = None if stored is None else number_sets.contains(stored, number)
            self._sets[digest] = known
        return self._sets[digest]

    def _undecided(self, reason: str, index: int) -> None:
        entries = self.undecided.setdefault(reason, [])
        if entries[-1:] != [index]:  # one entry has many decisions
            entries.append(index)


def _person(masked: str, key: bytes, index: int) -> str:
    """The person on whose behalf the customer's own entry `index` was read. Raises EntryError."""
    try:
        return masked_persons.unmasked_person(masked, key, index)
    except ValueError as error:
        raise EntryError(str(error)) from error


def _members(index: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("at", "action", "service", "scene", "views", "subject", "determined_by")
    person = {"on_behalf_of": entry.get("on_behalf_of")}
    return {"index": index} | {name: entry[name] for name in names} | person
