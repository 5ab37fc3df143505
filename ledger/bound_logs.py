"""Checks that the consent log and the state log of one directory belong together."""

from ledger.errors import CorruptLogError
from ledger.statemap.map_log import StateLog
from ledger.tlog.writer import Log

UNBOUND = (
    "there is no key of the map's labels (keys/map.key), or the state log does not name it: if an "
    "earlier version wrote this directory, make a backup and run `sovereign migrate`; else restore "
    "keys/map.key and keys/map.vkey"
)


def require(log: Log, states: StateLog) -> None:
    """The state log's newest entry names the log's size and root, and our key of labels.

    Raises CorruptLogError.
    """
    newest, head = states.newest(), log.head()
    if (newest.size, newest.root) != (head.size, head.root):
        raise CorruptLogError(
            f"the state log's newest entry is for {newest.size} entries with root "
            f"{newest.root.hex()}, the consent log has {head.size} with root "
            f"{head.root.hex()}: restore both from the same backup"
        )
    if states.log.size == states.labels.trusted.since:  # no entry had to name it yet
        if states.log.size:
            raise CorruptLogError(UNBOUND)
    elif newest.vrf != states.labels.public:
        raise CorruptLogError(
            "the state log's newest entry names another key of the map's labels than "
            "keys/map.key, or none: restore that file and keys/map.vkey"
        )
