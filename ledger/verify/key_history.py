"""Which log keys and witnesses are believed, and how rotations of keys move that. Pure.

A policy names keys of some day. Each rotation is an entry of the consent log whose checkpoint the
old and the new keys have signed: who believes the old ones believes the new ones from there on.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ledger.tlog import checkpoint, signed_note
from ledger.tlog import policy as policies
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.cosignature import WitnessKey
from ledger.tlog.merkle import Hash
from ledger.tlog.policy import LogKey, LogPolicy, LogPolicyError
from ledger.tlog.signed_note import Note
from ledger.verify import receipt as receipts
from ledger.verify.event_profile import require_event
from ledger.verify.receipt import Receipt

_TIME_SIZE = 8  # bytes before a cosignature


class RotationError(ValueError):
    """What was given as a rotation of keys is none that can be believed."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The receipt of a `key-rotated`, and the same entry under a later checkpoint."""

    receipt: Receipt
    proof: tuple[Hash, ...]


@dataclass
class KeyHistory:
    """Raises a ValueError of its kind (policy, note, receipt, profile, rotation) for what is not
    believed."""

    known: list[LogPolicy]
    before: list[LogPolicy] = field(default_factory=list)  # as the policies were before rotations
    followed: int = -1  # entry of the newest rotation

    def verify(self, signed: Note) -> Checkpoint:
        """The checkpoint of a note that is signed as the policy of its log demands now."""
        return self._of(_origin(signed)).verify(signed)

    def verify_then(self, signed: Note) -> tuple[Checkpoint, list[datetime]]:
        """The same by the keys of any time, and when its witnesses cosigned."""
        for each in (*self.known, *self.before):
            if _signs(each, signed):
                return each.verify(signed), _times(each, signed)
        return self.verify(signed), []

    def times(self, signed: Note) -> list[datetime]:
        """When witnesses cosigned a note that was verified."""
        return _times(self._of(_origin(signed)), signed)

    def follow(self, rotation: Rotation) -> None:
        """Believe the keys that a rotation names, if those believed so far signed it.

        One that is older than the policy brings no trust in what is signed now; that its keys
        signed then is what the log says, under whose later checkpoint the caller finds it.
        """
        event, index = rotation.receipt.extra["event"], rotation.receipt.index
        origin = _origin(rotation.receipt.checkpoint)
        require_event(event)
        _want(event["type"] == "key-rotated", "an entry among the rotations that is none")
        _want(event["origin"] in {origin, f"{origin}/state"}, "a rotation of another log's keys")
        _want(index > self.followed, "the rotations are not in the order of the log")
        self.followed = index
        keys = tuple(policies.log_key(each) for each in event["keys"])
        mine = bool(keys) and all(key.name == event["origin"] for key in keys)
        _want(mine, "a rotation to keys of another name")
        believed = self._of(origin)
        if _signs(believed, rotation.receipt.checkpoint):
            unwatched = replace(believed, quorum=policies.NONE)
            receipts.verify_under(rotation.receipt, unwatched)
            if event["origin"] == origin:
                signed_note.verify(rotation.receipt.checkpoint, keys)
            self._believe(origin, event["origin"], keys)
        else:
            self.before.append(replace(believed, logs=keys))

    def _believe(self, origin: str, name: str, keys: tuple[LogKey, ...]) -> None:
        held = self._of(name if self._lists(name) else origin)
        others = tuple(key for key in held.logs if key.name != name)
        self.before.append(held)
        self.known[self.known.index(held)] = replace(held, logs=(*others, *keys))

    def _lists(self, name: str) -> bool:
        return any(key.name == name for each in self.known for key in each.logs)

    def _of(self, name: str) -> LogPolicy:
        for each in self.known:
            if any(key.name == name for key in each.logs):
                return each
        raise LogPolicyError(f"no policy lists the log {name!r}: give the one that does as well")


def _origin(signed: Note) -> str:
    return checkpoint.parse(signed.text).origin


def _signs(believed: LogPolicy, signed: Note) -> bool:
    known = {(key.name, key.key_id) for key in believed.logs}
    return any((each.name, each.key_id) in known for each in signed.signatures)


def _times(believed: LogPolicy, signed: Note) -> list[datetime]:
    """Of every witness of the policy that cosigned; their cosignatures were verified with it."""
    if believed.quorum == policies.NONE:
        return []
    known = {(key.name, key.key_id): key for key in believed.witnesses.values()}
    return [
        key.verify(signed)
        if isinstance(key := known[each.name, each.key_id], WitnessKey)
        else datetime.fromtimestamp(int.from_bytes(each.signature[:_TIME_SIZE]), UTC)
        for each in signed.signatures
        if (each.name, each.key_id) in known
    ]


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise RotationError(otherwise)
