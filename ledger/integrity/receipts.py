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


def wrong_rotations(home: Path, size: int) -> Iterator[tuple[str, str]]:
    """File, and what is wrong with it, of receipts of rotations that a start needs.

    The sizes at which retired keys end say which there must be; those of the newest two entries
    are stored after the entries. A policy that cannot be read is written again by the start.
    """
    try:
        trust = replace(policy.parse((home / "consent.policy").read_bytes()), quorum=policy.NONE)
    except (OSError, ValueError):
        return
    for path in sorted((home / ROTATIONS).glob(f"*{SUFFIX}")):
        file = f"{ROTATIONS}/{path.name}"
        yield from ((file, each.what) for each in _receipt(path, file, trust))
    for end in {each.end for each in trust.ranges.values() if each.end}:
        for index in (end - 3, end - 2):  # the entries of both logs, signed at the size end - 1
            file = f"{ROTATIONS}/{index:09d}{SUFFIX}"
            if end - 1 < size and not (home / file).exists():
                yield file, "is missing"


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
