"""A read log of a served data directory, as the company that serves it can edit and sign it."""

import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.tlog import signed_note, tiles
from ledger.tlog.writer import Log

PSEUDONYM = 16  # bytes of a customer's pseudonym in the index
Leaf = dict[str, Any]
Edit = Callable[[Leaf], Leaf | bytes]


@dataclass(frozen=True, slots=True)
class EditedLog:
    """The read log `instance` of the data directory `home`."""

    home: Path
    instance: str

    @property
    def leaves(self) -> list[bytes]:
        return [
            leaf
            for _, data in self._all("bundle", "index", "data")
            for leaf in tiles.unbundle(data)
        ]

    def find(self, **members: Any) -> int:
        """The newest entry with these members."""
        return self.find_all(**members)[-1]

    def find_all(self, **members: Any) -> list[int]:
        """Every entry with these members, the newest last."""
        entries = [json.loads(each) for each in self.leaves]
        return [n for n, entry in enumerate(entries) if members.items() <= entry.items()]

    def edit(self, entry: int, edit: Edit) -> None:
        """Edit one entry and nothing else."""
        leaves = self.leaves
        leaves[entry] = _edited(leaves[entry], edit)
        with self._opened() as stored, stored:
            data = tiles.bundle(leaves[: tiles.WIDTH])
            stored.execute('UPDATE bundle SET data = ? WHERE "index" = 0', [data])

    def edit_and_sign(self, entry: int, edit: Edit, key: str) -> None:
        """Edit one entry, and sign a log that has it and is in itself consistent."""
        self.edit_all_and_sign({entry: edit}, key)

    def edit_all_and_sign(self, edits: Mapping[int, Edit], key: str) -> None:
        """The same with several entries."""
        leaves = self.leaves
        for entry, edit in edits.items():
            leaves[entry] = _edited(leaves[entry], edit)
        signer = signed_note.signer(key)
        with TemporaryDirectory() as folder:
            with closing(Log.open(Path(folder) / "log.sqlite", signer.name, signer)) as log:
                log.append(leaves)
            with self._opened() as stored, stored:
                stored.execute("ATTACH ? AS edited", [f"{folder}/log.sqlite"])
                for table in ("head", "bundle", "tile"):
                    stored.execute(f"DELETE FROM main.{table}")
                    stored.execute(f"INSERT INTO main.{table} SELECT * FROM edited.{table}")

    def unname(self, entry: int) -> None:
        """Make the index say that the entry is about somebody whom nobody knows."""
        with self._opened() as stored, stored:
            ((names,),) = stored.execute("SELECT names FROM owner WHERE bundle = 0")
            at = entry * PSEUDONYM
            names = names[:at] + secrets.token_bytes(PSEUDONYM) + names[at + PSEUDONYM :]
            stored.execute("UPDATE owner SET names = ? WHERE bundle = 0", [names])

    def store_set(self, members: bytes) -> str:
        """Store a set of customers; returns its digest."""
        digest = sha256(members).hexdigest()
        folder = self.home / "reads" / self.instance / "cohorts"
        (folder / digest).write_bytes(members)
        return digest

    def copy(self, home: Path) -> "EditedLog":
        return EditedLog(shutil.copytree(self.home, home), self.instance)

    def _all(self, table: str, *columns: str) -> Iterator[Any]:
        names = ", ".join(f'"{each}"' for each in columns)
        with self._opened() as stored:
            yield from stored.execute(f"SELECT {names} FROM {table} ORDER BY 1")

    def _opened(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.home / "reads" / self.instance / "log.sqlite"))


def _edited(leaf: bytes, edit: Edit) -> bytes:
    edited = edit(json.loads(leaf))
    if isinstance(edited, bytes):
        return edited
    return json.dumps(edited, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
