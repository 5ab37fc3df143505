"""The index of owners in a key store: see ledger.vault.owners."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b

from ledger.storage.vault_store import VaultStore
from ledger.vault import commitments, owners
from ledger.vault.owners import MARK_SIZE, Erasures, Owner

KEY_SIZE = 32


class OwnerIndex:
    """The rows of the index. The caller holds the vault's lock, and its transaction to write."""

    def __init__(self, store: VaultStore, key: bytes) -> None:
        self._store = store
        self._key = key
        self._marks = blake2b(b"marks", digest_size=MARK_SIZE, key=key).digest()

    def of(self, tags: Sequence[bytes]) -> dict[bytes, Owner]:
        """Tag -> owner, for the tags that have a row."""
        handles = {self._handle(each): each for each in tags}
        rows = self._store.owners([*handles])
        return {handles[handle]: Owner(subject, seq) for handle, subject, seq in rows}

    def put(self, subject: str, data_key: bytes, seqs: Iterable[int]) -> None:
        """Index these events of a customer, erased ones excepted."""
        self.put_all([(commitments.tag(data_key, each), subject, each) for each in seqs])

    def put_all(self, owners: Iterable[tuple[bytes, str | None, int]]) -> None:
        """Index these tags: (tag, customer, number of the event)."""
        rows = ((self._handle(tag), subject, seq) for tag, subject, seq in owners)
        self._store.put_owners(rows)

    def rebuild(self, keys: Iterable[tuple[str, bytes]], tags: set[bytes]) -> int:
        """Replace all rows by those of these data keys over a log with these tags.

        Returns how many tags had a customer before and are derived by no key: nobody erased them.
        """
        owned = self._store.owned()
        return self._rebuild(keys, tags, lambda handle: handle in owned)

    def rebuild_whole(self, keys: Iterable[tuple[str, bytes]], tags: set[bytes]) -> int:
        """As `rebuild`, of an index that lists the erased entries.

        Those that it does not list, and that no key derives, are of customers whose keys are lost:
        the key store is older than the log.
        """
        erased = self._store.blank()
        return self._rebuild(keys, tags, lambda handle: handle not in erased)

    def _rebuild(
        self,
        keys: Iterable[tuple[str, bytes]],
        tags: set[bytes],
        is_lost: Callable[[bytes], bool],
    ) -> int:
        lost = 0

        def rows() -> Iterator[tuple[bytes, str | None, int]]:
            nonlocal lost
            for tag, subject, seq in owners.rebuilt(keys, tags):
                lost += subject is None and is_lost(self._handle(tag))
                yield tag, subject, seq

        self._store.clear_owners()
        self.put_all(rows())
        return lost

    def forget(self, subject: str, data_key: bytes, line: int) -> None:
        """Remove the customer from all their rows, which marks these as erased.

        `line`: the number of lines in the erasure list, including this erasure.
        """
        self._blank([*self._tags(data_key, commitments.next_seq(data_key, 0))])
        self._store.add_ended(
            line, owners.mark(self._marks, subject.encode(errors="surrogatepass"))
        )

    def erasures(self, since: int) -> Erasures:
        """The erasures after the first `since` lines of the erasure list."""
        rows = self._store.ended(since)
        upto = rows[-1][0] if rows else since
        return Erasures(self._marks, tuple(each for _, each in rows), upto)

    def replace(self, subject: str, older: bytes, newer: bytes) -> None:
        """Mark the events as erased that the customer's `newer` data key no longer derives."""
        self._blank([*self._tags(older, commitments.next_seq(older, 0))])
        last = owners.indexed(commitments.first_derived(newer))
        self.put(subject, newer, commitments.unerased(newer, last))

    def _tags(self, data_key: bytes, seq: int) -> Iterator[bytes]:
        """The customer's tags that have a row, from event `seq` on."""
        while self.of([tag := commitments.tag(data_key, seq)]):
            yield tag
            seq = commitments.next_seq(data_key, seq)

    def _blank(self, tags: Sequence[bytes]) -> None:
        self._store.blank_owners(self._handle(each) for each in tags)

    def _handle(self, tag: bytes) -> bytes:
        return owners.handle(self._key, tag)


def new_key() -> bytes:
    return secrets.token_bytes(KEY_SIZE)
