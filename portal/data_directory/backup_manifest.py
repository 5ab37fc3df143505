"""The manifest of a backup: what belongs to it, at which state of the log.

    DIR/manifest.json
    {"format":"sovereign-backup/v1","part":"ledger","backup":"5f0c…","made":"2026-11-28T12:00:00Z",
     "version":"0.1.0","origin":"bank.example/consent","size":1132,"root":"kq3…=",
     "files":{"ledger.sqlite":{"bytes":1269760,"sha256":"9f2c…"}, …}}

Both parts of a backup, the ledger and the keys, have one, with the same `backup`. It is written
last: a folder without one is an unfinished backup.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any

from portal.data_directory.inventory import Part

NAME = "manifest.json"
FORMAT = "sovereign-backup/v1"
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BackupError(Exception):
    """A backup cannot be made or restored. The message says what to do; nothing was replaced."""


@dataclass(frozen=True, slots=True)
class BackupFile:
    bytes: int
    sha256: str  # hex


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """`backup`: the same random id in both parts. `size`, `root`: of the consent log, base64."""

    part: Part
    backup: str
    made: datetime
    version: str
    origin: str
    size: int
    root: str
    files: Mapping[str, BackupFile]

    def __bytes__(self) -> bytes:
        body = {
            "format": FORMAT,
            "part": self.part.value,
            "backup": self.backup,
            "made": self.made.astimezone(UTC).strftime(_STAMP),
            "version": self.version,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "files": {name: asdict(each) for name, each in sorted(self.files.items())},
        }
        return f"{json.dumps(body, indent=1)}\n".encode()


def measured(folder: Path) -> dict[str, BackupFile]:
    """Size and digest of every file in `folder` except its manifest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != NAME:
            with path.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            found[name] = BackupFile(path.stat().st_size, digest)
    return found


def load(folder: Path, part: Part) -> BackupManifest:
    """The manifest of `folder`, whose files are exactly those it lists. Raises BackupError."""
    path = folder / NAME
    try:
        manifest = _parse(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise BackupError(
            f"{path} is missing: the backup was not finished, or this is none; use another"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupError(f"{path} is not a {FORMAT} ({error!r}): use another backup") from error
    if manifest.part is not part:
        raise BackupError(
            f"{folder} is the part {manifest.part.value!r} of a backup, want {part.value!r}"
        )
    _require_same(folder, manifest.files, measured(folder))
    return manifest


def _require_same(
    folder: Path, listed: Mapping[str, BackupFile], found: Mapping[str, BackupFile]
) -> None:
    for name in sorted({*listed} | {*found}):
        if listed.get(name) != found.get(name):
            wrong = "is missing" if name not in found else "is not listed"
            wrong = "has other bytes" if name in found and name in listed else wrong
            raise BackupError(f"{folder / name} {wrong}, by {NAME}: use another backup")


def _parse(body: Mapping[str, Any]) -> BackupManifest:
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']!r}, want {FORMAT!r}")
    made = datetime.strptime(body["made"], _STAMP).replace(tzinfo=UTC)
    files = {_name(name): _file(each) for name, each in body["files"].items()}
    texts = [body[key] for key in ("backup", "version", "origin", "root")]
    if not all(isinstance(each, str) for each in texts) or type(body["size"]) is not int:
        raise ValueError("a member has another type")
    backup, version, origin, root = texts
    return BackupManifest(
        Part(body["part"]), backup, made, version, origin, body["size"], root, files
    )


def _name(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or name == NAME:
        raise ValueError(f"the file name {name!r}")
    return name


def _file(body: Mapping[str, Any]) -> BackupFile:
    made = BackupFile(body["bytes"], body["sha256"])
    if type(made.bytes) is not int or not _DIGEST.fullmatch(made.sha256) or len(body) != 2:  # noqa: PLR2004 - these two
        raise ValueError("a file's size or digest")
    return made
