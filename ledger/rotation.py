"""New signing keys for both logs of a ledger, in one commit that old and new keys sign."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ledger import keyring
from ledger.event import KeyRotated, PublicEvent
from ledger.log import Log

Announce = Callable[[Sequence[PublicEvent]], object]  # commits to both logs


def rotate(home: Path, logs: tuple[Log, Log], announce: Announce, at: datetime) -> None:
    """Put new keys in force for the consent log and the state log, in this order.

    Crash anywhere: at the next start the old ones are in force, or the new ones.
    """
    origin = logs[0].origin
    older, newer = keyring.keys(home, origin), keyring.begin_rotation(home, origin)
    olds, news = (older.consent, older.state), (newer.consent, newer.state)
    for log, old, new in zip(logs, olds, news, strict=True):
        log.sign_with(*old, *new)
    at = at.astimezone(UTC).replace(microsecond=0)
    named = [tuple(str(key.verifier) for key in new) for new in news]
    announce([KeyRotated(log.origin, keys, at) for log, keys in zip(logs, named, strict=True)])
    # Crash here: the next keys have signed the logs, so the next start puts them in force.
    keyring.end_rotation(home, logs[0].checkpoint(), logs[1].checkpoint())
    for log, new in zip(logs, news, strict=True):
        log.sign_with(*new)
