"""Finished archives on disk: immutable, for a day, under names that nobody can make.

    home/archives/ready/<pseudonym>/<expiry>-<digest>-<mac>.zip       owner only
    keys/archive.key                                                  signs the names

The pseudonym follows from the customer's key, so whose a folder is says only who holds that. A name
carries when it ends and the digest of its bytes; a download that breaks off goes on where it was.
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
MOST_KEPT = 3  # of one customer: a download of the one before goes on
_NAME = "archive#index"
_FORM = re.compile(r"(\d{1,12})-([0-9a-f]{32})-([0-9a-f]{32})\.zip")


class ArchiveStore:
    """Thread-safe. `key`: 32 random bytes that sign names."""

    def __init__(self, home: Path, key: bytes) -> None:
        self._home, self._key = home, key

    def put(self, folder: str, data: bytes, at: datetime) -> str:
        """Keep an archive; its name. Whatever has expired goes. Durable on return."""
        self.sweep(at)
        expiry = int((at + LASTS).timestamp())
        digest = sha256(data).hexdigest()[:32]
        name = f"{expiry}-{digest}-{self._mac(folder, expiry, digest)}.zip"
        atomic_file.write(self._home / READY / folder / name, data, atomic_file.OWNER_ONLY)
        for older in self._names(folder)[:-MOST_KEPT]:
            (self._home / READY / folder / older).unlink(missing_ok=True)
        return name

    def find(self, folder: str, name: str, at: datetime) -> Path | None:
        """The file of this name, if we made the name and its time is not over."""
        found = _FORM.fullmatch(name)
        if found is None or not re.fullmatch(r"[0-9a-f]{48}", folder):
            return None
        expiry, digest, mac = int(found[1]), found[2], found[3]
        if not hmac.compare_digest(mac, self._mac(folder, expiry, digest)):
            return None
        path = self._home / READY / folder / name
        return path if at.timestamp() < expiry and path.exists() else None

    def newest(self, folder: str, at: datetime) -> Path | None:
        """The customer's newest archive that may still be downloaded."""
        found = (self.find(folder, name, at) for name in self._names(folder)[::-1])
        return next(filter(None, found), None)

    def _names(self, folder: str) -> list[str]:
        """Of the customer's archives, the oldest first."""
        found = (path.name for path in (self._home / READY / folder).glob("*.zip"))
        return sorted(found, key=lambda name: int(name.partition("-")[0]))

    def sweep(self, at: datetime) -> None:
        for path in (self._home / READY).glob("*/*.zip"):
            if int(path.name.partition("-")[0]) <= at.timestamp():
                path.unlink(missing_ok=True)

    def _mac(self, folder: str, expiry: int, digest: str) -> str:
        message = f"sovereign/archive-name/v1\0{folder}/{expiry}/{digest}".encode()
        return hmac.digest(self._key, message, "sha256").hex()[:32]


def folder(tagger: SubjectTagger, subject: str) -> str:
    """The customer's pseudonym here; of whom there is no key, one that is never used again."""
    return tagger.read_log_tag(subject, _NAME, 0).hex()


def ends(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.name.partition("-")[0]), UTC)


def discard(home: Path, tagger: SubjectTagger, subject: str) -> int:
    """Delete the customer's finished archives; how many."""
    return _removed(home / READY / folder(tagger, subject))


def forget(home: Path, tagger: SubjectTagger, subject: str) -> int:
    """Delete the customer's archives, those that came from other houses too; how many."""
    brought = imported.folder(home, tagger, subject)
    return discard(home, tagger, subject) + _removed(brought)


def _removed(place: Path) -> int:
    count = len([*place.iterdir()]) if place.exists() else 0
    shutil.rmtree(place, ignore_errors=True)
    return count
