"""Checks stored receipts: those of customers, and those of every rotation of keys."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from ledger.integrity.finding import FsckFinding, unreadable
from ledger.tlog import policy
from ledger.tlog.policy import LogPolicy
from ledger.verify import receipt

ROTATIONS = "rotations"
SUFFIX = ".tlog-proof"


def check(home: Path, rotations: Collection[int], size: int) -> Iterator[FsckFinding]:
    """Check the receipts of `home`. `rotations`: indexes of `key-rotated` entries among `size`."""
    try:
        trust = policy.parse((home / "consent.policy").read_bytes())
    except (OSError, ValueError):
        return  # reported with the keys
    trust = replace(trust, quorum=policy.NONE)  # witnesses may not have answered
    for folder in ("receipts", ROTATIONS):
        for path in sorted((home / folder).glob(f"*{SUFFIX}")):
            yield from _receipt(path, f"{folder}/{path.name}", trust)
    for index in rotations:
        file = f"{ROTATIONS}/{index:09d}{SUFFIX}"
        # The newest two entries' receipts are stored after the entries; the next start adds them.
        if index < size - 2 and not (home / file).exists():
            yield FsckFinding("", f"the receipt of the rotation at entry {index} is missing", file)


def _receipt(path: Path, file: str, trust: LogPolicy) -> Iterator[FsckFinding]:
    try:
        stored = receipt.parse(path.read_bytes().decode())
        receipt.verify_under(stored, trust)
    except OSError as error:
        yield unreadable(file, error)
    except UnicodeDecodeError:
        yield FsckFinding("", "it is not text, want a receipt", file)
    except ValueError as error:
        yield FsckFinding("", f"it does not verify: {error}", file)
    else:
        if path.stem.isdecimal() and int(path.stem) != stored.index:
            yield FsckFinding("", f"it is the receipt of entry {stored.index}", file)
