"""Collects the files of one customer's archive: no data about anybody else, no company secrets.

agreement.json             the active consents: the state that the map commits to
history.json, .csv         every instruction that was not erased
words/5f2a….json           the words that they were given on; the name is their SHA-256
receipts/17.tlog-proof     proof of each; state.tlog-proof proves that none is newer
trust/consent.policy       which keys receipts and state must be signed with (public)
reads.json, .csv           every read of the customer's data, by every gate
data/customer.json, .csv   the row in the company's table
data/unavailable.txt       instead of the row, if the table could not be read
decisions.json             explained decisions
openings.json              which authorities had access to the history
interactions/…             free text written to, about or by the customer, unchanged
interactions.html          the same texts on a page
imported/<digest>.zip      an archive of another controller, unchanged
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

from gate.readlog.acts import ReadLogActs
from gate.readlog.by_customer import listed
from gate.reads.sources.interface import UNREADABLE, SourceUnavailableError
from gate.storage.read_log import ReadLogDatabases
from ledger.events import envelope, state_document
from ledger.reader import RecordedInstruction
from portal.archive import imported, interactions
from portal.archive.holding import CustomerRecords
from portal.archive.pack import ArchivePart, document, packed
from portal.storage import words
from steward.language.catalogue import Catalogue
from steward.oversight.authority_access import AuthorityAccesses
from steward.oversight.explanations import Explanations, StoredReadLogs
from steward.oversight.review import DECIDED, PROPOSED

JSON, CSV, TEXT = "application/json", "text/csv", "text/plain"
ROW, UNAVAILABLE = "data/customer.json", "data/unavailable.txt"
Progress = Callable[[int, int], None]  # receipts and reads done, of how many known so far


class NobodyError(LookupError):
    """The data directory has no data about this customer."""

    def __init__(self) -> None:
        super().__init__(
            "want a customer with data here, found none: check the number, or they were erased"
        )


def archive(
    records: CustomerRecords,
    subject: str,
    at: datetime,
    progress: Progress = lambda _done, _of: None,
) -> bytes:
    """The archive as of `at`; the same bytes as long as no data changes.

    If an imported archive already contains all data about the customer, the result is that archive,
    byte for byte. If the company's table cannot be read, the rest is exported and a file says so.
    Raises NobodyError; SourceUnavailableError if there is nothing but the row that cannot be read.
    """
    history = records.ledger.history(subject)
    imports = imported.stored(records, subject)
    parts = [*_parts(records, subject, history, progress)]
    names = {part.name for part in parts}
    if not history and UNAVAILABLE in names:
        raise SourceUnavailableError("the company's table cannot be read: try again later")
    if not history and ROW not in names:
        raise NobodyError
    if original := imported.unchanged(imports, history, parts):
        return original
    parts += [
        ArchivePart(
            f"imported/{digest}.zip", data, "application/zip", "An archive of another controller"
        )
        for digest, data in imports.items()
    ]
    head = {
        "dct:created": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "dct:subject": subject,
        "dct:source": records.ledger.origin,
    }
    return packed(head, parts)


def _parts(
    records: CustomerRecords,
    subject: str,
    history: Sequence[RecordedInstruction],
    progress: Progress,
) -> Iterator[ArchivePart]:
    reads = [*_reads(records, subject)]
    known = len(history) + len(reads)
    for done, each in enumerate(history):
        progress(done, known)
        receipt = records.ledger.receipt(each.index, subject).encode()
        yield ArchivePart(
            f"receipts/{each.index}.tlog-proof", receipt, TEXT, "Proof of an instruction"
        )
    if history:
        yield from _agreed(records, subject, history)
    yield from _table("reads", reads, _which_reads(records))
    written = [*_row(records, subject), *_written(records, subject)]
    yield from written
    if (readable := interactions.page(written, _language(records, history))) is not None:
        yield readable
    progress(known, known)


def _language(records: CustomerRecords, history: Sequence[RecordedInstruction]) -> Catalogue:
    """That of the customer's last decision, or the company's first."""
    first = next(iter(records.spoken))
    last = history[-1].event.wording.locale if history else first
    return records.spoken.get(last, records.spoken[first])


def _which_reads(records: CustomerRecords) -> str:
    until = ReadLogActs(records.ledger).kept().removed_until
    return "Every read of your data" + (
        f"; those before {until:%Y-%m-%d} are no longer kept" if until else ""
    )


def _agreed(
    records: CustomerRecords, subject: str, history: Sequence[RecordedInstruction]
) -> Iterator[ArchivePart]:
    state = records.ledger.state(subject)
    if state is not None:
        yield ArchivePart(
            "agreement.json", document(state_document.document(state)), JSON, "What is in force"
        )
    rows = [
        {"index": each.index, **json.loads(envelope.encode_stored(each.event))} for each in history
    ]
    yield from _table("history", rows, "Every instruction you gave")
    seen = words.stored(records.home, (each.event.wording.digest for each in history))
    for digest, text in seen.items():
        name = f"words/{digest.hex()}.json"
        yield ArchivePart(name, text, JSON, "Words that you decided on")
    proof = str(records.ledger.state_proof(subject)).encode()
    yield ArchivePart("receipts/state.tlog-proof", proof, TEXT, "Proof of the latest state")
    for name in ("consent.policy", "state.policy"):
        data = (records.home / name).read_bytes()
        yield ArchivePart(f"trust/{name}", data, TEXT, "Keys that must have signed")


def _reads(records: CustomerRecords, subject: str) -> Iterator[dict[str, Any]]:
    """The customer's read-log entries, newest first."""
    logs = ReadLogDatabases(records.home)
    by_log = [listed(log, records.ledger, subject) for log in logs.all()]
    try:
        for each in merge(*by_log, key=lambda entry: entry.at, reverse=True):
            if (entry := each.entry()) is not None:
                yield {"entry": each.place, **entry}
    finally:
        logs.close()


def _row(records: CustomerRecords, subject: str) -> Iterator[ArchivePart]:
    if records.tables is None:
        return
    columns = [each.name for each in records.source.items.values() if not each.provided]
    try:
        row = records.tables.row(subject, columns)
    except SourceUnavailableError:
        why = "\n".join(each.plain("archive.no-row") for each in records.spoken.values())
        yield ArchivePart(UNAVAILABLE, f"{why}\n".encode(), TEXT, "Why your row is not here")
        return
    if row is None:
        return
    plain = {name: _plain(each) for name, each in row.items() if each is not UNREADABLE}
    if lacking := sorted(row.keys() - plain.keys()):
        plain["not exported"] = f"no representation outside the company's table: {lacking}"
    yield ArchivePart(ROW, document(plain), JSON, "What the company's table says of you")
    yield ArchivePart("data/customer.csv", _csv([plain]), CSV, "The same as a table")
    for item in records.source.items.values():
        if item.free_text and isinstance(text := row.get(item.name), str):
            name = f"interactions/{item.name}.txt"
            yield ArchivePart(name, text.encode(), TEXT, "Free text, as it was written")


def _written(records: CustomerRecords, subject: str) -> Iterator[ArchivePart]:
    """The customer's data in the register: decisions, authority accesses, proposed messages."""
    register = records.register()
    explained = Explanations(register, StoredReadLogs(records.home), records.ledger).of(subject)
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
    """The rows as CSV (RFC 4180). Lists and objects are written as JSON in their cell."""
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
    """The value with JSON types: times as text, NumPy numbers as numbers."""
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
