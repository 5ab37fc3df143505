"""The index of owners: finds the customer whose data key derives a tag, without trying every key.

    keys/customers.db   owner      handle(16) -> customer and number of the event; the customer is
                                   NULL if their key, or this event, was erased
                        owner_key  the secret of the handles, wrapped like a data key
                        ended      the marks of erased customers, by line of the erasure list

A mark is a keyed hash of a customer's id. A process that holds customers' states finds an erased
customer by it: see gate.state.subjects. Whoever can open the key store can test a known id.

A handle is a keyed hash (BLAKE2b) of a tag, so that without the key-encryption key the table links
nothing to the log. Rows are written before the entries that need them, some ahead: FIRST before a
customer's first instruction, and as many again whenever these are used up. So most instructions
write nothing here, and erasing a customer changes their rows alone.

Every personal entry of the log has a row. An entry without one is not the entry of somebody who was
erased: the index is older than the log, and whoever needs the entry must stop.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from ledger.vault import commitments

FIRST = 4  # events of a customer that are indexed before the first of them happens
MARK_SIZE = 16
_HANDLE_SIZE = 16


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
        if not newest and commitments.first_derived(key) == 1:
            continue  # no event yet
        for each in commitments.unerased(key, indexed(max(newest, 1))):
            tag = commitments.tag(key, each)
            left.discard(tag)
            yield tag, subject, each
    for tag in left:
        yield tag, None, 0


def growing(newest: Mapping[str, tuple[int, int]]) -> dict[str, range]:
    """The events to index before customers go from one number of instructions to another."""
    have = {subject: indexed(before) if before else 0 for subject, (before, _) in newest.items()}
    return {
        subject: range(have[subject] + 1, indexed(after) + 1)
        for subject, (_, after) in newest.items()
        if indexed(after) > have[subject]
    }
