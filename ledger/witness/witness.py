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

import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ledger import clock
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
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS seen(origin TEXT PRIMARY KEY, size INTEGER NOT NULL, "
    "root BLOB NOT NULL, note TEXT NOT NULL)"
)


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
        """`logs`: keys of the watched logs. A log with keys of two types must sign with both."""
        self._path = path
        self._signer = signer
        self._trust = LogPolicy((*logs,))
        self._now = now
        with self._memory() as memory:
            memory.execute(_SCHEMA)

    def add_checkpoint(self, data: bytes) -> Reply:
        """Check a submission, and cosign it if it extends the remembered checkpoint."""
        try:
            submission = parse(data)
        except MalformedSubmissionError as error:
            return Reply(400, f"{error}\n")
        return self._refusal(submission) or self._judge(submission)

    def remembered(self, origin: str) -> str | None:
        """The newest cosigned note of the log `origin`, or None."""
        with self._memory() as memory:
            row = memory.execute("SELECT note FROM seen WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else str(row[0])

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
        with self._memory() as memory:
            memory.execute("BEGIN IMMEDIATE")
            seen = _seen(memory, submission.head.origin)
            reply = _compare(submission, seen)
            if reply is None:
                _remember(memory, submission)
            memory.execute("COMMIT")
            # Crash before the commit: nothing was cosigned. After it: the checkpoint is remembered.
        return reply or Reply(200, str(self._signer.cosign(submission.note.text, self._now())))

    @contextmanager
    def _memory(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        finally:
            connection.close()  # rolls back an open transaction


def _seen(memory: sqlite3.Connection, origin: str) -> tuple[int, Hash]:
    sql = "SELECT size, root FROM seen WHERE origin = ?"
    row: tuple[int, Hash] | None = memory.execute(sql, (origin,)).fetchone()
    return row or (0, merkle.EMPTY_ROOT)


def _compare(submission: Submission, seen: tuple[int, Hash]) -> Reply | None:
    """The reply if the checkpoint does not extend what was seen, else None."""
    size, root = seen
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


def _remember(memory: sqlite3.Connection, submission: Submission) -> None:
    head = submission.head
    memory.execute(
        "INSERT INTO seen(origin, size, root, note) VALUES (?, ?, ?, ?) "
        "ON CONFLICT(origin) DO UPDATE SET size = excluded.size, root = excluded.root, "
        "note = excluded.note",
        (head.origin, head.size, head.root, str(submission.note)),
    )
