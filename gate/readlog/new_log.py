"""Begins a read log: its name, its key, its database, and the lock that says it is being written.

The private key lives in this process alone and is never stored.
"""

import secrets
from pathlib import Path
from typing import NamedTuple

from gate.storage.read_log import ReadLogDatabase
from ledger.tlog import atomic_file, signed_note
from ledger.tlog.writer import Log


class NewReadLog(NamedTuple):
    reads: ReadLogDatabase  # claimed by this process
    log: Log
    vkey: str  # to announce before anything is read


def begin(home: Path, consent_origin: str) -> NewReadLog:
    """A read log beside the consent log `consent_origin`. Raises what the database raises."""
    # A name of its own, so that no two gates write the same read log.
    instance = f"reads-{secrets.token_hex(4)}"
    origin = f"{consent_origin.rsplit('/', 1)[0]}/{instance}"
    signer = signed_note.generate(origin)
    reads = ReadLogDatabase(home, instance)
    reads.claim()
    log = reads.log(origin, signer)
    atomic_file.write(home / "keys" / f"{instance}.vkey", f"{signer.verifier}\n".encode())
    return NewReadLog(reads, log, str(signer.verifier))
