r"""The cosigned checkpoints that a log publishes, so that anybody can bound when entries were made.

One file a day (UTC) beside the tiles, one cosigned checkpoint a line, as a JSON text, oldest first:

    witnessed/2026-11-30    "ledger.example/consent\n7\n7xL/…=\n\n— witness.example/w1 G7LC…\n"

A line has the log's Ed25519 signatures and the cosignatures. Entries below its size existed when
the quorum cosigned; later ones nobody but the log had seen. Reading needs the standard library.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from ledger.tlog import atomic_file, checkpoint, signed_note
from ledger.tlog.signed_note import Note

FOLDER = "witnessed"
EVERY = timedelta(seconds=30)  # between two lines
MAX_LINE = 1 << 16  # bytes; a line with three cosignatures has 800
_LONG = 1000  # bytes: a signature of ML-DSA-44 by the log is left out


class MalformedHistoryError(ValueError):
    """A line is no cosigned checkpoint. Says which file and line."""


@dataclass(slots=True)
class CosignedHistory:
    """The cosigned checkpoints under a tile directory. One thread at a time."""

    folder: Path
    _last: tuple[datetime, str] | None = None  # when a line was added, and its checkpoint

    def offer(self, signed: str, at: datetime) -> None:
        """Add a cosigned checkpoint if it is new, and the last was added 30 s ago or earlier."""
        if self._last is None or not timedelta(0) <= at - self._last[0] < EVERY:
            self.publish(signed, at)

    def publish(self, signed: str, at: datetime) -> None:
        """Add a cosigned checkpoint if it is new."""
        if self._last is None or signed_note.parse(signed).text != self._last[1]:
            self.append(signed, at)

    def append(self, signed: str, at: datetime) -> None:
        """Add a cosigned checkpoint. Durable on return; a crash leaves whole lines only."""
        note = signed_note.parse(signed)
        path = self.folder / FOLDER / f"{at:%Y-%m-%d}"
        before = path.read_bytes() if path.exists() else b""
        atomic_file.write(path, before + _line(note))
        self._last = at, note.text

    def notes(self) -> Iterator[Note]:
        """All of them, as `read` returns them."""
        return read(self.folder)


def read(folder: Path) -> Iterator[Note]:
    """All cosigned checkpoints of a tile directory, in the order of their days and lines.

    Nothing is verified. Raises OSError, MalformedHistoryError.
    """
    days = folder / FOLDER
    for path in sorted(days.iterdir()) if days.is_dir() else []:
        if path.suffix == ".tmp":  # left by a write that was cut off
            continue
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
                try:
                    yield signed_note.parse(_parsed(line))
                except (ValueError, RecursionError) as error:
                    where = f"{FOLDER}/{path.name}, line {number}"
                    raise MalformedHistoryError(f"{where}: {error}") from error


def _line(note: Note) -> bytes:
    origin = checkpoint.parse(note.text).origin
    shown = tuple(s for s in note.signatures if s.name != origin or len(s.signature) < _LONG)
    text = str(replace(note, signatures=shown))
    return f"{json.dumps(text, ensure_ascii=False)}\n".encode()


def _parsed(line: bytes) -> str:
    text = json.loads(line)
    if not line.endswith(b"\n") or not isinstance(text, str):
        raise ValueError("want one JSON text and the end of the line")
    return text
