"""Makes the file with which a customer recognises their entries in the public read logs."""

from ledger.events.envelope import ReadLogOpened
from ledger.service import Ledger
from ledger.verify.read_keys import ReadKeys

FILE_NAME = "read-keys.json"


def made(ledger: Ledger, subject: str) -> ReadKeys:
    """The customer's keys for every read log that was announced so far, and their number.

    It is empty for somebody without a data key: no entry can be found for them.
    """
    logs = {
        each.event.origin: tags
        for each in ledger.announced()
        if isinstance(each.event, ReadLogOpened)
        and (tags := ledger.read_log_tags(subject, each.event.origin)) is not None
    }
    return ReadKeys(
        {origin: tags.key for origin, tags in logs.items()},
        ledger.numbers([subject]).get(subject),
        {origin: tags.position_key for origin, tags in logs.items()},
    )
