"""Rotate the signing keys of both logs of a ledger, in one commit that old and new keys sign.

home/rotations/000000007.tlog-proof    the receipt of each such entry, here of entry 7, under the
                                       checkpoint that old and new keys have signed

With these public files, anyone who trusts the old keys can verify the new ones.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ledger.events import sealed_entry
from ledger.events.envelope import KeyRotated, PublicEvent
from ledger.keys import log_keys
from ledger.tlog import atomic_file
from ledger.tlog.writer import Log
from ledger.vault.commitments import PERSONAL

Announce = Callable[[Sequence[PublicEvent]], object]  # commits to both logs


def rotate(home: Path, logs: tuple[Log, Log], announce: Announce, at: datetime) -> None:
    """Replace the keys of the consent log and the state log, given in this order.

    After a crash at any line, the next start uses either the old keys or the new ones.
    """
    origin = logs[0].origin
    older, newer = log_keys.keys(home, origin), log_keys.begin_rotation(home, origin)
    olds, news = (older.consent, older.state), (newer.consent, newer.state)
    for log, old, new in zip(logs, olds, news, strict=True):
        log.sign_with(*old, *new)
    at = at.astimezone(UTC).replace(microsecond=0)
    named = [tuple(str(key.verifier) for key in new) for new in news]
    announce([KeyRotated(log.origin, keys, at) for log, keys in zip(logs, named, strict=True)])
    # Crash here: the new keys have signed the logs, so the next start activates them.
    log_keys.end_rotation(home, logs[0].checkpoint(), logs[1].checkpoint())
    for log, new in zip(logs, news, strict=True):
        log.sign_with(*new)


def save_receipts(home: Path, log: Log, receipt: Callable[[int], str]) -> None:
    """Store the receipts of a rotation if the newest two entries are one and have none yet.

    Call it after a rotation and at every start, so that a crash in between loses nothing.
    """
    for index in range(max(log.size - 2, 0), log.size):
        (entry,) = log.entries(index, index + 1)
        path = home / "rotations" / f"{index:09d}.tlog-proof"
        rotated = entry[:1] != PERSONAL and isinstance(sealed_entry.public(entry), KeyRotated)
        if rotated and not path.exists():
            path.parent.mkdir(exist_ok=True)
            atomic_file.write(path, receipt(index).encode())


def stored_receipts(home: Path) -> list[str]:
    """The stored receipts of all rotations, oldest first."""
    return [path.read_text("utf-8") for path in sorted((home / "rotations").glob("*.tlog-proof"))]
