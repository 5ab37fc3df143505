"""The offline verifier: a receipt, a public key, the standard library and `cryptography`.

    sovereign verify RECEIPT --key VKEY        the same as: python -m ledger.verifier …

Exit status 0: the receipt proves what is printed. 1: it does not, and the reason is printed.
2: the command was not understood.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger import note, receipt
from ledger.checkpoint import Checkpoint
from ledger.note import NoteError, Verifier
from ledger.receipt import Receipt, ReceiptError


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one receipt and say what it proves. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="sovereign verify", description=__doc__)
    parser.add_argument("receipt", type=Path, help="a .tlog-proof file")
    parser.add_argument("--key", type=Path, required=True, help="verifier keys, one a line")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    chosen = parser.parse_args(arguments)
    try:
        proven = receipt.parse(_read(chosen.receipt))
        head = receipt.verify(proven, keys(_read(chosen.key)))
    except (OSError, UnicodeDecodeError, NoteError, ReceiptError) as error:
        sys.stderr.write(f"NOT VERIFIED: {error}\n")
        return 1
    sys.stdout.write(_verdict(proven, head))
    return 0


def keys(text: str) -> list[Verifier]:
    """Verifier keys, one a line. Raises NoteError."""
    return [note.verifier(line) for line in text.split("\n") if line]


def _read(path: Path) -> str:
    """Bytes as they are: no newline is translated, no character replaced."""
    return path.read_bytes().decode("utf-8")


def _verdict(proven: Receipt, head: Checkpoint) -> str:
    lines = [
        "VERIFIED",
        f"  log       {head.origin}, {head.size} entries",
        f"  entry     {proven.index}",
        *_said(proven.extra["event"]),
    ]
    return "".join(f"{_printable(line)}\n" for line in lines)


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
