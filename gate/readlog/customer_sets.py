"""Sets of customers that entries of a read log name by digest.

    home/reads/<instance>/cohorts/<SHA-256 in hex>      see ledger.vault.number_sets

Bit n is the customer with the number n (ledger.vault.vault), which never changes and is never given
twice. So a set means the same for ever, except that nobody can say any more who an erased customer
was. Equal sets of many customers are one file. A set of few is another file each time: its digest
is published, and would say that some entries are about the same few. Sets of earlier versions have
no random bytes; before those, bits were positions among the customers of the moment, which moved
when one was erased: an entry that names its customers by number has a member `answered`.
"""

import secrets
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np

from gate.state.customer_numbers import NOBODY, Numbers
from ledger.tlog import atomic_file
from ledger.vault import number_sets

FOLDER = "cohorts"  # in an instance's folder
MANY = 1000  # customers: equal sets of so many are stored once
_REMEMBERED = 64  # such sets that are remembered to be named again
MAX_BYTES = 64 << 20  # of the sets of all read logs that are cached


class MissingSetError(LookupError):
    """A set that an entry names is not stored."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: a set of customers is missing, restore it from a backup")


def bitmap(numbers: Numbers) -> bytes:
    """The set of these customers, without its random bytes; equal sets have equal bitmaps."""
    wanted = numbers[numbers != NOBODY]
    bits = np.zeros(int(wanted.max()) + 1 if len(wanted) else 1, np.bool_)
    bits[wanted] = True
    bits[NOBODY] = True  # the random bytes follow
    return np.packbits(bits).tobytes()


def numbers(stored: bytes) -> Numbers:
    """The members of a set, in ascending order."""
    bits = np.unpackbits(np.frombuffer(stored, np.uint8, number_sets.size(stored)))
    bits[:1] = 0  # nobody's
    return np.flatnonzero(bits).astype(np.uint32)


def digest(stored: bytes) -> str:
    """What an entry names the set by."""
    return sha256(stored).hexdigest()


def largest_in(folder: Path) -> int:
    """No set of the read log in `folder` has a member above it."""
    largest = 0
    sizes = sorted(
        ((path.stat().st_size, path) for path in folder.glob(f"{FOLDER}/*")), reverse=True
    )
    for size, path in sizes:
        if size <= largest:
            break  # also with all its bytes it is smaller
        with path.open("rb") as file:
            salted = number_sets.size(file.read(1) + bytes(number_sets.SALT)) == 1
        largest = max(largest, size - number_sets.SALT if salted else size)
    return largest * 8


class CustomerSets:
    """The stored sets of one read log. Thread-safe."""

    def __init__(self, folder: Path, before: Path | None = None) -> None:
        """`folder`: of the read log; `before`: of the one that it follows, to read only."""
        self._folder = folder / FOLDER
        self._before = before and before / FOLDER
        self._storing = Lock()
        self._named: OrderedDict[bytes, str] = OrderedDict()  # by digest of the bitmap

    def put(self, members: Numbers) -> str:
        """Store a set durably; returns its digest."""
        bits = bitmap(members)
        many = int(np.count_nonzero(members != NOBODY)) >= MANY
        equal = sha256(bits).digest() if many else b""
        with self._storing:  # several threads may store the same set
            if equal in self._named:
                self._named.move_to_end(equal)
                return self._named[equal]
            stored = bits + secrets.token_bytes(number_sets.SALT)
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_file.write(self.path(name := digest(stored)), stored)
            if many:
                self._named[equal] = name
                while len(self._named) > _REMEMBERED:
                    self._named.popitem(last=False)
        return name

    def get(self, name: str) -> bytes:
        """The set with this digest. Raises MissingSetError."""
        try:
            return _CACHE.get(self.path(name))
        except MissingSetError:
            if self._before is None:
                raise
            return _CACHE.get(self._before / name)

    def path(self, name: str) -> Path:
        return self._folder / name


class _Cache:
    """The sets that were read last. A set never changes, so nothing is out of date."""

    def __init__(self) -> None:
        self._sets: OrderedDict[Path, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, path: Path) -> bytes:
        with self._lock:
            if (stored := self._sets.get(path)) is not None:
                self._sets.move_to_end(path)
                return stored
        try:
            stored = path.read_bytes()
        except FileNotFoundError as error:
            raise MissingSetError(path) from error
        with self._lock:
            if self._sets.setdefault(path, stored) is stored:
                self._bytes += len(stored)
            while self._bytes > MAX_BYTES and len(self._sets) > 1:
                self._bytes -= len(self._sets.popitem(last=False)[1])
        return stored


_CACHE = _Cache()
