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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ledger import clock
from ledger.storage import witness_store
from ledger.storage.database import writing
from ledger.storage.witness_store import Seen
from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.cosignature import WitnessSigner
from ledger.tlog.merkle import Hash, ProofError
from ledger.tlog.policy import LogKey, LogPolicy, LogPolicyError
from ledger.tlog.signed_note import Note

MAX_HASHES = 63
MAX_BYTES = 1 << 20  # of a submission
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"


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
        signer: WitnessSigner,
        logs: Iterable[LogKey],
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """`logs`: keys of the watched logs. A log with keys of two types must sign with both.

        Raises SchemaVersionError, DatabaseError.
        """
        self._memory = witness_store.opened(path)
        self._signer = signer
        self._trust = LogPolicy((*logs,))
        self._now = now

    def add_checkpoint(self, data: bytes) -> Reply:
        """Check a submission, and cosign it if it extends the remembered checkpoint."""
        try:
            submission = parse(data)
        except MalformedSubmissionError as error:
            return Reply(400, f"{error}\n")
        return self._refusal(submission) or self._judge(submission)

    def remembered(self, origin: str) -> str | None:
        """The newest cosigned note of the log `origin`, or None."""
        with self._memory.connect() as memory:
            seen = witness_store.seen(memory, origin)
        return None if seen is None else seen.note

    def _refusal(self, submission: Submission) -> Reply | None:
        """The reply if the submission is refused whatever is remembered, else None."""
        head = submission.head
        if all(key.name != head.origin for key in self._trust.logs):
            return Reply(404, f"this witness does not know the log {head.origin}\n")
        try:
            self._trust.verify(submission.note)
        except LogPolicyError as error:
            return Reply(403, f"no trusted key has signed this checkpoint: {error}\n")
        if submission.old > head.size:
            return Reply(400, f"old size {submission.old}, want at most {head.size}\n")
        return None

    def _judge(self, submission: Submission) -> Reply:
        head = submission.head
        with writing(self._memory) as memory:
            reply = _compare(submission, witness_store.seen(memory, head.origin))
            if reply is None:
                newest = Seen(head.size, head.root, str(submission.note))
                witness_store.remember(memory, head.origin, newest)
        # Crash before this line: nothing was cosigned. After it: the checkpoint is remembered.
        return reply or Reply(200, str(self._signer.cosign(submission.note.text, self._now())))


def _compare(submission: Submission, seen: Seen | None) -> Reply | None:
    """The reply if the checkpoint does not extend what was seen, else None."""
    size, root = (seen.size, seen.root) if seen else (0, merkle.EMPTY_ROOT)
    head = submission.head
    if submission.old != size:
        return Reply(409, f"{size}\n", SIZE)
    if head.size == size and head.root != root:
        return Reply(409, f"{size}\n", SIZE)
    if size in (0, head.size):
        empty = not submission.proof
        return None if empty else Reply(422, "a consistency proof where none is needed\n")
    try:
        merkle.verify_consistency(size, head.size, root, head.root, submission.proof)
    except ProofError as error:
        return Reply(422, f"not consistent with the {size} entries seen before: {error}\n")
    return None
