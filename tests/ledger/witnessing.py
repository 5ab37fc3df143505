"""A log, a witness, and a submission from one to the other."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ledger import clock
from ledger.tlog import checkpoint, cosignature, signed_note
from ledger.tlog.cosignature import WitnessSigner
from ledger.tlog.signed_note import Signer
from ledger.tlog.writer import Log
from ledger.witness.witness import Submission, Witness

ORIGIN = "ledger.example/consent"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def log_with(folder: Path, entries: int, signer: Signer, mark: bytes = b"entry") -> Log:
    """A log of its own in `folder`; another `mark` makes another history."""
    log = Log.open(folder / "log.sqlite", ORIGIN, signer)
    log.append([mark + b" %d" % i for i in range(entries)])
    return log


def submission(log: Log, old: int) -> bytes:
    signed = signed_note.parse(log.checkpoint())
    head = checkpoint.parse(signed.text)
    proof = log.prove_consistency(old) if 0 < old < head.size else []
    return str(Submission(old, tuple(proof), signed, head)).encode()


def witness_of(
    folder: Path,
    signer: Signer,
    by: WitnessSigner | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Witness:
    folder.mkdir(parents=True, exist_ok=True)
    by = by or cosignature.generate("witness.example/w1")
    return Witness(folder / "witness.sqlite", by, [signer.verifier], now)
