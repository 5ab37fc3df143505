"""Checks the key files and policies of a ledger against each other, and the erasure list."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

from ledger.integrity.finding import FsckFinding, unreadable
from ledger.keys import log_keys, map_key
from ledger.keys.log_keys import KeyRing
from ledger.statemap.labels import Labels
from ledger.statemap.map_proof import StateRoot
from ledger.tlog import policy
from ledger.tlog.policy import LogKey
from ledger.vault.erasure_list import NAME as ERASED
from ledger.vault.erasure_list import ErasureList, MalformedErasureListError
from ledger.vault.tombstones import NAME as TOMBSTONES
from ledger.vault.tombstones import TombstoneList


def check(home: Path) -> Iterator[FsckFinding]:
    """Check both logs' private keys, verifier keys, retired keys and policies, and the map's key.

    No finding contains a private key.
    """
    for ring in log_keys.rings(home):
        yield from _ring(home, ring)
    lines = home / "witnesses.policy"
    if lines.exists():
        try:
            log_keys.require_witnesses(lines)
        except (OSError, ValueError) as error:
            yield _finding(home, lines, error)


def labels(home: Path, newest: StateRoot) -> Generator[FsckFinding, None, Labels | None]:
    """Check that the state log's newest entry names the stored key; returns the labels under it.

    None: the map is not bound, or the key cannot be used; then it was reported.
    """
    try:
        stored = map_key.read(home)
    except (OSError, ValueError) as error:
        if newest.vrf is not None:  # else of a binding that was cut off
            yield _finding(home, map_key.private(home), error)
        return None
    if newest.vrf is None or (stored is not None and stored.public == newest.vrf):
        return stored if newest.vrf is not None else None
    what = "it is not the key of the map's labels that the state log's newest entry names"
    yield FsckFinding("", what, "keys/map.key")
    return None


def forgotten(home: Path) -> Iterator[str]:
    """The files that lack keys which a policy has: no start may write that policy again.

    Files that cannot be read are left to `check`.
    """
    for ring in log_keys.rings(home):
        if ring.next.exists():
            continue
        with suppress(OSError, ValueError):
            known = {str(each.verifier) for each in log_keys.read(ring.key)}
            known |= {str(key) for key in ring.before()}
            trusted = policy.parse((home / f"{ring.log}.policy").read_bytes())
            sizes = ring.sizes(_active(ring)).items()
            if {str(key) for key in trusted.logs} - known or trusted.ranges.items() - sizes:
                yield f"keys/{ring.retired.name}"
            if {*trusted.maps.values()} - {*ring.maps()}:
                yield f"keys/{map_key.public(home).name}"


def erasures(home: Path, applied: int) -> Iterator[FsckFinding]:
    """Check the erasure list. `applied`: how many lines of it the key store has applied."""
    try:
        lines = len(ErasureList(home / ERASED))
    except MalformedErasureListError as error:
        yield FsckFinding("", str(error), ERASED)
    except OSError as error:
        yield unreadable(ERASED, error)
    else:
        if lines < applied:
            what = f"it has {lines} lines, but keys/customers.db has applied {applied}"
            yield FsckFinding("", what, ERASED)


def buried(home: Path, counted: int) -> Iterator[FsckFinding]:
    """Check that no tombstone is missing. `counted`: how many the key store has counted."""
    try:
        lines = len(TombstoneList(home / TOMBSTONES))
    except OSError as error:
        yield unreadable(TOMBSTONES, error)
        return
    if lines < counted:
        what = f"it has {lines} lines, but keys/customers.db has counted {counted}"
        yield FsckFinding("", what, TOMBSTONES, "restore the newest copy of the file")


def _ring(home: Path, ring: KeyRing) -> Iterator[FsckFinding]:
    if ring.next.exists():
        return  # a rotation was interrupted: the next start ends it, and writes these files again
    vkey, public = ring.key.with_suffix(".vkey"), home / f"{ring.log}.policy"
    place = ring.key
    try:
        mine = [str(each.verifier) for each in log_keys.read(ring.key)]
        place = vkey
        if vkey.read_text("utf-8").splitlines() != mine:
            what = f"its keys are not those of keys/{ring.key.name}"
            yield FsckFinding("verifier key", what, f"keys/{vkey.name}")
        place = ring.retired
        wanted = [*mine, *map(str, ring.before())]
        place = public
        trusted = policy.parse(public.read_bytes())
        if [*trusted.maps.values()] != ring.maps():
            what = "its key of the map's labels is not that of keys/map.vkey"
            yield FsckFinding("verifier key", what, public.name)
        older = f"keys/{ring.retired.name}"
        if trusted.ranges != ring.sizes(_active(ring)):
            what = f"the sizes that its keys may sign are not those of {older}"
            remedy = f"restore {older} if that is damaged; else the next start mends it"
            yield FsckFinding("verifier key", what, public.name, remedy)
        if [str(key) for key in trusted.logs] != wanted:
            what = f"its log keys are not those of keys/{ring.key.name} and of {older}"
            remedy = f"restore {older} if that is damaged or missing; else the next start mends it"
            yield FsckFinding("verifier key", what, public.name, remedy)
    except (OSError, ValueError) as error:
        yield _finding(home, place, error)


def _active(ring: KeyRing) -> list[LogKey]:
    return [each.verifier for each in log_keys.read(ring.key)]


def _finding(home: Path, path: Path, error: OSError | ValueError) -> FsckFinding:
    file = path.relative_to(home).as_posix()
    if isinstance(error, OSError):
        return unreadable(file, error)
    if isinstance(error, UnicodeDecodeError):  # its text has the bytes, here of a private key
        return FsckFinding("", "it is not text", file)
    return FsckFinding("", f"it cannot be used: {error}", file)
