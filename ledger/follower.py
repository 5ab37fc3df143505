"""Follow a ledger from another process: what a gate worker needs, without the right to write.

A follower knows, for every customer, the tag of their next event. An entry whose tag it does not
know is by a new customer, or by one who was erased; the vault says which.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger import checkpoint, commitment, note, tile
from ledger.commitment import PERSONAL, TAG_SIZE, ReadingTags
from ledger.entry import opened, public
from ledger.event import SubjectErased
from ledger.log import CorruptLogError
from ledger.reader import CHUNK, Recorded, Said
from ledger.stores.sql import SqlStore
from ledger.vault import Vault


class Follower:
    """Reads what one writer, in whatever process, has committed under `home`.

    `moved_to` says how far the log has come (see gate.epoch): it is asked at every decision, so it
    must be cheap, and it must never lag behind a receipt. Not thread-safe.
    """

    def __init__(self, home: Path, moved_to: Callable[[], int]) -> None:
        self._store = SqlStore(home / "ledger.sqlite")
        self._vault = Vault(home / "keys")
        self._moved_to = moved_to
        self._restart()

    @property
    def size(self) -> int:
        return self._moved_to()

    def root(self) -> tuple[int, str]:
        """Size and base64 root of the checkpoint last committed."""
        if (head := self._store.head()) is None:
            raise CorruptLogError("the ledger has no checkpoint yet; start its writer first")
        found = checkpoint.parse(note.parse(head.note).text)
        return found.size, b64encode(found.root).decode()

    def reading_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """See `Ledger.reading_tag`."""
        if (key := self._vault.key(subject)) is None:
            return commitment.random_tag()
        return commitment.reading_tag(key, log_origin, index)

    def reading_tags(self, subject: str, log_origin: str) -> ReadingTags | None:
        """The subject's names in a read log, many at once. Without a data key: None."""
        return self._vault.reading_tags(subject, log_origin)

    def follow(self, since: int) -> Iterator[Recorded]:
        """Every event that still opens from entry `since` on, in log order."""
        if since < self._at:
            self._restart()
        for recorded in self._advance(self.root()[0]):
            if recorded.index >= since:
                yield recorded

    def _restart(self) -> None:
        self._at = 0
        self._vault.forget()
        self._known: dict[str, bytes] = {}
        self._next: dict[bytes, tuple[bytes, int]] = {}
        self._look()

    def _look(self) -> None:
        """Expect the first event of everybody whose key was not known."""
        for key in self._vault.renewed(self._known):
            self._next[commitment.tag(key, 1)] = (key, 1)

    def _advance(self, upto: int) -> Iterator[Recorded]:
        while self._at < upto:
            lo, hi = self._at, min(self._at + CHUNK, upto)
            sealed = self._store.sealed_between(lo, hi)
            for index, entry in enumerate(self._entries(lo, hi), lo):
                self._at = index + 1
                if (recorded := self._open(index, entry, sealed.get(index))) is not None:
                    yield recorded

    def _entries(self, lo: int, hi: int) -> Iterator[bytes]:
        for number in range(lo // tile.WIDTH, -(-hi // tile.WIDTH)):
            if (bundle := self._store.bundle(number)) is None:
                raise CorruptLogError(f"entry bundle {number} is missing; restore a backup")
            start = number * tile.WIDTH
            yield from tile.unbundle(bundle)[max(lo - start, 0) : hi - start]

    def _open(self, index: int, entry: bytes, sealed: bytes | None) -> Recorded | None:
        if entry[:1] != PERSONAL:
            event = public(entry)
            if isinstance(event, SubjectErased):
                self._vault.forget()
            return Recorded(index, event)
        owner = self._owner(entry[1 : 1 + TAG_SIZE])
        if owner is None or sealed is None:
            return None  # its customer was erased
        key, seq = owner
        self._next[commitment.tag(key, seq + 1)] = (key, seq + 1)
        return Said(index, opened(commitment.secrets(key, seq), sealed, entry))

    def _owner(self, tag: bytes) -> tuple[bytes, int] | None:
        if tag not in self._next:
            self._look()
        return self._next.pop(tag, None)
