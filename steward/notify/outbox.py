"""The outbox: delivers notices at least once, and in order within a case.

    waiting ── accepted ──> delivered
       │ ^────── failed ── after RETRY_AFTER_S[attempts]
       └── failed after the last of them ──> dead ── replay ──> waiting

For a case and a channel, only the oldest undelivered notice is sent. If it is dead (failed for
good), later ones wait until it is replayed, so receivers get notices in order. A receiver that asks
for a pause (Retry-After) gets no notice of any case until then. Id and bytes of a notice are the
same at every attempt. A crash between the receiver's answer and its recording sends the notice
again; receivers drop duplicates by the id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import (
    Select,
    bindparam,
    distinct,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.engine import Connection, RowMapping

from steward.cases.case import Act, add_act
from steward.cases.case_store import CaseStore, moment, stamp
from steward.notify.notice import identified, unidentified
from steward.storage.cases import OUTBOX, UNDELIVERED

RETRY_AFTER_S = (
    5,
    20,
    80,
    320,
    1_280,
    5_120,
    20_480,
)  # factor 4 each: 7.6 h in all
MAX_ERROR = 300  # characters stored of an error message
UNROUTED = "unrouted"  # channel unrouted/<role>: while the role's channels cannot be read

_OLDER = OUTBOX.alias("older")
_EVERY = select(OUTBOX).order_by(OUTBOX.c.seq)
_DEAD = _EVERY.where(OUTBOX.c.state == "dead", UNDELIVERED)
_WAITING = _EVERY.where(OUTBOX.c.state == "waiting", UNDELIVERED)
_OF_CASE = _EVERY.where(OUTBOX.c.number == bindparam("case"))
_UNROUTED = _EVERY.where(OUTBOX.c.channel.startswith(f"{UNROUTED}/"), UNDELIVERED)
_DUE = _WAITING.where(
    OUTBOX.c.next_at <= bindparam("at"),
    ~exists().where(
        _OLDER.c.number == OUTBOX.c.number,
        _OLDER.c.channel == OUTBOX.c.channel,
        _OLDER.c.seq < OUTBOX.c.seq,
        _OLDER.c.state != literal_column("'delivered'"),
    ),
)
_PUT = insert(OUTBOX)
_TYPES = select(func.count(distinct(OUTBOX.c.type))).where(OUTBOX.c.number == bindparam("case"))
_NOTICE = OUTBOX.c.id == bindparam("notice")
_SET = (
    update(OUTBOX)
    .where(_NOTICE)
    .values(
        state=bindparam("new_state"),
        attempts=bindparam("tried"),
        next_at=bindparam("at"),
        error=bindparam("why"),
    )
)
_LEAVE_ALONE = (
    update(OUTBOX)
    .where(
        OUTBOX.c.channel == bindparam("on"),
        OUTBOX.c.state == "waiting",
        OUTBOX.c.next_at < bindparam("at"),
        UNDELIVERED,
    )
    .values(next_at=bindparam("at"))
)
_REROUTE = (
    update(OUTBOX)
    .where(_NOTICE)
    .values(id=bindparam("new_id"), channel=bindparam("on"), body=bindparam("content"))
)


class NoticeState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class UndeliveredError(Exception):
    """The receiver did not confirm the notice. It will be sent again.

    `retry_after`: how long the receiver asks to wait, or None.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(UndeliveredError):
    """The receiver refuses for good: the notice fails at once, without further attempts."""


@dataclass(frozen=True, slots=True)
class OutgoingNotice:
    """A notice for one channel. `body`: a CloudEvent in structured JSON."""

    id: str
    case: int
    type: str
    channel: str
    body: bytes
    state: NoticeState
    attempts: int
    next_at: datetime
    error: str  # of the last attempt, or ""


class NoticeSender(Protocol):
    """Sends notices to one channel, one attempt per call."""

    def send(self, letter: OutgoingNotice, at: datetime) -> None:
        """Send the notice; returns when the receiver has accepted it. Raises UndeliveredError."""
        ...


