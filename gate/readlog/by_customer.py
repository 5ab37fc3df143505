"""Finds one customer's entries in a read log, newest first.

Candidates are found by the pseudonyms stored with the log (gate.storage.membership). An entry is
the customer's only if it has the tag that the customer's key derives for it. An entry about many
customers is theirs if the stored set that it names has their number: gate.readlog.customer_sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from typing import Any

import msgspec

from gate.decision.decide import View
from gate.readlog import batch_entry
from gate.readlog.batch_entry import BatchList, DecisionBatch, MalformedListError
from gate.readlog.customer_sets import CustomerSets
from gate.readlog.writer import ManyEntryTagger, pseudonym
from gate.storage.deliveries import Delivery
from gate.storage.read_log import EVER, ReadLogDatabase, ReadLogReader
from gate.storage.tables import MEMBERS
from ledger.tlog import tiles
from ledger.vault import commitments, number_sets
from ledger.vault.commitments import ReadLogTags
from ledger.verify import masked_persons

ALONE = -1  # the place of an entry that is not in a list
MANY = -2  # the place of an entry about many customers
_NOBODY = 0  # the number of a customer without a key
_AT, _AT_SIZE = b'"at":"', len("2026-01-01T12:00:00Z")


class SetsOfOne:
    """The stored sets of one read log that one customer is in."""

    def __init__(self, sets: CustomerSets, number: int) -> None:
        self._sets, self._number = sets, number
        self._known: dict[str, bool] = {}  # most entries name the same few sets

    def contain(self, digest: str) -> bool:
        """Whether the customer is in this set. Raises MissingSetError."""
        if (known := self._known.get(digest)) is None:
            stored = self._sets.get(digest)
            known = self._known[digest] = number_sets.contains(stored, self._number)
        return known


class Lists:
    """The lists of one read log; caches the last one."""

    def __init__(self, stored: ReadLogReader) -> None:
        self._stored = stored
        self._last: tuple[int, DecisionBatch, BatchList] | None = None

    def entry(self, entry: int, text: bytes, place: int) -> dict[str, Any]:
        """One decision of the entry `text`, as the entry of a decision on one customer.

        Raises MalformedListError.
        """
        if self._last is None or self._last[0] != entry:
            named = batch_entry.batch(text)
            self._last = entry, named, batch_entry.listing(self._stored.listing(entry), named)
        _, named, listing = self._last
        alone: dict[str, Any] = msgspec.json.decode(listing.entry(named, place).encode())
        return alone


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a customer that is parsed only on demand, since most are only skipped."""

    place: int  # index of the entry in the log
    member: int  # index in the entry's list, ALONE or MANY
    text: bytes
    tags: ReadLogTags
    lists: Lists
    sets: SetsOfOne
    delivery: Delivery
    missed: str | None  # the set of those whose row was taken out of the answer while it left

    @property
    def at(self) -> bytes:
        """The entry's time as text, in a form that sorts by time."""
        begins = self.text.index(_AT) + len(_AT)
        return self.text[begins : begins + _AT_SIZE]

    def entry(self) -> dict[str, Any] | None:
        """The parsed entry; None if its tag or set is others' (see gate.storage.membership).

        `determined_by` is a number or None, `on_behalf_of` an id or absent; `delivery` says what
        became of the answer. The views of an entry about many customers are those of its members:
        another customer's row in a table may be synthetic.
        """
        entry: dict[str, Any]
        if self.member == MANY:
            entry = msgspec.json.decode(self.text)
            if not self.sets.contain(entry["answered"]):
                return None
            views = dict.fromkeys(entry["views"], View.PERSONAL.value)
            return entry | {"views": views, "delivery": self._of_row().value}
        if self.member == ALONE:
            entry, place = msgspec.json.decode(self.text), None
        else:
            entry, place = self.lists.entry(self.place, self.text, self.member), self.member
        tag = entry["subject"]
        if tag is None or tag != self.tags.like(tag, self.place, place):
            return None
        if isinstance(masked := entry["determined_by"], str):
            pad = self.tags.keys.pad(tag, self.place, place)
            entry["determined_by"] = commitments.unmasked(masked, pad)
        if (person := entry.get("on_behalf_of")) is not None:
            key = self.tags.position_key
            entry["on_behalf_of"] = masked_persons.unmasked_person(person, key, self.place)
        return entry | {"delivery": self._of_row().value}

    def _of_row(self) -> Delivery:
        """What became of the answer, or of the customer's row in an answer about many."""
        if self.delivery is Delivery.DELIVERED and self.missed is not None:
            return Delivery.CUT if self.sets.contain(self.missed) else self.delivery
        return self.delivery


def entries_of(
    log: ReadLogDatabase, tagger: ManyEntryTagger, subject: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries of one customer in a read log, newest first."""
    for each in listed(log, tagger, subject):
        if (entry := each.entry()) is not None:
            yield each.place, entry


def listed(
    log: ReadLogDatabase, tagger: ManyEntryTagger, subject: str, skip: int = 0
) -> Iterator[Listed]:
    """One customer's entries in a read log, newest first, unparsed.

    The first `skip` are not read at all. Raises MalformedListError if a list is missing, and
    MissingSetError; `Listed.entry` raises MalformedListError if a list is not the one that its
    entry names.
    """
    with log.reader() as stored:
        if (at := stored.checkpoint()) is None:
            return
        if (tags := tagger.read_log_tags(subject, at.origin)) is None:
            return  # without a key no entry can be found
        lists, name = Lists(stored), pseudonym(tagger, subject, at.origin)
        number = tagger.numbers([subject]).get(subject, _NOBODY)
        sets = SetsOfOne(CustomerSets(log.folder), number)
        many = ((each, MANY) for each, named in stored.answered(at.size) if sets.contain(named))
        places = islice(merge(_places(stored, name, at.size), many, reverse=True), skip, None)
        for bundle, together in groupby(places, key=lambda each: each[0] // tiles.WIDTH):
            entries, notes = tiles.unbundle(stored.bundle(bundle)), stored.notes(bundle)
            for entry, member in together:
                text = entries[entry % tiles.WIDTH]
                yield Listed(entry, member, text, tags, lists, sets, *notes.of(entry))


def _places(stored: ReadLogReader, name: bytes, size: int) -> Iterator[tuple[int, int]]:
    """(entry below `size`, index in its list or ALONE), newest first."""
    alone = ((entry, ALONE) for entry in stored.entries_of(name, size))
    if not stored.has_members():
        return alone
    members = (_member(stored, number) for number in stored.entries_of(name, EVER, MEMBERS))
    return merge(alone, (each for each in members if each[0] < size), reverse=True)


def _member(stored: ReadLogReader, number: int) -> tuple[int, int]:
    """The entry whose list has decision `number`, and its index there."""
    if (found := stored.member(number)) is None:
        raise MalformedListError("a list of decisions is missing; restore the read log's database")
    return found
