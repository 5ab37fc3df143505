"""Follow rotations from the log keys of a policy to those that are trusted now. Pure.

A policy lists the keys of the day it was written. Each rotation is an entry of the consent log
whose checkpoint the old and the new keys have signed: who trusts the old keys can trust the new.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from ledger.tlog import checkpoint, signed_note
from ledger.tlog import policy as policies
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import Hash
from ledger.tlog.policy import KeyRange, LogKey, LogPolicy, LogPolicyError, MapKey
from ledger.tlog.signed_note import Note
from ledger.verify import receipt as receipts
from ledger.verify.event_profile import require_event
from ledger.verify.receipt import Receipt


class RotationError(ValueError):
    """A given rotation is not a rotation of these logs, or trusted keys did not sign it."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The receipt of a `key-rotated` entry, and its inclusion proof under a later checkpoint."""

    receipt: Receipt
    proof: tuple[Hash, ...]


@dataclass
class KeyHistory:
    """The trusted policies, updated with each rotation that is followed.

    Methods raise a ValueError (policy, note, receipt, profile or rotation) for what is not trusted.
    """

    known: list[LogPolicy]
    before: list[LogPolicy] = field(default_factory=list)  # the policies before each rotation
    followed: int = -1  # index of the newest rotation that was followed

    def verify(self, signed: Note) -> Checkpoint:
        """The checkpoint of a note that satisfies the current policy of its log."""
        return self._of(_origin(signed)).verify(signed)

    def map_key(self, origin: str) -> MapKey:
        """The key of the labels of the map in the state log `origin`. It is never rotated."""
        for each in (*self.known, *self.before):
            if origin in each.maps:
                return each.maps[origin]
        raise LogPolicyError(
            f"no given policy has the key of the map's labels of {origin!r} (a line `vrf`): get "
            "the state log's newer policy"
        )

    def is_witnessed(self, origin: str) -> bool:
        """Whether the policy of this log asks for witnesses."""
        return self._of(origin).is_witnessed

    def verify_then(self, signed: Note) -> tuple[Checkpoint, list[datetime]]:
        """As `verify`, but by the keys of any time; also returns when witnesses cosigned.

        Where a quorum of witnesses cosigned, one type of the log's keys is enough: a witness
        demands all.
        """
        for each in (*self.known, *self.before):
            if _signs(each, signed):
                return each.verify_cosigned(signed), _times(each, signed)
        return self.verify(signed), []

    def times(self, signed: Note) -> list[datetime]:
        """The times at which witnesses cosigned a verified note."""
        return _times(self._of(_origin(signed)), signed)

    def follow(self, rotation: Rotation) -> None:
        """Trust the keys that a rotation names, if the keys trusted so far signed it.

        A rotation that is older than the policy does not change what is trusted now; its keys are
        only used to verify notes of that time. The caller checks that the rotation is included
        under the later checkpoint.
        """
        event, index = rotation.receipt.extra["event"], rotation.receipt.index
        origin = _origin(rotation.receipt.checkpoint)
        require_event(event)
        _want(
            event["type"] == "key-rotated",
            f"entry {index} is of type {event['type']!r}, want 'key-rotated'",
        )
        _want(
            event["origin"] in {origin, f"{origin}/state"},
            f"a rotation of the keys of {event['origin']!r}, want {origin!r} or {origin}/state",
        )
        _want(
            index > self.followed,
            f"the rotation of entry {index} comes after that of entry {self.followed}, want the "
            "order of the log",
        )
        self.followed = index
        keys = tuple(policies.log_key(each) for each in event["keys"])
        mine = bool(keys) and all(key.name == event["origin"] for key in keys)
        _want(mine, f"the new keys are not named {event['origin']!r}")
        believed = self._of(origin)
        if _signs(believed, rotation.receipt.checkpoint):
            unwatched = replace(believed, quorum=policies.NONE)
            receipts.verify_under(rotation.receipt, unwatched)
            if event["origin"] == origin:
                signed_note.verify(rotation.receipt.checkpoint, keys)
            size = checkpoint.parse(rotation.receipt.checkpoint.text).size
            self._believe(origin, event["origin"], keys, size)
        else:
            self.before.append(replace(believed, logs=keys))

    def _believe(self, origin: str, name: str, keys: tuple[LogKey, ...], size: int) -> None:
        """`size`: of the consent log when it was signed by the keys before and these."""
        believed = self._of(name if self._lists(name) else origin)
        others = tuple(key for key in believed.logs if key.name != name)
        mine = [policies.key_name(key) for key in believed.logs if key.name == name == origin]
        ends = dict.fromkeys(mine, KeyRange(0, size + 1))
        self.before.append(replace(believed, ranges={**ends, **believed.ranges}))
        self.known[self.known.index(believed)] = replace(believed, logs=(*others, *keys))

    def _lists(self, name: str) -> bool:
        return any(key.name == name for each in self.known for key in each.logs)

    def _of(self, name: str) -> LogPolicy:
        for each in self.known:
            if any(key.name == name for key in each.logs):
                return each
        raise LogPolicyError(f"no given policy lists the log {name!r}: add the one that does")


def _origin(signed: Note) -> str:
    return checkpoint.parse(signed.text).origin


def _signs(believed: LogPolicy, signed: Note) -> bool:
    known = {(key.name, key.key_id) for key in believed.logs}
    return any((each.name, each.key_id) in known for each in signed.signatures)


def _times(believed: LogPolicy, signed: Note) -> list[datetime]:
    """When each witness of the policy cosigned. The policy has verified these cosignatures."""
    if believed.quorum == policies.NONE:
        return []
    cosigned = {(each.name, each.key_id) for each in signed.signatures}
    return [
        policies.cosigned_at(key, signed)
        for key in believed.witnesses.values()
        if (key.name, key.key_id) in cosigned
    ]


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise RotationError(otherwise)
