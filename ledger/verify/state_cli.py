"""Verify a proof of a customer's current state offline, with all of their receipts.

    python -m ledger.verify.state_cli PROOF --policy STATE_POLICY --receipts FIRST [SECOND …]
    python -m ledger.verify.state_cli PROOF --key STATE_VKEYS --receipts FIRST [SECOND …]

Give all receipts of the customer, oldest first, and check each with `sovereign verify` as well.
Needs the standard library and `cryptography` only, and no network. Exit status 0: the proof shows
what is printed. 1: it does not; the reason is printed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledger.statemap import map_proof
from ledger.statemap.map_proof import MalformedStateProofError, StateProof
from ledger.tlog import policy
from ledger.tlog.merkle import ProofError
from ledger.tlog.policy import LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.cli import keys
from ledger.verify.receipt import ReceiptError

_REFUSED = (
    OSError,
    UnicodeDecodeError,
    NoteError,
    LogPolicyError,
    ReceiptError,
    MalformedStateProofError,
    ProofError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one state proof and print what it shows. Returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        verdict = _verify(chosen)
    except _REFUSED as error:
        sys.stderr.write(f"NOT VERIFIED: {error}\n")
        return 1
    sys.stdout.write(verdict)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger.verify.state_cli")
    parser.add_argument("proof", type=Path, help="a state-proof file")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument(
        "--policy", type=Path, help="a tlog-policy file: state log, witnesses, quorum"
    )
    trust.add_argument(
        "--key",
        type=Path,
        help="a file of the state log's keys, one per line; all must have signed",
    )
    parser.add_argument(
        "--receipts",
        type=Path,
        nargs="+",
        required=True,
        help="all receipts of the customer, oldest first",
    )
    return parser


def _verify(chosen: argparse.Namespace) -> str:
    """The verdict on a proof that holds. Raises one of `_REFUSED` for any other."""
    receipts = [receipt.parse(_read(path)) for path in chosen.receipts]
    events = [each.extra["event"] for each in receipts]
    proof = map_proof.parse(_read(chosen.proof))
    where = map_proof.label(commitments.canonical(events[0]))
    if chosen.policy:
        trusted = policy.parse(chosen.policy.read_bytes())
        head = map_proof.verify_under(proof, where, trusted)
    else:
        head = map_proof.verify(proof, where, keys(_read(chosen.key)))
    _require_state_log(head.origin, str(events[0]["origin"]))
    map_proof.require_complete(proof, events)
    return _verdict(proof, head.origin)


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _require_state_log(states: str, consent: str) -> None:
    if states != f"{consent}/state":
        raise ProofError(f"a state proof of the log {states!r}, want {consent}/state")


def _verdict(proof: StateProof, origin: str) -> str:
    shown = proof.opening
    if shown is None:  # `require_complete` lets this pass without instructions only
        raise AssertionError("a state proof without a state passed with receipts")
    lines = [
        "VERIFIED: this is the latest state, and the receipts are all there are",
        f"  log       {origin}, for {proof.entry.size} entries of the consent log",
        f"  state     {commitments.canonical(shown.state).decode()!a}",
    ]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
