"""Finds one customer's entries in a read log, newest first.

Candidates are found by the pseudonyms stored with the log (gate.readlog.membership). An entry is
the customer's only if it has the tag that the customer's key derives for it.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import msgspec

from gate.readlog import batch_entry, membership
from gate.readlog.batch_entry import BatchList, DecisionBatch, MalformedListError
from gate.readlog.membership import MEMBERS
from gate.readlog.writer import LOG, ManyEntryTagger, pseudonym
from ledger.tlog import checkpoint, signed_note, tiles
from ledger.vault.commitments import ReadLogTags

ALONE = -1  # the place of an entry that is not in a list
_EVER = 1 << 62
_BUNDLE = 'SELECT data FROM bundle WHERE "index" = ?'
_AT, _AT_SIZE = b'"at":"', len("2026-01-01T12:00:00Z")


class Lists:
    """The lists of one read log; caches the last one."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._last: tuple[int, DecisionBatch, BatchList] | None = None

    def entry(self, entry: int, text: bytes, place: int) -> dict[str, Any]:
        """One decision of the batch entry `text`, as the entry of a single evaluation.

        Raises MalformedListError.
        """
        if self._last is None or self._last[0] != entry:
            named = batch_entry.batch(text)
            self._last = entry, named, batch_entry.listing(stored(self._database, entry), named)
        _, named, listing = self._last
        alone: dict[str, Any] = msgspec.json.decode(listing.entry(named, place).encode())
        return alone


def stored(database: sqlite3.Connection, entry: int) -> bytes | None:
    """The stored list of a batch entry, or None."""
    row = database.execute("SELECT data FROM list WHERE entry = ?", [entry]).fetchone()
    return None if row is None else bytes(row[0])


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a customer that is parsed only on demand, since most are only skipped."""

    place: int  # index of the entry in the log
    member: int  # index in the entry's list, or ALONE
    text: bytes
    tags: ReadLogTags
    lists: Lists

    @property
    def at(self) -> bytes:
        """The entry's time as text, in a form that sorts by time."""
        begins = self.text.index(_AT) + len(_AT)
        return self.text[begins : begins + _AT_SIZE]

    def entry(self) -> dict[str, Any] | None:
        """The parsed entry; None if its tag is another customer's (see gate.readlog.membership)."""
        entry: dict[str, Any]
        if self.member == ALONE:
            entry, mine = msgspec.json.decode(self.text), self.tags.at(self.place)
        else:
            entry = self.lists.entry(self.place, self.text, self.member)
            mine = self.tags.member(self.place, self.member)
        return entry if entry["subject"] == mine else None


def entries_of(
    home: Path, tagger: ManyEntryTagger, subject: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries of one customer in the read log under `home`, newest first."""
    for each in listed(home, tagger, subject):
        if (entry := each.entry()) is not None:
            yield each.place, entry


def listed(home: Path, tagger: ManyEntryTagger, subject: str, skip: int = 0) -> Iterator[Listed]:
    """One customer's entries in the read log under `home`, newest first, unparsed.

    The first `skip` are not read at all. Raises MalformedListError if a list is missing;
    `Listed.entry` raises it if a list is not the one that its entry names.
    """
    database = sqlite3.connect(home / LOG)  # the tables of ledger.storage.sqlite
    try:
        if (head := database.execute("SELECT note FROM head").fetchone()) is None:
            return
        at = checkpoint.parse(signed_note.parse(head[0]).text)
        if (tags := tagger.read_log_tags(subject, at.origin)) is None:
            return  # without a key no entry can be found
        lists, name = Lists(database), pseudonym(tagger, subject, at.origin)
        places = islice(_places(database, name, at.size), skip, None)
        for bundle, together in groupby(places, key=lambda each: each[0] // tiles.WIDTH):
            (data,) = database.execute(_BUNDLE, [bundle]).fetchone() or (b"",)
            entries = tiles.unbundle(data)
            for entry, member in together:
                yield Listed(entry, member, entries[entry % tiles.WIDTH], tags, lists)
    finally:
        database.close()


def _places(database: sqlite3.Connection, name: bytes, size: int) -> Iterator[tuple[int, int]]:
    """(entry below `size`, index in its list or ALONE), newest first."""
    database.executescript(membership.SCHEMA)  # for logs older than batch entries
    alone = ((entry, ALONE) for entry in membership.of(database, name, size))
    if database.execute("SELECT 1 FROM member LIMIT 1").fetchone() is None:
        return alone
    numbers = membership.of(database, name, _EVER, MEMBERS)
    members = (_member(database, number) for number in numbers)
    return merge(alone, (each for each in members if each[0] < size), reverse=True)


def _member(database: sqlite3.Connection, number: int) -> tuple[int, int]:
    """The entry whose list has decision `number`, and its index there."""
    query = "SELECT entry, first FROM list WHERE first <= ? ORDER BY first DESC LIMIT 1"
    row = database.execute(query, [number]).fetchone()
    if row is None:
        raise MalformedListError("a list of decisions is missing; restore the read log's database")
    return row[0], number - row[1]
