"""C2SP tlog-witness: remembers the newest checkpoint of each log, and cosigns what extends it.

A submission (`POST /add-checkpoint`) has the size that the log thinks the witness has seen, a
consistency proof from that size, and the new checkpoint:

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

    ledger.example/consent
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — ledger.example/consent Az3grl…

Specification: specs/witness.md.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from ledger import clock
from ledger.storage import witness_store
from ledger.storage.database import writing
from ledger.storage.witness_store import Seen
from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.cosignature import WitnessSigner
from ledger.tlog.merkle import Hash, ProofError
from ledger.tlog.mldsa import MldsaSigner
from ledger.tlog.policy import LogKey, LogPolicyError
from ledger.tlog.signed_note import Note, Signature
from ledger.witness.watched_log import WatchedLog

MAX_HASHES = 63
MAX_BYTES = 1 << 20  # of a submission
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"

CosigningKey = WitnessSigner | MldsaSigner


class MalformedSubmissionError(ValueError):
    """The bytes are not a submission."""


@dataclass(frozen=True, slots=True)
class Submission:
    old: int
    proof: tuple[Hash, ...]
    note: Note
    head: Checkpoint

    def __str__(self) -> str:
        hashes = "".join(f"{b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The witness's answer: an HTTP status with a body."""

    status: int
    body: str
    content_type: str = TEXT


def parse(data: bytes) -> Submission:
    """Parse a submission; it formats back to the same bytes. Raises MalformedSubmissionError."""
    try:
        text = data.decode()
        head, _, signed = text.partition("\n\n")
        old, *hashes = head.split("\n")
        parsed = signed_note.parse(signed)
        proof = tuple(map(_hash, hashes))
        size = int(old.removeprefix("old "))
        submission = Submission(size, proof, parsed, checkpoint.parse(parsed.text))
    except ValueError as error:
        raise MalformedSubmissionError(f"not a submission: {error}") from error
    if str(submission) != text or submission.old < 0 or len(proof) > MAX_HASHES:
        raise MalformedSubmissionError(
            f"not in canonical form, or {len(proof)} hashes, want at most {MAX_HASHES}"
        )
    return submission


def _hash(line: str) -> Hash:
    hash_ = signed_note.decode_base64(line)
    if len(hash_) != merkle.HASH_SIZE:
        raise MalformedSubmissionError(f"a hash of {len(hash_)} bytes, want {merkle.HASH_SIZE}")
    return hash_


class Witness:
    """One witness, with its state in a SQLite file. Safe for several threads and processes.

    The remembered checkpoint of a log is compared and replaced in one transaction, durable before
    the answer, so of two concurrent submissions the second is compared with the first.
    """

    def __init__(
        self,
        path: Path,
        signers: CosigningKey | Sequence[CosigningKey],
        logs: Iterable[LogKey | WatchedLog],
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """`signers`: each gives a cosignature. `logs`: the watched logs; keys alone are of the log
        that they are named after, and of keys of two types one of each must have signed.

        Raises SchemaVersionError, DatabaseError.
        """
        self._memory = witness_store.opened(path)
        self._signers = (
            (signers,) if isinstance(signers, WitnessSigner | MldsaSigner) else (*signers,)
        )
        self._logs: Mapping[str, WatchedLog] = WatchedLog.by_origin(logs)
        self._now = now

    def add_checkpoint(self, data: bytes) -> Reply:
        """Check a submission, and cosign it if it extends the remembered checkpoint."""
        try:
            submission = parse(data)
        except MalformedSubmissionError as error:
            return Reply(400, f"{error}\n")
        origin = submission.head.origin
        if (log := self._logs.get(origin)) is None:
            return Reply(404, f"this witness does not know the log {origin}\n")
        try:
            signatures = log.verified(submission.note)
        except LogPolicyError as error:
            return Reply(403, f"no trusted key has signed this checkpoint: {error}\n")
        return self._judge(submission, signatures)

    def remembered(self, origin: str) -> str | None:
        """The newest cosigned note of the log `origin`, with the cosignatures, or None."""
        with self._memory.connect() as memory:
            seen = witness_store.seen(memory, origin)
        return None if seen is None else seen.note

    def recent(self, origin_hash: str) -> Reply:
        """The newest cosigned checkpoint of the log whose origin has this SHA-256, in hex."""
        names = (each for each in self._logs if sha256(each.encode()).hexdigest() == origin_hash)
        if (origin := next(names, None)) is None or (note := self.remembered(origin)) is None:
            return Reply(404, "this witness cosigned no checkpoint of that log\n")
        return Reply(200, note)

    def _judge(self, submission: Submission, signatures: Sequence[Signature]) -> Reply:
        head, text = submission.head, submission.note.text
        if submission.old > head.size:
            return Reply(400, f"old size {submission.old}, want at most {head.size}\n")
        with writing(self._memory) as memory:
            reply = _compare(submission, witness_store.seen(memory, head.origin))
            if reply is None:
                mine = self._cosign(text)
                newest = Seen(head.size, head.root, str(Note(text, (*signatures, *mine))))
                witness_store.remember(memory, head.origin, newest)
                reply = Reply(200, "".join(map(str, mine)))
        # Crash before this line: no cosignature left. After it: the checkpoint is remembered.
        return reply

    def _cosign(self, text: str) -> list[Signature]:
        at = self._now()
        return [
            each.cosign(text, at)
            if isinstance(each, WitnessSigner)
            else each.sign(text, int(at.timestamp()))
            for each in self._signers
        ]


def _compare(submission: Submission, seen: Seen | None) -> Reply | None:
    """The reply if the checkpoint does not extend what was seen, else None."""
    size, root = (seen.size, seen.root) if seen else (0, merkle.EMPTY_ROOT)
    head = submission.head
    if submission.old != size:
        return Reply(409, f"{size}\n", SIZE)
    if head.size == size and head.root != root:
        return Reply(422, f"another root of {size} entries was seen before\n")
    if size in (0, head.size):
        empty = not submission.proof
        return None if empty else Reply(422, "a consistency proof where none is needed\n")
    try:
        merkle.verify_consistency(size, head.size, root, head.root, submission.proof)
    except ProofError as error:
        return Reply(422, f"not consistent with the {size} entries seen before: {error}\n")
    return None
