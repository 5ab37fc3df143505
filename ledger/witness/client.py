"""Client for witnesses: have a log's checkpoint cosigned, and detect a rolled-back log.

A witness remembers the largest tree it has seen. A log that is smaller was restored from an old
copy, and appending to it would fork it, so nothing more is signed. A witness that says so proves it
with the log's own signature on the larger tree, or on another root; one that cannot is left out,
like one that is slow, states another time, or answers outside the protocol. See specs/witness.md.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from ledger import clock
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.cosignature import CosignatureError
from ledger.tlog.merkle import Hash, ProofError, verify_consistency
from ledger.tlog.policy import CosignerKey, LogPolicy, LogPolicyError, cosigned_at
from ledger.tlog.signed_note import Note, NoteError, Verifying
from ledger.witness import witness
from ledger.witness.http_post import WitnessConnection, WitnessUnavailableError
from ledger.witness.witness import Reply, Submission

__all__ = ["AskedWitness", "QuorumError", "RolledBackError", "WitnessUnavailableError", "Witnesses"]

DEADLINE_S = 10.0  # for the answers of all witnesses
GRACE_S = 0.5  # that the others are waited for once the quorum has cosigned
SKEW = timedelta(minutes=5)  # between our clock and the time that a cosignature states
_CONFLICT = 409
_INCONSISTENT = 422
_OK = 200
_MAX_REMEMBERED = len(str(1 << 63))  # digits

Post = Callable[[bytes], Reply]
Fetch = Callable[[str], str | None]  # origin -> the newest checkpoint that the witness cosigned


class RolledBackError(Exception):
    """A witness has seen more entries of this log, or a different history. Do not sign."""

    def __init__(self, name: str, remembered: int, have: int, reason: str) -> None:
        super().__init__(
            f"the witness {name} has seen {remembered} entries, this log has {have}: {reason}. "
            "Nothing was signed: restore the newest database and start again"
        )
        self.witness, self.remembered, self.have = name, remembered, have


class _UnprovenError(Exception):
    """A witness says that the log was rolled back, and does not prove it."""

    def __init__(self, claim: RolledBackError) -> None:
        super().__init__(
            f"{claim.witness} says that it has seen another history, of {claim.remembered} entries,"
            " and shows no checkpoint of it that this log signed"
        )
        self.claim = claim


class QuorumError(Exception):
    """Fewer witnesses have cosigned than the policy requires."""

    def __init__(self, count: int, wanted: str, reasons: Sequence[str]) -> None:
        super().__init__(f"{count} cosignatures, want {wanted}: {'; '.join(reasons)}")
        self.count, self.wanted = count, wanted


class Provable(Protocol):
    """The part of a log that the witness client needs."""

    @property
    def verifiers(self) -> Sequence[Verifying]: ...

    def checkpoint(self) -> str: ...

    def prove_consistency(self, old: int, new: int | None = None) -> list[Hash]: ...


@dataclass(frozen=True, slots=True)
class AskedWitness:
    """A witness of a log: its keys, how to post a submission to it, and to fetch what it saw.

    `sizes`: the size of each log that it cosigned last, as far as we know. `stop` ends a request
    that takes too long; `close` ends all.
    """

    keys: tuple[CosignerKey, ...]
    post: Post
    fetch: Fetch = lambda _origin: None
    stop: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None
    sizes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def at(cls, url: str, *keys: CosignerKey) -> "AskedWitness":
        """The witness whose submission and monitoring prefix is `url`."""
        connection = WitnessConnection.to(url)
        return cls(keys, connection.post, connection.fetch, connection.stop, connection.close)

    @property
    def name(self) -> str:
        return self.keys[0].name

    def cosign(self, log: Provable, at: datetime | None = None) -> list[signed_note.Signature]:
        """Get the witness's cosignatures on the log's newest checkpoint.

        `at`: our time; None: the time at which the answer came. Raises RolledBackError if it proves
        that entries are missing here, and WitnessUnavailableError, CosignatureError or
        `_UnprovenError` if it must be left out.
        """
        signed = signed_note.parse(log.checkpoint())
        head = checkpoint.parse(signed.text)
        old = known if (known := self.sizes.get(head.origin, 0)) <= head.size else 0
        reply = self._submit(log, signed, head, old)
        if reply.status == _CONFLICT:
            remembered = self._remembered(reply, log, head)
            if remembered != old:
                reply = self._submit(log, signed, head, remembered)
        if reply.status in {_CONFLICT, _INCONSISTENT}:
            raise self._claimed(log, head, head.size, "it has seen a different history")
        if reply.status != _OK:
            answer = f"{reply.status} {reply.body.strip()[:200]}"
            raise WitnessUnavailableError(f"{self.name} answered {answer}")
        found = self._found(signed, reply.body, at or clock.now())
        self.sizes[head.origin] = head.size
        return found

    def _submit(self, log: Provable, signed: Note, head: Checkpoint, old: int) -> Reply:
        proof = log.prove_consistency(old, head.size) if 0 < old < head.size else []
        return self.post(str(Submission(old, tuple(proof), signed, head)).encode())

    def _remembered(self, reply: Reply, log: Provable, head: Checkpoint) -> int:
        text = reply.body.removesuffix("\n")
        digits = text.isascii() and text.isdigit() and len(text) <= _MAX_REMEMBERED
        if reply.content_type != witness.SIZE or not digits:
            raise WitnessUnavailableError(f"{self.name} answered 409 without a size")
        if int(text) > head.size:
            raise self._claimed(log, head, int(text), "entries are missing here")
        return int(text)

    def _claimed(self, log: Provable, head: Checkpoint, remembered: int, why: str) -> Exception:
        """What to raise for a claim that this log was rolled back, or has another history."""
        self.sizes.pop(head.origin, None)
        if (shown := self._shown(log, head)) is None:
            return _UnprovenError(RolledBackError(self.name, remembered, head.size, why))
        return RolledBackError(self.name, shown.size, head.size, why)

    def _shown(self, log: Provable, head: Checkpoint) -> Checkpoint | None:
        """A checkpoint that this log signed and does not contain, if the witness has one."""
        try:
            if (text := self.fetch(head.origin)) is None:
                return None
            note = signed_note.parse(text)
            theirs = checkpoint.parse(note.text)
        except (WitnessUnavailableError, NoteError, MalformedCheckpointError):
            return None
        if theirs.origin != head.origin or not _is_signed(note, log.verifiers):
            return None
        return None if _contains(log, head, theirs) else theirs

    def _found(self, signed: Note, lines: str, now: datetime) -> list[signed_note.Signature]:
        """The witness's cosignatures among the returned lines; other lines are ignored."""
        try:
            answered = signed_note.parse(f"{signed.text}\n{lines}")
        except NoteError as error:
            raise WitnessUnavailableError(f"{self.name} returned no signature: {error}") from error
        mine = {(key.name, key.key_id) for key in self.keys}
        for key in self.keys:
            stated = cosigned_at(key, answered)
            if abs(stated - now) > SKEW:
                raise CosignatureError(
                    f"{self.name} states the time {stated:%Y-%m-%dT%H:%M:%SZ}, here it is "
                    f"{now:%Y-%m-%dT%H:%M:%SZ}: want at most {SKEW} between them"
                )
        return [each for each in answered.signatures if (each.name, each.key_id) in mine]


