"""The end of a read log whose writer no longer runs: verified, published, and closed.

The private key of a read log ends with the process that made it. It is not needed: every commit
stores the checkpoint that the key signed with the entries, so the last entries before a kill are
under a signature, too.
"""

from base64 import b64encode
from contextlib import closing
from datetime import datetime
from pathlib import Path

from gate.storage.read_log import ReadLogDatabase
from ledger.errors import CorruptLogError
from ledger.events.envelope import ReadLogClosed
from ledger.tlog import merkle, signed_note
from ledger.tlog.signed_note import NoteError, Signature, Verifier
from ledger.tlog.writer import Log


class SpentKey:
    """The key of an ended log: it verifies what was signed, and signs nothing more."""

    def __init__(self, vkey: str) -> None:
        """Raises NoteError."""
        self.verifier: Verifier = signed_note.verifier(vkey)

    @property
    def name(self) -> str:
        return self.verifier.name

    def sign(self, _text: str) -> Signature:
        raise NoteError(f"the process that could sign {self.name} has ended")

    def secret(self) -> str:
        raise NoteError(f"the private key of {self.name} was never stored")


def publish(home: Path, origin: str, vkey: str, anchored: int, at: datetime) -> ReadLogClosed:
    """Write the rest of the log's tile directory, and return the act that closes it.

    `vkey`: as announced. `anchored`: entries that the consent log anchored. Raises CorruptLogError,
    NoteError, OSError, and what the database raises.
    """
    instance = origin.rsplit("/", 1)[-1]
    with closing(ReadLogDatabase(home, instance)) as stored:
        if stored.store.head() is None:
            _require(instance, 0, anchored)
            return _closed(origin, 0, merkle.EMPTY_ROOT, at)
        log = Log(stored.store, origin, SpentKey(vkey))
        _require(instance, log.size, anchored)
        log.export(home / "log" / instance)
        # If we crash here, the next look finds nothing to write and closes the log.
        return _closed(origin, log.size, log.head().root, at)


def _closed(origin: str, size: int, root: bytes, at: datetime) -> ReadLogClosed:
    return ReadLogClosed(origin, size, b64encode(root).decode(), at)


def _require(instance: str, size: int, anchored: int) -> None:
    if size < anchored:
        raise CorruptLogError(
            f"{instance} was cut: it has {size} entries, {anchored} were anchored; restore it"
        )