Senders = Callable[[str], NoticeSender]  # by channel; raises UndeliveredError if unknown


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The counts of one delivery round."""

    delivered: int
    failed: int
    dead: int


class Outbox:
    """The outbox of one data directory. Thread-safe.

    Two processes that deliver at once may send a notice twice, but never lose one.
    """

    def __init__(self, home: Path) -> None:
        self._store = CaseStore(home)

    def deliver(self, senders: Senders, at: datetime) -> DeliveryResult:
        """Send all due notices.

        A channel that fails is skipped until the next round, so an unreachable receiver costs one
        timeout per round, not one per notice.
        """
        done = {NoticeState.DELIVERED: 0, NoticeState.WAITING: 0, NoticeState.DEAD: 0}
        failing: set[str] = set()
        while letters := self._due(at, failing):
            for letter in letters:
                if letter.channel not in failing:
                    attempt = _attempted(letter, senders, at)
                    # Crash here: the receiver may have the notice; it will be sent again.
                    self._note(letter, attempt, at)
                    done[attempt.state] += 1
                    if attempt.state is not NoticeState.DELIVERED:
                        failing.add(letter.channel)
        return DeliveryResult(
            done[NoticeState.DELIVERED], done[NoticeState.WAITING], done[NoticeState.DEAD]
        )

    def dead(self) -> list[OutgoingNotice]:
        """The failed notices, oldest first."""
        return self._letters(_DEAD)

    def waiting(self) -> list[OutgoingNotice]:
        """The undelivered notices, oldest first, including those behind a failed one."""
        return self._letters(_WAITING)

    def counts(self) -> dict[NoticeState, int]:
        """How many notices wait, and how many failed."""
        states = OUTBOX.c.state
        query = select(states, func.count()).where(UNDELIVERED).group_by(states)
        with self._store.reading() as database:
            found = {str(state): int(number) for state, number in database.execute(query)}
        return {each: found.get(each, 0) for each in (NoticeState.WAITING, NoticeState.DEAD)}

    def of(self, case: int) -> list[OutgoingNotice]:
        """Every notice of a case, oldest first."""
        return self._letters(_OF_CASE, case=case)

    def replay(self, by: str, at: datetime, ids: Sequence[str] | None = None) -> int:
        """Retry failed notices (`ids`; None: all); returns how many."""
        with self._store.writing() as database:
            rows = database.execute(_DEAD).mappings().all()
            chosen = [row for row in rows if ids is None or row["id"] in ids]
            for row in chosen:
                _set(database, row["id"], NoticeState.WAITING, 0, at, row["error"])
                note = f"{row['type']} to {row['channel']}"
                add_act(database, row["number"], Act("replayed", by, at, note))
        return len(chosen)

    def route(self, channels: Callable[[str], Sequence[str]]) -> int:
        """Assign channels to notices that were stored without; returns how many.

        Such notices were stored while the channels of a role could not be read: see UNROUTED.
        """
        if not self._letters(_UNROUTED):
            return 0  # called every two seconds: avoid the write lock
        with self._store.writing() as database:
            rows = database.execute(_UNROUTED).mappings().all()
            for row in rows:
                _reroute(database, row, channels(row["channel"].partition("/")[2]))
        return len(rows)

    def close(self) -> None:
        self._store.close()

    def _due(self, at: datetime, failing: set[str]) -> list[OutgoingNotice]:
        """The oldest undelivered notice of each case and channel, if it is due."""
        letters = self._letters(_DUE, at=stamp(at))
        return [each for each in letters if each.channel not in failing]

    def _letters(self, query: Select[Any], **values: object) -> list[OutgoingNotice]:
        with self._store.reading() as database:
            return [letter(row) for row in database.execute(query, values).mappings()]

    def _note(self, letter: OutgoingNotice, attempt: "_Attempt", at: datetime) -> None:
        attempts, next_at = letter.attempts + 1, at
        if attempt.state is NoticeState.WAITING:
            next_at += timedelta(seconds=RETRY_AFTER_S[letter.attempts])
        if attempt.retry_after is not None:
            next_at = max(next_at, at + attempt.retry_after)
        with self._store.writing() as database:
            _set(database, letter.id, attempt.state, attempts, next_at, attempt.error)
            if attempt.retry_after is not None:
                _leave_alone(database, letter.channel, at + attempt.retry_after)


def put(
    database: Connection,
    case: int,
    type_: str,
    body: bytes,
    channels: Sequence[str],
    at: datetime,
) -> None:
    """Add a notice for each channel, inside the caller's transaction."""
    for channel in channels:
        id_, whole = identified(body, channel)
        values = {
            "id": id_,
            "number": case,
            "type": type_,
            "channel": channel,
            "body": whole,
            "state": NoticeState.WAITING.value,
            "attempts": 0,
            "next_at": stamp(at),
            "error": "",
        }
        database.execute(_PUT, values)


def sequence(database: Connection, case: int) -> int:
    """The sequence number of the case's next notice, from 1."""
    return int(database.execute(_TYPES, {"case": case}).scalar_one()) + 1


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The state of a notice after an attempt, and its error."""

    state: NoticeState
    error: str = ""
    retry_after: timedelta | None = None


def _attempted(letter: OutgoingNotice, senders: Senders, at: datetime) -> _Attempt:
    try:
        senders(letter.channel).send(letter, at)
    except RefusedError as error:
        return _Attempt(NoticeState.DEAD, _shown(str(error)))
    except UndeliveredError as error:
        return _Attempt(_failed(letter), _shown(str(error)), error.retry_after)
    except Exception as error:  # noqa: BLE001 - a broken channel must not block the others
        message = f"{type(error).__name__}: {error}; check the channel"
        return _Attempt(_failed(letter), _shown(message))
    return _Attempt(NoticeState.DELIVERED)


def _shown(message: str) -> str:
    """The message as it is stored: a receiver's answer may contain null characters."""
    return message.replace("\0", "")[:MAX_ERROR]


def _failed(letter: OutgoingNotice) -> NoticeState:
    return NoticeState.DEAD if letter.attempts >= len(RETRY_AFTER_S) else NoticeState.WAITING


def _set(
    database: Connection, id_: str, state: NoticeState, attempts: int, next_at: datetime, error: str
) -> None:
    values = {"new_state": state.value, "tried": attempts, "at": stamp(next_at), "why": error}
    database.execute(_SET, {"notice": id_, **values})


def _leave_alone(database: Connection, channel: str, until: datetime) -> None:
    database.execute(_LEAVE_ALONE, {"on": channel, "at": stamp(until)})


def _reroute(database: Connection, row: RowMapping, channels: Sequence[str]) -> None:
    """Give the notice the first channel; append copies for the other channels."""
    body = unidentified(row["body"])
    id_, whole = identified(body, channels[0])
    values = {"new_id": id_, "on": channels[0], "content": whole}
    database.execute(_REROUTE, {"notice": row["id"], **values})
    put(database, row["number"], row["type"], body, channels[1:], moment(row["next_at"]))


def letter(row: RowMapping) -> OutgoingNotice:
    """The notice in a row of the table."""
    return OutgoingNotice(
        row["id"],
        row["number"],
        row["type"],
        row["channel"],
        row["body"],
        NoticeState(row["state"]),
        row["attempts"],
        moment(row["next_at"]),
        row["error"],
    )
