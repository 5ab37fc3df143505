"""Follow a ledger from another process: what a gate worker needs, without the right to write.

A follower knows, for every customer, the tag of their next event. An entry whose tag it does not
know is by a new customer, or by one who was erased; the vault says which.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.errors import CorruptLogError
from ledger.events.envelope import EntryErased, SubjectErased
from ledger.events.sealed_entry import opened, public
from ledger.reader import CHUNK, Reader, RecordedEvent, RecordedInstruction
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, merkle, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import Hash, NodeReader
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, TAG_SIZE, ReadingTags
from ledger.vault.vault import Vault


class Follower:
    """Reads what one writer, in whatever process on whatever host, has committed. Not thread-safe.

    `home/keys` holds the vault, `store` the log (None: `home/ledger.sqlite`). `moved_to` says how
    far the log has come, and is asked at every decision: it must be cheap, and never lag behind a
    receipt (see gate.state.ledger_position). Nothing beyond it is shown, so that of two who ask
    one after the other the second never sees less. None: the database itself is asked.
    """

    def __init__(
        self,
        home: Path,
        moved_to: Callable[[], int] | None = None,
        store: SqlStore | None = None,
    ) -> None:
        self._store = store or SqlStore(home / "ledger.sqlite")
        self._vault = Vault(home / "keys")
        self._moved_to = moved_to or (lambda: self._head().size)
        self._most = 0
        self._reader = Reader(self, self._store, self._vault)
        self._restart()

    @property
    def size(self) -> int:
        """How far the log has come. Raises CorruptLogError if it was further before."""
        size = self._moved_to()
        if size < self._most:
            raise CorruptLogError(
                f"the ledger had {self._most} entries and is said to have {size}; "
                "start its writer, or restore the newer of two backups"
            )
        self._most = size
        return size

    def root(self) -> tuple[int, str]:
        """`size`, and the base64 root of so many entries."""
        size, head = self.size, self._head()
        if size == head.size:
            return size, b64encode(head.root).decode()
        return size, self.root_at(size)

    def root_at(self, size: int) -> str:
        """Base64 root of the first `size` entries. Raises CorruptLogError if there are fewer."""
        if size > (held := self._head().size):
            raise CorruptLogError(
                f"the ledger has {held} entries, want the {size} that were published; "
                "restore the database that goes with them"
            )
        return b64encode(merkle.root(size, self._nodes())).decode()

    def leaf_hashes(self, lo: int, hi: int) -> list[Hash]:
        """Of the entries [lo, hi), computed from the entries themselves."""
        return merkle.leaf_hashes([*self.entries(lo, hi)])

    def announced(self, since: int = 0) -> Iterator[RecordedEvent]:
        """The public acts from entry `since` on, in log order. No key is needed."""
        for index, entry in enumerate(self.entries(since, self.size), since):
            if entry[:1] != PERSONAL:
                yield RecordedEvent(index, public(entry))

    def subjects(self) -> list[str]:
        """Everybody who has a data key."""
        return [subject for subject, _ in self._vault.everybody()]

    def reading_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """See `Ledger.reading_tag`."""
        if (key := self._vault.key(subject)) is None:
            return commitments.random_tag()
        return commitments.reading_tag(key, log_origin, index)

    def reading_tags(self, subject: str, log_origin: str) -> ReadingTags | None:
        """The subject's names in a read log, many at once. Without a data key: None."""
        return self._vault.reading_tags(subject, log_origin)

    def history(self, subject: str) -> list[RecordedInstruction]:
        """Every instruction of the subject that still opens, oldest first. Thread-safe.

        Raises CorruptLogError.
        """
        return self._reader.history(subject)

    def gaps(self, subject: str) -> bool:
        """Whether an entry of the subject's was erased: what they had allowed is not all known."""
        key = self._vault.key(subject)
        return key is not None and bool(commitments.label(key))

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        """Every event that still opens from entry `since` on, in log order."""
        if since < self._at:
            self._restart()
        for recorded in self._advance(self.size):
            if recorded.index >= since:
                yield recorded

    def _head(self) -> Checkpoint:
        """The checkpoint last committed. Raises CorruptLogError."""
        if (head := self._store.head()) is None:
            raise CorruptLogError("the ledger has no checkpoint yet; start its writer first")
        return checkpoint.parse(signed_note.parse(head.note).text)

    def _nodes(self) -> NodeReader:
        """Complete subtrees, from tiles that are read once."""
        known: dict[tuple[int, int], list[Hash]] = {}

        def read(level: int, index: int) -> Hash:
            place = tiles.home(level, index)
            if place not in known:
                if (data := self._store.tile(*place)) is None:
                    raise CorruptLogError(f"tile {place} is missing; restore a backup")
                known[place] = tiles.split(data)
            return tiles.node(known[place], level, index)

        return read

    def _restart(self) -> None:
        self._at = 0
        self._vault.forget()
        self._known: dict[str, bytes] = {}
        self._next: dict[bytes, tuple[bytes, int]] = {}
        self._look()

    def _look(self) -> None:
        """Expect the first event of everybody whose key was not known, and the next one of those
        of whom an entry was erased: what they say from then on has tags that nobody expected."""
        for key in self._vault.renewed(self._known):
            for seq in {commitments.following(key, 0), commitments.began(key)}:
                self._next[commitments.tag(key, seq)] = (key, seq)

    def _advance(self, upto: int) -> Iterator[RecordedEvent]:
        while self._at < upto:
            lo, hi = self._at, min(self._at + CHUNK, upto)
            sealed = self._store.sealed_between(lo, hi)
            for index, entry in enumerate(self.entries(lo, hi), lo):
                self._at = index + 1
                if (recorded := self._open(index, entry, sealed.get(index))) is not None:
                    yield recorded

    def entries(self, lo: int, hi: int) -> Iterator[bytes]:
        """The entries [lo, hi). Raises CorruptLogError."""
        for number in range(lo // tiles.WIDTH, -(-hi // tiles.WIDTH)):
            if (bundle := self._store.bundle(number)) is None:
                raise CorruptLogError(f"entry bundle {number} is missing; restore a backup")
            start = number * tiles.WIDTH
            yield from tiles.unbundle(bundle)[max(lo - start, 0) : hi - start]

    def _open(self, index: int, entry: bytes, sealed: bytes | None) -> RecordedEvent | None:
        if entry[:1] != PERSONAL:
            event = public(entry)
            if isinstance(event, SubjectErased | EntryErased):
                self._vault.forget()
            return RecordedEvent(index, event)
        owner = self._owner(entry[1 : 1 + TAG_SIZE])
        if owner is None or sealed is None:
            return None  # its customer was erased
        key, seq = owner
        following = commitments.following(key, seq)
        self._next[commitments.tag(key, following)] = (key, following)
        return RecordedInstruction(index, *opened(commitments.secrets(key, seq), sealed, entry))

    def _owner(self, tag: bytes) -> tuple[bytes, int] | None:
        if tag not in self._next:
            self._look()
        return self._next.pop(tag, None)
