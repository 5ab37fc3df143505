"""Removes an erased customer from cases, notices and pending proposals.

Cases, acts and counts stay: they record what the company did. Removed is what identifies the
customer: masked names in the changes of a case and in its notices, and the customer's id at pending
proposals. Tags may stay, since they are meaningless without the customer's key.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection, RowMapping

from ledger.storage import database as databases
from steward.cases import filing
from steward.cases.case_store import CaseStore
from steward.notify import mail, outbox
from steward.notify.masked_name import NOBODY
from steward.notify.outbox import OutgoingNotice
from steward.notify.recipients import FILED, FOLDER
from steward.oversight.register import Register, SubjectTagger
from steward.storage.cases import CASE, CASES, CHANGE, OUTBOX
from steward.storage.register import WAITING

_FORGET_PROPOSALS = (
    update(WAITING).where(WAITING.c.subject == bindparam("whose")).values(subject="")
)
_CASES = select(CASE.c.id)
_CASES_OF_ENTRY = select(CHANGE.c.number).where(CHANGE.c.entry == bindparam("index")).distinct()
_NAMING = select(CHANGE.c.seq, CHANGE.c.entry, CHANGE.c.masked).where(
    CHANGE.c.number == bindparam("case"), CHANGE.c.masked != "[]"
)
_UNNAME = update(CHANGE).where(CHANGE.c.seq == bindparam("change")).values(masked="[]")
_NOTICES = select(OUTBOX).where(OUTBOX.c.number == bindparam("case"))
_REWRITE = (
    update(OUTBOX).where(OUTBOX.c.id == bindparam("notice")).values(body=bindparam("content"))
)


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
        writing.database.execute(_FORGET_PROPOSALS, {"whose": subject})
    register.truncate_log()
    with _cases(home) as store:
        if store is None:
            return 0
        with store.writing() as database:
            numbers = _concerned(database, tagger, origin, subject)
            letters = [each for number in numbers for each in _redact(database, number, indexes)]
        store.truncate_log()
    # Crash here: notices in files still have the masked name; a second call removes it.
    for letter in letters:
        _rewrite(home, letter)
    return len(numbers)


def forget_entry(home: Path, index: int) -> None:
    """Remove the masked name from everything stored about the instruction at this index."""
    with _cases(home) as store:
        if store is None:
            return
        with store.writing() as database:
            numbers = database.execute(_CASES_OF_ENTRY, {"index": index}).scalars().all()
            letters = [each for n in numbers for each in _redact(database, n, [index])]
        store.truncate_log()
    for letter in letters:
        _rewrite(home, letter)


@contextmanager
def _cases(home: Path) -> Iterator[CaseStore | None]:
    """The case store; None if no case was ever opened. Creates nothing."""
    if not databases.of(home).exists(CASES):
        yield None
        return
    store = CaseStore(home)
    try:
        yield store
    finally:
        store.close()


def _rewrite(home: Path, letter: OutgoingNotice) -> None:
    """Rewrite a notice that was written to a file."""
    kind, _, role = letter.channel.partition("/")
    if kind == FILED and (home / FOLDER / f"{letter.id}.eml").exists():
        mail.NoticeFolder(home / FOLDER, f"{role}@{mail.DOMAIN}").send(letter, letter.next_at)


def _concerned(database: Connection, tagger: SubjectTagger, origin: str, subject: str) -> list[int]:
    """The cases that counted the customer."""
    numbers = database.execute(_CASES).scalars().all()
    tags = ((number, tagger.read_log_tag(subject, f"{origin}/case", number)) for number in numbers)
    return [number for number, tag in tags if filing.counted(database, number, [tag])]


def _redact(database: Connection, number: int, indexes: Collection[int]) -> list[OutgoingNotice]:
    """Remove the names of the customer's own changes, and of changes without an entry of their own.

    The latter (expiries and freezes) name several customers together, so all their names go.
    Returns the case's notices after the change.
    """
    rows = database.execute(_NAMING, {"case": number}).mappings().all()
    gone = [row for row in rows if row["entry"] is None or row["entry"] in indexes]
    for row in gone:
        database.execute(_UNNAME, {"change": row["seq"]})
    names = {name for row in gone for name in json.loads(row["masked"])} - {NOBODY}
    letters = database.execute(_NOTICES, {"case": number}).mappings().all()
    changed = [_redacted(row, names) for row in letters]
    for letter in changed:
        database.execute(_REWRITE, {"notice": letter.id, "content": letter.body})
    return changed


def _redacted(row: RowMapping, names: Collection[str]) -> OutgoingNotice:
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
