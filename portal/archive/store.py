"""Stores finished archives on disk for a day, immutable and under unforgeable names.

    home/archives/ready/<pseudonym>/<expiry>-<digest>-<mac>.zip       owner only
    keys/archive.key                                                  signs the names

The pseudonym is derived from the customer's key, so only its holder can tell whose a folder is.
A name contains the expiry time and the digest of the bytes, so an interrupted download can resume.
"""

import hmac
import re
import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from ledger.tlog import atomic_file
from portal.archive import imported
from steward.oversight.register import SubjectTagger

READY = Path("archives") / "ready"
KEY = Path("keys") / "archive.key"
LASTS = timedelta(hours=24)
MAX_STORED = 3  # per customer: downloads of the earlier ones can finish
_NAME = "archive#index"
_FORM = re.compile(r"(\d{1,12})-([0-9a-f]{32})-([0-9a-f]{32})\.zip")


class ArchiveStore:
    """Thread-safe. `key`: 32 random bytes that sign names."""

    def __init__(self, home: Path, key: bytes) -> None:
        self._home, self._key = home, key

    def put(self, folder: str, data: bytes, at: datetime) -> str:
        """Store an archive, delete expired ones, and return the name. Durable on return."""
        self.sweep(at)
        expiry = int((at + LASTS).timestamp())
        digest = sha256(data).hexdigest()[:32]
        name = f"{expiry}-{digest}-{self._mac(folder, expiry, digest)}.zip"
        atomic_file.write(self._home / READY / folder / name, data, atomic_file.OWNER_ONLY)
        for older in self._names(folder)[:-MAX_STORED]:
            (self._home / READY / folder / older).unlink(missing_ok=True)
        return name

    def find(self, folder: str, name: str, at: datetime) -> Path | None:
        """The file of this name, if the name is genuine and has not expired."""
        parts = _FORM.fullmatch(name)
        if parts is None or not re.fullmatch(r"[0-9a-f]{48}", folder):
            return None
        expiry, digest, mac = int(parts[1]), parts[2], parts[3]
        if not hmac.compare_digest(mac, self._mac(folder, expiry, digest)):
            return None
        path = self._home / READY / folder / name
        return path if at.timestamp() < expiry and path.exists() else None

    def newest(self, folder: str, at: datetime) -> Path | None:
        """The customer's newest archive that may still be downloaded."""
        valid = (self.find(folder, name, at) for name in self._names(folder)[::-1])
        return next(filter(None, valid), None)

    def _names(self, folder: str) -> list[str]:
        """The names of the customer's archives, oldest first."""
        names = (path.name for path in (self._home / READY / folder).glob("*.zip"))
        return sorted(names, key=lambda name: int(name.partition("-")[0]))

    def sweep(self, at: datetime) -> None:
        """Delete expired archives."""
        for path in (self._home / READY).glob("*/*.zip"):
            if int(path.name.partition("-")[0]) <= at.timestamp():
                path.unlink(missing_ok=True)

    def _mac(self, folder: str, expiry: int, digest: str) -> str:
        message = f"sovereign/archive-name/v1\0{folder}/{expiry}/{digest}".encode()
        return hmac.digest(self._key, message, "sha256").hex()[:32]


def folder(tagger: SubjectTagger, subject: str) -> str:
    """The customer's pseudonym; for a customer without a key, one that is never used again."""
    return tagger.read_log_tag(subject, _NAME, 0).hex()


def ends(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.name.partition("-")[0]), UTC)


def discard(home: Path, tagger: SubjectTagger, subject: str) -> int:
    """Delete the customer's finished archives; returns how many."""
    return _removed(home / READY / folder(tagger, subject))


def forget(home: Path, tagger: SubjectTagger, subject: str) -> int:
    """Delete all archives of the customer, imported ones included; returns how many."""
    imports = imported.folder(home, tagger, subject)
    return discard(home, tagger, subject) + _removed(imports)


def _removed(place: Path) -> int:
    count = len([*place.iterdir()]) if place.exists() else 0
    shutil.rmtree(place, ignore_errors=True)
    return count
