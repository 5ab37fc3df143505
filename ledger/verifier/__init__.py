"""The offline verifier: a receipt, a public key, the standard library and `cryptography`.

    sovereign verify RECEIPT --policy POLICY   the same as: python -m ledger.verifier …
    sovereign verify RECEIPT --key VKEYS       every key of the file must have signed

Exit status 0: the receipt proves what is printed. 1: it does not, and the reason is printed.
2: the command was not understood.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger import policy, receipt
from ledger.checkpoint import Checkpoint
from ledger.instruction import Signer
from ledger.note import NoteError
from ledger.policy import LogKey, PolicyError
from ledger.receipt import Receipt, ReceiptError


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one receipt and say what it proves. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="sovereign verify", description=__doc__)
    parser.add_argument("receipt", type=Path, help="a .tlog-proof file")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument("--policy", type=Path, help="a tlog-policy: logs, witnesses, quorum")
    trust.add_argument("--key", type=Path, help="verifier keys, one a line; all must have signed")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    chosen = parser.parse_args(arguments)
    try:
        proven = receipt.parse(_read(chosen.receipt))
        if chosen.policy:
            head = receipt.verify_under(proven, policy.parse(chosen.policy.read_bytes()))
        else:
            head = receipt.verify(proven, keys(_read(chosen.key)))
    except (OSError, UnicodeDecodeError, NoteError, PolicyError, ReceiptError) as error:
        sys.stderr.write(f"NOT VERIFIED: {error}\n")
        return 1
    sys.stdout.write(_verdict(proven, head))
    return 0


def keys(text: str) -> list[LogKey]:
    """Verifier keys, one a line. Raises NoteError."""
    return [policy.log_key(line) for line in text.split("\n") if line]


def _read(path: Path) -> str:
    """Bytes as they are: no newline is translated, no character replaced."""
    return path.read_bytes().decode("utf-8")


def _verdict(proven: Receipt, head: Checkpoint) -> str:
    lines = [
        "VERIFIED",
        f"  log       {head.origin}, {head.size} entries",
        f"  entry     {proven.index}",
        *_said(proven.extra["event"]),
        *_signed(proven.signer()),
    ]
    return "".join(f"{_printable(line)}\n" for line in lines)


def _signed(by: Signer | None) -> list[str]:
    if by is None:
        return []
    party = f" for {by.rp}" if by.rp else ""
    return [f"  signed    by the {by.kind} key {by.id.hex()}{party}"]


def _printable(line: str) -> str:
    """No text from a log moves the cursor, colours the screen or starts a line of its own."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def _said(event: dict[str, Any]) -> list[str]:
    if event.get("type") != "instruction":
        return [f"  public    {event.get('type')} at {event.get('at')}"]
    act = event["act"]
    about = ", ".join(act.get("fields") or ["the whole scene"])
    return [
        f"  customer  {event['subject']}, instruction {event['seq']}",
        f"  said      {act['type']} {act.get('scene', '')}: {about}",
        f"  at        {event['at']}, evidence class {event['evidence']}",
    ]
