"""A text file that only grows, line by line; a line is durable when `append` returns."""

import os
from pathlib import Path

from ledger.tlog import atomic_file


class DurableLines:
    """The lines of one file. The caller holds the vault's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return len(self.lines())

    def lines(self) -> list[str]:
        """All complete lines; a last one without a newline was cut off by a crash."""
        if not self.path.exists():
            return []
        whole = self.path.read_text("latin-1").rpartition("\n")[0]
        return whole.split("\n") if whole else []

    def append(self, line: str) -> None:
        whole = "".join(f"{each}\n" for each in self.lines())
        if not self.path.exists():
            atomic_file.write(self.path, b"", atomic_file.OWNER_ONLY)
        with self.path.open("r+b") as file:
            file.truncate(len(whole))
            file.seek(len(whole))
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
