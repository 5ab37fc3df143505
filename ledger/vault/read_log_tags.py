"""The tags of customers in read logs, cached, at the same cost for ids that nobody has.

Whoever may ask about an id must not learn from the time of the answer whether it is a customer's.
So an entry about nobody is tagged with a key made up for it, which takes the same look-up, the same
unwrapping, and the same place in the cache. A made-up key is dropped once any customer got one: it
may be of that id.
"""

import secrets
from collections.abc import Callable, Sequence
from threading import Lock

from ledger.vault.commitments import KEY_SIZE, ReadLogTags

MAX_TAGS = 65_536  # ids whose tags are cached

StoredKey = Callable[[str], bytes | None]  # as long for an id that nobody has


class ReadLogTagCache:
    """Thread-safe. `lock` is the vault's; `stored_key` and `last_number` are called with it held.

    `last_number` grows whenever a customer gets a key, in whatever process.
    """

    def __init__(self, lock: Lock, stored_key: StoredKey, last_number: Callable[[], int]) -> None:
        self._lock, self._stored_key, self._last_number = lock, stored_key, last_number
        self._tags: dict[str, ReadLogTags] = {}
        self._made_up: set[str] = set()
        self._numbered = 0

    def of(self, subject: str, origin: str) -> ReadLogTags | None:
        """The customer's tags in one read log; None if they have no data key."""
        tags = self._tags.get(subject)
        if tags is not None and tags.origin == origin and subject not in self._made_up:
            return tags
        with self._lock:  # so that a key which is destroyed meanwhile is not cached again
            if (key := self._stored_key(subject)) is None:
                return None
            return self._cached(subject, key, origin)

    def for_entries(self, subjects: Sequence[str], origin: str) -> list[ReadLogTags]:
        """Tags for entries about these ids, in their order."""
        with self._lock:
            self._drop_made_up()
            return [self._for_entry(subject, origin) for subject in subjects]

    def forget(self, subject: str) -> None:
        self._tags.pop(subject, None)
        self._made_up.discard(subject)

    def clear(self) -> None:
        self._tags.clear()
        self._made_up.clear()

    def _for_entry(self, subject: str, origin: str) -> ReadLogTags:
        tags = self._tags.get(subject)
        if tags is not None and tags.origin == origin:
            return tags
        made_up, key = secrets.token_bytes(KEY_SIZE), self._stored_key(subject)
        tags = self._cached(subject, key or made_up, origin)
        if key is None:
            self._made_up.add(subject)
        return tags

    def _cached(self, subject: str, key: bytes, origin: str) -> ReadLogTags:
        if len(self._tags) >= MAX_TAGS:
            self.clear()
        tags = self._tags[subject] = ReadLogTags(key, origin)
        self._made_up.discard(subject)
        return tags

    def _drop_made_up(self) -> None:
        if (last := self._last_number()) != self._numbered:
            self._numbered = last
            for subject in self._made_up:
                self._tags.pop(subject, None)
            self._made_up.clear()
