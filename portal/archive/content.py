"""The files of one customer's archive. Nothing in them is about anybody else, or the company's own.

agreement.json             what is in force: the state that the map commits to
history.json, .csv         every instruction that was not erased
receipts/17.tlog-proof     what proves each of them; state.tlog-proof that none is newer
trust/consent.policy       which keys receipts and state must be signed with (public)
reads.json, .csv           every point read of the customer's data, by every gate
data/customer.json, .csv   the row of the company's table
decisions.json             explained decisions
openings.json              who was let into the history
interactions/…             free text: what was written to, for or by the customer, as it was
imported/<digest>.zip      an archive of another house, as it came
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from heapq import merge
from io import StringIO
from math import isfinite
from typing import Any

from gate.readlog.by_customer import listed
from gate.readlog.writer import LOG
from ledger.events import envelope, state_document
from ledger.reader import RecordedInstruction
from portal.archive import imported
from portal.archive.holding import CustomerRecords
from portal.archive.pack import ArchivePart, document, packed
from steward.oversight.authority_access import AuthorityAccesses
from steward.oversight.explanations import Explanations, StoredReadLogs
from steward.oversight.review import DECIDED, PROPOSED

JSON, CSV, TEXT = "application/json", "text/csv", "text/plain"
ROW = "data/customer.json"
Progress = Callable[[int, int], None]  # receipts made and reads found, of how many are known


class NobodyError(LookupError):
    """There is nothing about this customer."""

    def __init__(self) -> None:
        super().__init__("want a customer of whom something is kept, found nothing: erased?")


def archive(
    held: CustomerRecords, subject: str, at: datetime, progress: Progress = lambda _done, _of: None
) -> bytes:
    """The archive as of `at`: the same bytes while nothing happens.

    Of whom nothing is known here but an archive of another house, it is that archive, byte for
    byte. Raises NobodyError, SourceUnavailableError.
    """
    history = held.ledger.history(subject)
    brought = imported.kept(held, subject)
    parts = [*_parts(held, subject, history, progress)]
    if not history and ROW not in {part.name for part in parts}:
        raise NobodyError
    if original := imported.unchanged(brought, history, parts):
        return original
    parts += [
        ArchivePart(
            f"imported/{digest}.zip", data, "application/zip", "An archive of another house"
        )
        for digest, data in brought.items()
    ]
    head = {
        "dct:created": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "dct:subject": subject,
        "dct:source": held.ledger.origin,
    }
    return packed(head, parts)


def _parts(
    held: CustomerRecords, subject: str, history: Sequence[RecordedInstruction], progress: Progress
) -> Iterator[ArchivePart]:
    reads = [*_reads(held, subject)]
    known = len(history) + len(reads)
    for done, each in enumerate(history):
        progress(done, known)
        receipt = held.ledger.receipt(each.index, subject).encode()
        yield ArchivePart(
            f"receipts/{each.index}.tlog-proof", receipt, TEXT, "Proof of an instruction"
        )
    if history:
        yield from _agreed(held, subject, history)
    yield from _table("reads", reads, "Every read of your data, by name")
    yield from _row(held, subject)
    yield from _written(held, subject)
    progress(known, known)


def _agreed(
    held: CustomerRecords, subject: str, history: Sequence[RecordedInstruction]
) -> Iterator[ArchivePart]:
    found = held.ledger.state(subject)
    if found is not None:
        yield ArchivePart(
            "agreement.json", document(state_document.document(found)), JSON, "What is in force"
        )
    rows = [{"index": each.index, **json.loads(envelope.encode(each.event))} for each in history]
    yield from _table("history", rows, "Every instruction you gave")
    proof = str(held.ledger.state_proof(subject)).encode()
    yield ArchivePart("receipts/state.tlog-proof", proof, TEXT, "Proof of the latest state")
    for name in ("consent.policy", "state.policy"):
        data = (held.home / name).read_bytes()
        yield ArchivePart(f"trust/{name}", data, TEXT, "Keys that must have signed")


def _reads(held: CustomerRecords, subject: str) -> Iterator[dict[str, Any]]:
    """Newest first, as they stand in the read logs."""
    folders = sorted(path.parent for path in (held.home / "reads").glob(f"*/{LOG}"))
    found = [listed(folder, held.ledger, subject) for folder in folders]
    for each in merge(*found, key=lambda entry: entry.at, reverse=True):
        if (entry := each.entry()) is not None:
            yield {"entry": each.place, **entry}


def _row(held: CustomerRecords, subject: str) -> Iterator[ArchivePart]:
    if held.tables is None:
        return
    columns = [each.name for each in held.source.items.values() if not each.provided]
    row = held.tables.row(subject, columns)
    if row is None:
        return
    plain = {name: _plain(value) for name, value in row.items()}
    yield ArchivePart(ROW, document(plain), JSON, "What the company's table says of you")
    yield ArchivePart("data/customer.csv", _csv([plain]), CSV, "The same as a table")
    for item in held.source.items.values():
        if item.free_text and isinstance(text := row.get(item.name), str):
            name = f"interactions/{item.name}.txt"
            yield ArchivePart(name, text.encode(), TEXT, "Free text, as it was written")


def _written(held: CustomerRecords, subject: str) -> Iterator[ArchivePart]:
    """What stands in the register: decisions, openings, and messages that services proposed."""
    register = held.register()
    explained = Explanations(register, StoredReadLogs(held.home), held.ledger).of(subject)
    if explained:
        rows = [_plain(asdict(each)) for each in explained]
        yield ArchivePart("decisions.json", document(rows), JSON, "Decisions about you, explained")
    if opened := AuthorityAccesses(register).of(subject):
        rows = [_plain(asdict(each)) for each in opened]
        yield ArchivePart("openings.json", document(rows), JSON, "Who was let into your history")
    for kind in (PROPOSED, DECIDED):
        for entry, private in register.of(subject, kind):
            about = {"at": _plain(entry.at), "kind": kind, **entry.open, **private}
            name = f"interactions/{entry.number}-{kind}"
            yield ArchivePart(f"{name}.json", document(_plain(about)), JSON, "A message about you")
            if text := private.get("text"):
                yield ArchivePart(f"{name}.txt", str(text).encode(), TEXT, "Its text, as written")


def _table(name: str, rows: Sequence[Mapping[str, Any]], about: str) -> Iterator[ArchivePart]:
    if rows:
        yield ArchivePart(f"{name}.json", document(rows), JSON, about)
        yield ArchivePart(f"{name}.csv", _csv(rows), CSV, f"{about}, as a table")


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """RFC 4180. What has parts stands in its cell as JSON."""
    text = StringIO(newline="")
    names = sorted({name for row in rows for name in row})
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return "" if value is None else value


def _plain(value: Any) -> Any:
    """The same in JSON: times as text, and numbers of libraries as numbers."""
    if isinstance(value, float) and not isfinite(value):
        value = str(value)
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
    with suppress(AttributeError):
        return value.item()
    return str(value)
