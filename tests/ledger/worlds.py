"""Ledgers on disk, and readers of what they publish that share no code with the writer."""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from ledger import clock
from ledger.events.acts import OF_THE_COMPANY
from ledger.events.envelope import Act, EvidenceClass, Granted, Wording
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from tests.ledger.events import NOON, ORIGIN, WORDING

AGE = Granted("segmentation", ("age",), None)


def opened(home: Path, now: Callable[[], datetime] = clock.now) -> Ledger:
    return Ledger.open(home, origin=ORIGIN, now=now)


def say(
    ledger: Ledger, subject: str, *acts: Act, wording: Wording = WORDING
) -> list[RecordedEvent]:
    """One instruction after the other, each its own batch."""
    return [
        ledger.record(
            [ledger.draft(subject, act, at=NOON, wording=wording, evidence=class_of(act))]
        )[0]
        for act in acts
    ]


def class_of(act: Act) -> EvidenceClass:
    """The company's own acts are of class D."""
    return EvidenceClass.IMPORTED if type(act) in OF_THE_COMPANY else EvidenceClass.SESSION


def change(database: Path, statement: str, *values: object) -> None:
    """Somebody with access to the database edits it."""
    with sqlite3.connect(database) as connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    assert changed > 0, "the statement changed nothing, so the test would prove nothing"


def entries(folder: Path) -> list[bytes]:
    """The entries of an exported directory, from its bundles and checkpoint alone."""
    size = int((folder / "checkpoint").read_text().split("\n")[1])
    found: list[bytes] = []
    while len(found) < size:
        number = len(found) // 256
        name = f"tile/entries/{_thousands(number)}"
        if size - len(found) < 256:
            name += f".p/{size - len(found)}"
        data = (folder / name).read_bytes()
        while data:
            length = data[0] * 256 + data[1]
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
    return found


def _thousands(number: int) -> str:
    digits = f"{number:03d}" if number < 1000 else f"x{number // 1000:03d}/{number % 1000:03d}"
    assert number < 1_000_000
    return digits


def root(found: list[bytes]) -> bytes:
    """RFC 6962's root once more, from the bottom up."""
    if not found:
        return sha256(b"").digest()
    level = [sha256(b"\0" + entry).digest() for entry in found]
    while len(level) > 1:
        pairs = [
            sha256(b"\1" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)
        ]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]