def _is_signed(note: Note, keys: Sequence[Verifying]) -> bool:
    """Whether one of the log's keys signed the note."""
    for key in keys:
        for each in note.signatures:
            if (each.name, each.key_id) != (key.name, key.key_id):
                continue
            try:
                key.verify(note.text, each)
            except NoteError:
                return False
            return True
    return False


def _contains(log: Provable, head: Checkpoint, other: Checkpoint) -> bool:
    if not 0 < other.size < head.size:
        return other.size == 0 or (other.size, other.root) == (head.size, head.root)
    try:
        proof = log.prove_consistency(other.size, head.size)
        verify_consistency(other.size, head.size, other.root, head.root, proof)
    except ProofError:
        return False
    return True


_NO_POLICY = LogPolicy(())


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The witnesses of a log, and the policy that says how many must cosign. May be empty."""

    asked: tuple[AskedWitness, ...] = ()
    policy: LogPolicy = _NO_POLICY
    now: Callable[[], datetime] = clock.now

    @classmethod
    def of(cls, policy: LogPolicy) -> "Witnesses":
        """The witnesses whose addresses a tlog-policy gives; keys at one address are one's."""
        keys: dict[str, list[CosignerKey]] = {}
        for name, url in policy.addresses.items():
            keys.setdefault(url, []).append(policy.witnesses[name])
        return cls(tuple(AskedWitness.at(url, *each) for url, each in keys.items()), policy)

    def cosigned(self, log: Provable, left_out: dict[str, str] | None = None) -> str:
        """The newest checkpoint, with the cosignatures that the policy requires.

        Call it before a log signs anything new after a start. `left_out` is filled with the
        witnesses that gave no cosignature, and why. Raises RolledBackError if a witness proves that
        it has seen more than this log has, or says so and too few others cosigned; QuorumError if
        too few cosigned.
        """
        signed, reasons, claims = _cosigned(log, self.asked, self._enough, self.now)
        if left_out is not None:
            left_out.clear()
            left_out.update(reasons)
        try:
            self.policy.require_quorum(signed)
        except LogPolicyError as error:
            if claims:
                raise claims[0] from error
            count = len(self.asked) - len(reasons)
            raise QuorumError(count, str(error), [*reasons.values()]) from error
        return str(signed)

    def close(self) -> None:
        for each in self.asked:
            each.close()

    def _enough(self, signed: Note) -> bool:
        try:
            self.policy.require_quorum(signed)
        except LogPolicyError:
            return False
        return True


