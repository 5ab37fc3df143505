"""A log that a witness watches: its origin, and the keys that must have signed its checkpoints.

A file of watched logs has one verifier key a line. Before a key that is not named after its log
stands the log's origin (C2SP tlog-checkpoint: the key's name only *should* match the origin):

    ledger.example/consent+1d3f…+AXj2…
    ledger.example/consent other.example/key+90ab…+Bk6a…
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ledger.tlog import policy
from ledger.tlog.policy import LogKey, LogPolicyError
from ledger.tlog.signed_note import Note, NoteError, Signature


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """One log. Of keys of two types, one of each must have signed."""

    origin: str
    keys: tuple[LogKey, ...]

    @classmethod
    def by_origin(cls, logs: "Iterable[LogKey | WatchedLog]") -> "Mapping[str, WatchedLog]":
        """The logs by their origins; keys and logs of one origin are put together."""
        found: dict[str, WatchedLog] = {}
        for each in logs:
            log = each if isinstance(each, WatchedLog) else cls(each.name, (each,))
            before = found.get(log.origin, cls(log.origin, ()))
            found[log.origin] = replace(before, keys=(*before.keys, *log.keys))
        return found

    def verified(self, signed: Note) -> list[Signature]:
        """The signatures of this log's keys on a note. Raises LogPolicyError if one is wrong, or
        one of a type is missing.
        """
        found, missing = [], {type(key) for key in self.keys}
        for key in self.keys:
            mine = [s for s in signed.signatures if (s.name, s.key_id) == (key.name, key.key_id)]
            for each in mine:
                _require_good(key, signed, each)
                missing.discard(type(key))
            found += mine
        if missing or not found:
            raise LogPolicyError(f"not signed by every type of key of {self.origin!r}")
        return found


def _require_good(key: LogKey, signed: Note, signature: Signature) -> None:
    try:
        key.verify(signed.text, signature)
    except NoteError as error:
        raise LogPolicyError(str(error)) from error


def parse(line: str) -> WatchedLog:
    """Parse a line of a file of watched logs. Raises NoteError."""
    origin, _, vkey = line.rpartition(" ")
    key = policy.log_key(vkey)
    return WatchedLog(origin or key.name, (key,))
