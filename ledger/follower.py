"""Read-only access to a ledger that another process writes; gate workers use it.

The vault's index of owners names the customer of an entry and says whether they were erased; the
writer extends the index before it writes an entry.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.errors import CorruptLogError
from ledger.events.envelope import EntryErased, SubjectErased
from ledger.reader import CHUNK, Reader, RecordedEvent, RecordedInstruction, decrypted
from ledger.storage import database
from ledger.storage.interface import Head
from ledger.storage.log_store import log_reader
from ledger.storage.sqlite import LEDGER, SqlStore
from ledger.tlog import checkpoint, merkle, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import Hash, NodeReader
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, TAG_SIZE
from ledger.vault.owners import Erasures
from ledger.vault.pseudonyms import Pseudonyms
from ledger.vault.vault import Vault


class Follower(Pseudonyms):
    """Reads what the writer has committed, in another process or on another host. Not thread-safe.

    `home/keys` is the vault, `store` the log (None: that of `home`). `published_size` returns
    the number of published entries. It is called at every decision, so it must be cheap, and it
    must never be smaller than the index of a receipt that was given out (see
    gate.state.ledger_position). Entries beyond it are not read, so that of two successive readers
    the second never sees less. None: the size is read from the database.
    """

    def __init__(
        self,
        home: Path,
        published_size: Callable[[], int] | None = None,
        store: SqlStore | None = None,
    ) -> None:
        self._store = store or _stored(home)
        self.keys = home / "keys"  # with the verifier keys of the logs
        self._vault = Vault(self.keys)
        self._published_size = published_size or (lambda: self._head().size)
        self._largest_size = 0
        self._reader = Reader(self, self._store, self._vault)
        self._vault.complete_index(self._store.tags)

    @property
    def size(self) -> int:
        """The number of published entries. Raises CorruptLogError if it was larger before."""
        before = self._largest_size  # other threads may see more while this one asks
        size = self._published_size()
        if size < before:
            raise CorruptLogError(
                f"the ledger had {before} entries and now has {size}; "
                "start its writer, or restore the newer of two backups"
            )
        self._largest_size = max(self._largest_size, size)
        return size

    def root(self) -> tuple[int, str]:
        """The number of published entries, and the root over them in base64."""
        size, head = self.size, self._head()
        if size == head.size:
            return size, b64encode(head.root).decode()
        return size, self.root_at(size)

    def root_at(self, size: int) -> str:
        """Root of the first `size` entries, base64. Raises CorruptLogError if there are fewer."""
        if size > (stored := self._head().size):
            raise CorruptLogError(
                f"the ledger has {stored} entries, want the {size} that were published; "
                "restore the database that belongs to them"
            )
        return b64encode(merkle.root(size, self._nodes())).decode()

    def checkpoint(self) -> str:
        """The newest committed checkpoint as a signed note. Raises CorruptLogError."""
        return self._stored_head().note

    def require_prefix(self, head: Checkpoint, size: int, root: str) -> None:
        """Raise ProofError unless `root` (base64) is of the first `size` entries of `head`'s log.

        Raises MalformedTileError, CorruptLogError.
        """
        if size:
            nodes = self._nodes()
            proof = merkle.prove_consistency(size, head.size, nodes)
            merkle.verify_consistency(size, head.size, b64decode(root), head.root, proof)

    def leaf_hashes(self, lo: int, hi: int) -> list[Hash]:
        """The leaf hashes of the entries [lo, hi), computed from the entries themselves."""
        return merkle.leaf_hashes([*self.entries(lo, hi)])

    def announced(self, since: int = 0) -> Iterator[RecordedEvent]:
        """The company's public acts from entry `since` on, in log order. Needs no key."""
        return self._reader.announced(since)

    def history(self, subject: str) -> list[RecordedInstruction]:
        """The subject's instructions that can still be decrypted, oldest first. Thread-safe.

        Raises CorruptLogError.
        """
        return self._reader.history(subject)

    def giver(self, index: int) -> str | None:
        """Who gave the instruction at `index`; None if it is none, or its customer was erased."""
        entry = next(self.entries(index, index + 1), b"") if index < self.size else b""
        if entry[:1] != PERSONAL:
            return None
        tag = entry[1 : 1 + TAG_SIZE]
        owner = self._vault.indexed_owners([tag]).get(tag)
        return owner.subject if owner is not None else None

    def erased(self, index: int) -> bool:
        """Whether the entry at `index` is an instruction that can no longer be decrypted."""
        entry = next(self.entries(index, index + 1), b"") if index < self.size else b""
        tag = entry[1 : 1 + TAG_SIZE]
        owner = self._vault.indexed_owners([tag]).get(tag) if entry[:1] == PERSONAL else None
        return owner is not None and owner.subject is None

    def opening(self, index: int) -> dict[str, object]:
        """What opens the entry at `index`, as receipts carry it.

        Raises KeyError if it can no longer be decrypted.
        """
        return self._reader.opening(index, None)

    def gaps(self, subject: str) -> bool:
        """Whether an entry of the subject was erased, so their past choices are not all known."""
        key = self._vault.key(subject)
        return key is not None and bool(commitments.label(key))

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        """Every event from entry `since` on that can still be decrypted, in log order."""
        upto = self.size
        for lo in range(since, upto, CHUNK):
            entries = [*self.entries(lo, min(lo + CHUNK, upto))]
            sealed = self._store.sealed_between(lo, lo + len(entries))
            for recorded in decrypted(lo, entries, sealed, self._vault):
                if isinstance(recorded.event, SubjectErased | EntryErased):
                    self._vault.clear_cache()
                yield recorded

    def erasures(self, since: int) -> Erasures:
        """Customers who were erased after the first `since` lines of the erasure list.

        No key of theirs is cached any more when it returns.
        """
        erased = self._vault.erasures(since)
        if erased.marks:
            self._vault.clear_cache()
        return erased

    def close(self) -> None:
        self._store.close()
        self._vault.close()

    def _head(self) -> Checkpoint:
        """The newest committed checkpoint. Raises CorruptLogError."""
        return checkpoint.parse(signed_note.parse(self._stored_head().note).text)

    def _stored_head(self) -> Head:
        if (head := self._store.head()) is None:
            raise CorruptLogError("the ledger has no checkpoint yet; start its writer first")
        return head

    def _nodes(self) -> NodeReader:
        """A reader of complete subtrees that reads each tile once."""
        known: dict[tuple[int, int], list[Hash]] = {}

        def read(level: int, index: int) -> Hash:
            place = tiles.tile_of(level, index)
            if place not in known:
                if (data := self._store.tile(*place)) is None:
                    raise CorruptLogError(f"tile {place} is missing; restore a backup")
                known[place] = tiles.split(data)
            return tiles.node(known[place], level, index)

        return read

    def entries(self, lo: int, hi: int) -> Iterator[bytes]:
        """The entries [lo, hi). Raises CorruptLogError."""
        for number in range(lo // tiles.WIDTH, -(-hi // tiles.WIDTH)):
            if (bundle := self._store.bundle(number)) is None:
                raise CorruptLogError(f"entry bundle {number} is missing; restore a backup")
            start = number * tiles.WIDTH
            yield from tiles.unbundle(bundle)[max(lo - start, 0) : hi - start]


def _stored(home: Path) -> SqlStore:
    """The log that a writer made. Raises CorruptLogError if there is none, and creates none."""
    opened = database.of(home)
    if not opened.exists(LEDGER):
        raise CorruptLogError(
            f"no log at {opened.place(LEDGER)}: start its writer, or restore it from a backup"
        )
    return log_reader(opened, LEDGER)