NO_WITNESSES = Witnesses()


def cosigned(
    log: Provable,
    witnesses: Sequence[AskedWitness],
    quorum: int,
    now: Callable[[], datetime] = clock.now,
) -> str:
    """The newest checkpoint with at least `quorum` cosignatures, asked for in parallel.

    Raises as `Witnesses.cosigned` does.
    """

    def all_of_them(_signed: Note) -> bool:
        return False

    signed, reasons, claims = _cosigned(log, witnesses, all_of_them, now)
    if (count := len(witnesses) - len(reasons)) < quorum:
        if claims:
            raise claims[0]
        raise QuorumError(count, str(quorum), [*reasons.values()])
    return str(signed)


def _cosigned(
    log: Provable,
    witnesses: Sequence[AskedWitness],
    enough: Callable[[Note], bool],
    now: Callable[[], datetime],
) -> tuple[Note, dict[str, str], list[RolledBackError]]:
    """The newest checkpoint with all cosignatures, the reasons for missing ones, by witness, and
    the claims that are not proven. Raises RolledBackError for a proven one.

    Once `enough` cosigned, the others have GRACE_S more; all have DEADLINE_S.
    """
    signed = signed_note.parse(log.checkpoint())
    frozen = FrozenLog(str(signed), log)
    pool = ThreadPoolExecutor(max(1, len(witnesses)), thread_name_prefix="witness")
    asked = {pool.submit(each.cosign, frozen, now()): each for each in witnesses}
    pool.shutdown(wait=False)
    reasons: dict[str, str] = {}
    claims: list[RolledBackError] = []
    cosigned, pending, until = signed, set(asked), time.monotonic() + DEADLINE_S
    while pending and (left := until - time.monotonic()) > 0:
        done, pending = wait(pending, left, return_when="FIRST_COMPLETED")
        for each in done:
            got = _answer(each, asked[each], reasons, claims)
            cosigned = Note(cosigned.text, (*cosigned.signatures, *got))
        if done and enough(cosigned):
            until = min(until, time.monotonic() + GRACE_S)
    for late in pending:
        asked[late].stop()
        reasons[asked[late].name] = f"{asked[late].name} did not answer in time"
    return cosigned, reasons, claims


def _answer(
    done: "Future[list[signed_note.Signature]]",
    asked: AskedWitness,
    reasons: dict[str, str],
    claims: list[RolledBackError],
) -> list[signed_note.Signature]:
    """The cosignatures; none, with the reason in `reasons`. Raises RolledBackError."""
    try:
        return done.result()
    except _UnprovenError as error:
        claims.append(error.claim)
        reasons[asked.name] = str(error)
    except (WitnessUnavailableError, CosignatureError, NoteError) as error:
        reasons[asked.name] = str(error)
    return []


@dataclass(frozen=True, slots=True)
class FrozenLog:
    """A log at one checkpoint, unaffected by entries that are appended later."""

    signed: str
    log: Provable

    @property
    def verifiers(self) -> Sequence[Verifying]:
        return self.log.verifiers

    def checkpoint(self) -> str:
        return self.signed

    def prove_consistency(self, old: int, new: int | None = None) -> list[Hash]:
        return self.log.prove_consistency(old, new)
