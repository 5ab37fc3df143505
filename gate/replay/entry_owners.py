"""Finds the customers of entries by the pseudonyms that a read log's index stores with them."""

import re
from collections.abc import Iterable

from msgspec import UNSET

from gate.readlog.writer import ReadLogEntry, pseudonym
from ledger.follower import Follower
from ledger.vault import commitments
from ledger.vault.commitments import OPENABLE_TAG_SIZE, TAG_SIZE, EntryKeys, ReadLogTags
from ledger.verify import masked_persons

MAX_CUSTOMERS = 65_536  # customers whose tags are cached
_TAG = re.compile(rf"[0-9a-f]{{{2 * TAG_SIZE}}}|[0-9a-f]{{{2 * OPENABLE_TAG_SIZE}}}")
_MASKED = re.compile(rb'"[0-9a-f]{16}"')
_INDEX = re.compile(rb"null|0|[1-9][0-9]*")


class EntryOwners:
    """The customers of one read log's entries. Not thread-safe."""

    def __init__(self, ledger: Follower, origin: str) -> None:
        self._ledger, self._origin = ledger, origin
        self._known: dict[bytes, tuple[str, ReadLogTags]] = {}  # by pseudonym
        self._names: dict[bytes, str] = {}  # of all customers, once they are needed

    @property
    def subjects(self) -> Iterable[str]:
        return self._names.values()

    def of(self, name: bytes, rests: bytes) -> tuple[str, ReadLogTags] | None:
        """Whose pseudonym this is; None of somebody without a key.

        `rests`: the entry that the answer rests on, in JSON.
        """
        if (known := self._known.get(name)) is not None:
            return known
        subject = self._names.get(name) if self._names else self._giver(name, rests)
        tags = self._ledger.read_log_tags(subject, self._origin) if subject else None
        if subject is None or tags is None:
            return None
        if len(self._known) >= MAX_CUSTOMERS:
            self._known.clear()
        self._known[name] = subject, tags
        return subject, tags

    def rests(
        self, name: bytes, index: int, masked: bytes, tag: str, place: int | None = None
    ) -> bytes | None:
        """What an answer rests on, in JSON, as a number or null.

        `name`: the pseudonym that the log's index has for the answer. `masked`: `determined_by` of
        entry `index`, or at `place` of its list; in entries of earlier versions it is a number or
        null already. `tag`: its `subject`. Returns None if no journal writes it.
        """
        if not _TAG.fullmatch(tag):
            return None
        if not masked.startswith(b'"'):
            return masked if _INDEX.fullmatch(masked) else None
        if not _MASKED.fullmatch(masked):
            return None
        known = self._known.get(name)
        keys = known[1].keys if known else EntryKeys(commitments.position_key(name))
        pad = keys.pad(tag, index, place)
        position = commitments.unmasked(masked[1:-1].decode(), pad)
        return b"null" if position is None else b"%d" % position

    def names_person(self, name: bytes, index: int, logged: ReadLogEntry) -> bool:
        """Whether a journal writes what entry `index` says of the person for whom it was asked."""
        if logged.on_behalf_of is UNSET:
            return True
        known = self._known.get(name)
        key = known[1].position_key if known else commitments.position_key(name)
        try:
            masked_persons.unmasked_person(logged.on_behalf_of, key, index)
        except ValueError:
            return False
        return True

    def erased_meanwhile(self, name: bytes) -> bool:
        """Whether the pseudonym is of somebody who had a key when customers were named."""
        return name in self._names

    def name_everybody(self) -> None:
        self._names = {
            pseudonym(self._ledger, subject, self._origin): subject
            for subject in self._ledger.subjects()
        }

    def _giver(self, name: bytes, rests: bytes) -> str | None:
        """As in `_names`: who gave the instruction that the answer rests on, or one of everybody.

        Only if it rests on none, all customers have to be named.
        """
        subject = self._ledger.giver(int(rests)) if rests.isdigit() else None
        if subject is not None and pseudonym(self._ledger, subject, self._origin) == name:
            return subject
        self.name_everybody()
        return self._names.get(name)
