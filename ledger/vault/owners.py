"""The index of owners: finds the customer whose data key derives a tag, without trying every key.

    keys/customers.db   owner      handle(16) -> customer and number of the event; the customer is
                                   NULL if their key, or this event, was erased
                        owner_key  the secret of the handles, wrapped like a data key
                        ended      the marks of erased customers, by line of the erasure list

A mark is a keyed hash of a customer's id. A process that holds customers' states finds an erased
customer by it: see gate.state.subjects. Whoever can open the key store can test a known id.

A handle is a keyed hash (BLAKE2b) of a tag, so that without the key-encryption key the table links
nothing to the log. Rows are written before the entries that need them, some ahead: the first
FIRST events of a new customer, and as many again whenever these are used up. So most instructions
write nothing here, and erasing a customer changes their rows alone.

Every personal entry of the log has a row. An entry without one is not the entry of somebody who was
erased: the index is older than the log, and whoever needs the entry must stop.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from ledger.vault import commitments

FIRST = 4  # events of a new customer that are indexed before the first of them happens
KEY_SIZE = 32
MARK_SIZE = 16
_HANDLE_SIZE = 16
_MAX_VALUES = 10_000  # in one statement
SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (handle BLOB PRIMARY KEY, subject TEXT, seq INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owner_key (only INTEGER PRIMARY KEY CHECK (only = 1),
  wrapped BLOB NOT NULL, complete INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ended (line INTEGER NOT NULL, mark BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS ended_line ON ended (line)
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose entry it is: the customer's id, or None if it was erased, and the event's number."""

    subject: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class Erasures:
    """Customers who were erased: their marks, the key of marks, and how far the list was read."""

    key: bytes
    marks: tuple[bytes, ...]
    upto: int


def mark(key: bytes, name: bytes) -> bytes:
    """The mark of a customer's id in UTF-8, 16 bytes."""
    return blake2b(name, digest_size=MARK_SIZE, key=key).digest()


def handle(key: bytes, tag: bytes) -> bytes:
    """What the index lists instead of a tag."""
    return blake2b(tag, digest_size=_HANDLE_SIZE, key=key).digest()


def indexed(seq: int) -> int:
    """How many events of a customer are indexed once they have given `seq` instructions."""
    return max(FIRST, 1 << (seq - 1).bit_length())


class Owners:
    """The rows of the index. The caller holds the vault's lock, and its transaction to write."""

    def __init__(self, database: sqlite3.Connection, key: bytes) -> None:
        self._database = database
        self._key = key
        self._marks = blake2b(b"marks", digest_size=MARK_SIZE, key=key).digest()

    def of(self, tags: Sequence[bytes]) -> dict[bytes, Owner]:
        """Tag -> owner, for the tags that have a row."""
        handles = {self._handle(each): each for each in tags}
        owners: dict[bytes, Owner] = {}
        for some in _parts([*handles]):
            query = f"SELECT handle, subject, seq FROM owner WHERE handle IN ({_marks(some)})"  # noqa: S608 - question marks
            for handle, subject, seq in self._database.execute(query, some):
                owners[handles[handle]] = Owner(subject, seq)
        return owners

    def put(self, subject: str, data_key: bytes, seqs: Iterable[int]) -> None:
        """Index these events of a customer, erased ones excepted."""
        self.put_all([(commitments.tag(data_key, each), subject, each) for each in seqs])

    def put_all(self, owners: Iterable[tuple[bytes, str | None, int]]) -> None:
        """Index these tags: (tag, customer, number of the event)."""
        rows = ((self._handle(tag), subject, seq) for tag, subject, seq in owners)
        self._database.executemany("INSERT OR REPLACE INTO owner VALUES (?, ?, ?)", rows)

    def forget(self, subject: str, data_key: bytes, line: int) -> None:
        """Remove the customer from all their rows, which marks these as erased.

        `line`: the number of lines in the erasure list, including this erasure.
        """
        self._blank([*self._tags(data_key, commitments.next_seq(data_key, 0))])
        ended = mark(self._marks, subject.encode(errors="surrogatepass"))
        self._database.execute("INSERT INTO ended VALUES (?, ?)", [line, ended])

    def erasures(self, since: int) -> Erasures:
        """The erasures after the first `since` lines of the erasure list."""
        query = "SELECT line, mark FROM ended WHERE line > ? ORDER BY line"
        rows = self._database.execute(query, [since]).fetchall()
        upto = rows[-1][0] if rows else since
        return Erasures(self._marks, tuple(each for _, each in rows), upto)

    def replace(self, subject: str, older: bytes, newer: bytes) -> None:
        """Mark the events as erased that the customer's `newer` data key no longer derives."""
        self._blank([*self._tags(older, commitments.next_seq(older, 0))])
        last = indexed(commitments.first_derived(newer))
        self.put(subject, newer, commitments.unerased(newer, last))

    def _tags(self, data_key: bytes, seq: int) -> Iterator[bytes]:
        """The customer's tags that have a row, from event `seq` on."""
        while self.of([tag := commitments.tag(data_key, seq)]):
            yield tag
            seq = commitments.next_seq(data_key, seq)

    def _blank(self, tags: Sequence[bytes]) -> None:
        rows = [(self._handle(each),) for each in tags]
        self._database.executemany("UPDATE owner SET subject = NULL WHERE handle = ?", rows)

    def _handle(self, tag: bytes) -> bytes:
        return handle(self._key, tag)


def new_key() -> bytes:
    return secrets.token_bytes(KEY_SIZE)


def rebuilt(
    keys: Iterable[tuple[str, bytes]], tags: set[bytes]
) -> Iterator[tuple[bytes, str | None, int]]:
    """The rows of an index of these data keys over a log with these tags of sealed events.

    Tags that no key derives are of erased customers or events.
    """
    left = {*tags}
    for subject, key in keys:
        seq = commitments.next_seq(key, 0)
        newest = 0
        while (tag := commitments.tag(key, seq)) in tags:
            newest = seq
            seq = commitments.next_seq(key, seq)
        for each in commitments.unerased(key, indexed(max(newest, 1))):
            tag = commitments.tag(key, each)
            left.discard(tag)
            yield tag, subject, each
    for tag in left:
        yield tag, None, 0


def growing(newest: Mapping[str, tuple[int, int]]) -> dict[str, range]:
    """The events to index before customers go from one number of instructions to another."""
    return {
        subject: range(indexed(before) + 1, indexed(after) + 1)
        for subject, (before, after) in newest.items()
        if indexed(after) > indexed(before)
    }


def _parts(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (values[at : at + _MAX_VALUES] for at in range(0, len(values), _MAX_VALUES))


def _marks(values: Sequence[bytes]) -> str:
    return ",".join("?" * len(values))
