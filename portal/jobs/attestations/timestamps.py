"""Job: have a timestamp authority (RFC 3161) stamp the published checkpoint of the consent log.

    log/consent/timestamps/70000.tsr     over the checkpoint of 70,000 entries

Each checkpoint is stamped once; a token is verified before it is stored. See specs/timestamp.md.
"""

from datetime import datetime, timedelta
from pathlib import Path

from ledger.service import PUBLISHED
from ledger.tlog import atomic_file, checkpoint, rfc3161, signed_note
from ledger.tlog.rfc3161 import TimestampAuthority, TimestampError
from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations.publishing import EVERY
from portal.operations.settings import Settings
from portal.operations.wiring import Product

NAME = "timestamps"
MAX_RETRY = timedelta(hours=1)


def job(product: Product, every: timedelta = EVERY) -> Job:
    def work(_at: datetime) -> None:
        if product.settings.timestamp_authority:
            stamp(product.home / PUBLISHED, product.settings)

    return Job(NAME, every, work, max_retry=MAX_RETRY)


def stamp(folder: Path, settings: Settings) -> None:
    """Stamp the checkpoint published in `folder`, unless it was. Durable on return.

    Raises JobError: what the authority answered, or what cannot be read.
    """
    if not (folder / "checkpoint").exists():
        return
    signed = signed_note.parse((folder / "checkpoint").read_text("utf-8"))
    path = folder / rfc3161.path(checkpoint.parse(signed.text).size)
    if path.exists():
        return
    try:
        roots = rfc3161.certificates(Path(settings.timestamp_roots).read_bytes())
        asked = rfc3161.at(settings.timestamp_authority)
        token = rfc3161.obtain(signed, asked, TimestampAuthority(roots))
    except TimestampError as error:
        raise JobError(f"no timestamp: {error}") from error
    atomic_file.write(path, token)
