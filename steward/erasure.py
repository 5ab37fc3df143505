"""Removes an erased customer from cases, notices and pending proposals.

Cases, acts and counts stay: they record what the company did. Removed is what identifies the
customer: masked names in the changes of a case and in its notices, and the customer's id at pending
proposals. Tags may stay, since they are meaningless without the customer's key.
"""

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

from steward.cases.case_store import DATABASE, WAIT_S, CaseStore
from steward.notify import mail, outbox
from steward.notify.masked_name import NOBODY
from steward.notify.outbox import OutgoingNotice
from steward.notify.recipients import FILED, FOLDER
from steward.oversight.register import Register, SubjectTagger


def forget(
    home: Path,
    register: Register,
    tagger: SubjectTagger,
    origin: str,
    subject: str,
    indexes: Collection[int],
) -> int:
    """Remove the customer whose instructions are at the log indexes `indexes`.

    Returns how many cases named the customer. Needs the customer's key, so call it before the key
    is destroyed. Idempotent.
    """
    with register.writing() as writing:
        writing.database.execute("UPDATE waiting SET subject = '' WHERE subject = ?", [subject])
    _truncate(register.path)
    if not (home / DATABASE).exists():
        return 0
    store = CaseStore(home)
    try:
        with store.writing() as database:
            numbers = _concerned(database, tagger, origin, subject)
            letters = [each for number in numbers for each in _redact(database, number, indexes)]
    finally:
        store.close()
    _truncate(home / DATABASE)
    # Crash here: notices in files still have the masked name; a second call removes it.
    for letter in letters:
        _rewrite(home, letter)
    return len(numbers)


def forget_entry(home: Path, index: int) -> None:
    """Remove the masked name from everything stored about the instruction at this index."""
    if not (home / DATABASE).exists():
        return
    store = CaseStore(home)
    try:
        with store.writing() as database:
            query = "SELECT DISTINCT number FROM change WHERE entry = ?"
            numbers = [row["number"] for row in database.execute(query, [index]).fetchall()]
            letters = [each for n in numbers for each in _redact(database, n, [index])]
    finally:
        store.close()
    _truncate(home / DATABASE)
    for letter in letters:
        _rewrite(home, letter)


def _rewrite(home: Path, letter: OutgoingNotice) -> None:
    """Rewrite a notice that was written to a file."""
    kind, _, role = letter.channel.partition("/")
    if kind == FILED and (home / FOLDER / f"{letter.id}.eml").exists():
        mail.NoticeFolder(home / FOLDER, f"{role}@{mail.DOMAIN}").send(letter, letter.next_at)


def _truncate(database: Path) -> None:
    """Truncate the write-ahead log, so that overwritten names do not remain in it."""
    with closing(sqlite3.connect(database, timeout=WAIT_S)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _concerned(database: Connection, tagger: SubjectTagger, origin: str, subject: str) -> list[int]:
    known = "SELECT 1 FROM concerned WHERE number = ? AND tag = ?"
    every = [row["id"] for row in database.execute("SELECT id FROM cases").fetchall()]
    tags = ((number, tagger.read_log_tag(subject, f"{origin}/case", number)) for number in every)
    return [number for number, tag in tags if database.execute(known, [number, tag]).fetchone()]


def _redact(database: Connection, number: int, indexes: Collection[int]) -> list[OutgoingNotice]:
    """Remove the names of the customer's own changes, and of changes without an entry of their own.

    The latter (expiries and freezes) name several customers together, so all their names go.
    Returns the case's notices after the change.
    """
    rows = database.execute(
        "SELECT rowid, entry, masked FROM change WHERE number = ? AND masked <> '[]'", [number]
    ).fetchall()
    gone = [row for row in rows if row["entry"] is None or row["entry"] in indexes]
    for row in gone:
        database.execute("UPDATE change SET masked = '[]' WHERE rowid = ?", [row["rowid"]])
    names = {name for row in gone for name in json.loads(row["masked"])} - {NOBODY}
    letters = database.execute("SELECT * FROM outbox WHERE number = ?", [number]).fetchall()
    changed = [_redacted(row, names) for row in letters]
    for letter in changed:
        database.execute("UPDATE outbox SET body = ? WHERE id = ?", [letter.body, letter.id])
    return changed


def _redacted(row: Row, names: Collection[str]) -> OutgoingNotice:
    body = json.dumps(_without(json.loads(row["body"]), names), ensure_ascii=False).encode()
    return replace(outbox.letter(row), body=body)


def _without(value: Any, names: Collection[str]) -> Any:
    """The JSON value with each masked name replaced by stars."""
    match value:
        case str():
            for name in names:
                value = value.replace(name, NOBODY)
            return value
        case list():
            return [_without(each, names) for each in value]
        case dict():
            return {key: _without(each, names) for key, each in value.items()}
        case _:
            return value
