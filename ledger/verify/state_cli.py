"""Verify a proof of a customer's current state offline, with all of their receipts.

    python -m ledger.verify.state_cli PROOF --policy STATE_POLICY --receipts FIRST [SECOND …]
    python -m ledger.verify.state_cli PROOF --key STATE_VKEYS --map-key MAP_VKEY --receipts FIRST …

Give all receipts of the customer, oldest first, and check each with `sovereign verify` as well.
The state is the latest as of the checkpoint that is printed; `--at-least CHECKPOINT` refuses a
proof under an older one, of the state log or of the consent log. Needs the standard library and
`cryptography` only, and no network. Exit status 0: the proof shows what is printed. 1: it does not;
the reason is printed. 2: a file could not be read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledger.statemap import map_proof
from ledger.statemap.map_proof import MalformedStateProofError, StateProof
from ledger.tlog import checkpoint, policy, signed_note
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.merkle import ProofError
from ledger.tlog.policy import LogPolicy, LogPolicyError, MapKey
from ledger.tlog.signed_note import NoteError
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.cli import first_line, history, keys, printable, read
from ledger.verify.key_history import KeyHistory
from ledger.verify.receipt import ReceiptError
from ledger.verify.times import attested
from ledger.verify.times.attested import TimeError

_REFUSED = (
    MalformedCheckpointError,
    TimeError,
    UnicodeDecodeError,
    NoteError,
    LogPolicyError,
    ReceiptError,
    MalformedStateProofError,
    ProofError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one state proof and print what it shows. Returns the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.key and not chosen.map_key:
        parser.error("give the key of the map's labels too: --map-key keys/map.vkey")
    try:
        verdict = _verify(chosen)
    except OSError as error:
        sys.stderr.write(f"COULD NOT READ: {error.filename}: {error.strerror}\n")
        return 2
    except _REFUSED as error:
        sys.stderr.write(f"NOT VERIFIED: {printable(str(error))}\n")
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
        "--map-key", type=Path, help="with --key: a file with the `vrf` line of the state policy"
    )
    parser.add_argument(
        "--at-least",
        type=Path,
        metavar="CHECKPOINT",
        help="a signed checkpoint that you know: refuse a verdict under an older one",
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
    if events[0]["type"] != "instruction":
        raise ProofError("the first receipt is of a public act, want the customer's instructions")
    states = f"{events[0]['origin']}/state"
    first = commitments.canonical(events[0])
    where = map_proof.proven_label(proof, events[0]["subject"], _map_key(chosen, states), first)
    trusted = None
    if chosen.policy:
        trusted = policy.parse(read(chosen.policy, policy.MAX_SIZE))
        head = map_proof.verify_under(proof, where, trusted)
    else:
        head = map_proof.verify(proof, where, keys(_read(chosen.key)))
    if head.origin != states:
        raise ProofError(f"a state proof of the log {head.origin!r}, want {states}")
    map_proof.require_complete(proof, events)
    _require_newest(chosen.at_least, proof, head)
    return _verdict(proof, head, trusted)


def _require_newest(known: Path | None, proof: StateProof, head: Checkpoint) -> None:
    """Raise TimeError if the proof is older than a known checkpoint of either log."""
    if known is None:
        return
    wanted = checkpoint.parse(signed_note.parse(_read(known)).text)
    if wanted.origin == head.origin:
        attested.require_at_least(head, wanted)
    else:
        consent = head.origin.removesuffix("/state")
        now = Checkpoint(consent, proof.entry.size, proof.entry.root)
        attested.require_at_least(now, wanted)


def _map_key(chosen: argparse.Namespace, states: str) -> MapKey:
    data = read(chosen.policy or chosen.map_key, policy.MAX_SIZE)
    listed = data if chosen.policy else data + b"quorum none\n"
    return KeyHistory([policy.parse(listed)]).map_key(states)


def _read(path: Path) -> str:
    return read(path).decode("utf-8")


def _verdict(proof: StateProof, head: Checkpoint, trusted: LogPolicy | None) -> str:
    shown = proof.opening
    if shown is None:  # `require_complete` lets this pass without instructions only
        raise AssertionError("a state proof without a state passed with receipts")
    begin = first_line(trusted)
    seen = None if trusted is None else attested.of_note(trusted, proof.note)
    when = f"{attested.NOBODY}: nobody else attests a time"
    if seen is not None:
        when = f"{seen.at:{attested.FORMAT}}, {seen.who}"
    lines = [
        f"{begin}: at that checkpoint this is the latest state, and the receipts are all there are",
        f"  log       {head.origin}, {head.size} entries, root {head.root.hex()}",
        f"  of        {proof.entry.size} entries of the consent log, root {proof.entry.root.hex()}",
        f"  newest    {when}",
        f"  state     {commitments.canonical(shown.state).decode()!a}",
        f"  history   {history(proof.entry.vrf)}",
    ]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
