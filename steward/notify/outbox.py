"""The outbox: notices until their receivers have them, at least once and in the order of a case.

    waiting ── accepted ──> delivered
       │ ^────── failed ── after RETRY_AFTER_S[attempts]
       └── failed after the last of them ──> dead ── replay ──> waiting

Of one case and one channel only the oldest notice that is not delivered is ever sent, a dead one
included: what follows waits until it is replayed, so that nobody hears of an end before the
beginning. A receiver that says how long it wants to be left alone gets nothing until then, of any
case. The id and the bytes of a notice are the same at every attempt; a crash between the
receiver's answer and our note of it sends them again, and the receiver drops them by the id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Protocol

from steward.cases.case import Act, add_act
from steward.cases.case_store import CaseStore, moment, stamp
from steward.notify.notice import identified, unidentified

RETRY_AFTER_S = (5, 20, 80, 320, 1_280, 5_120, 20_480)  # four times as long each: 7.6 h in all
MAX_ERROR = 300  # characters kept of a failure
UNROUTED = "unrouted"  # a channel of a role whose channels cannot be looked up: unrouted/<role>


class NoticeState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class UndeliveredError(Exception):
    """The receiver does not have the notice, or did not say that it has. It will be sent again.

    `retry_after`: how long the receiver asks to be left alone, if it does.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(UndeliveredError):
    """Sending again would change nothing until somebody acts; the notice is dead at once."""


@dataclass(frozen=True, slots=True)
class OutgoingNotice:
    """A notice on its way to one channel. `body` is a CloudEvent in structured JSON."""

    id: str
    case: int
    type: str
    channel: str
    body: bytes
    state: NoticeState
    attempts: int
    next_at: datetime
    error: str  # of the last attempt, "" if there was none


class NoticeSender(Protocol):
    """A way out. One attempt per call."""

    def send(self, letter: OutgoingNotice, at: datetime) -> None:
        """When it returns, the receiver has the letter. Raises UndeliveredError."""
        ...


Senders = Callable[[str], NoticeSender]  # by channel; raises UndeliveredError where there is none


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What one round did."""

    delivered: int
    failed: int
    dead: int


class Outbox:
    """Thread-safe. Two processes that deliver at once may send a notice twice, never lose one."""

    def __init__(self, home: Path) -> None:
        self._store = CaseStore(home)

    def deliver(self, senders: Senders, at: datetime) -> DeliveryResult:
        """Send everything that is due. A channel that fails is left alone until the next round, so
        that a receiver that is down costs one timeout and not one per notice."""
        done = {NoticeState.DELIVERED: 0, NoticeState.WAITING: 0, NoticeState.DEAD: 0}
        failing: set[str] = set()
        while letters := self._due(at, failing):
            for letter in letters:
                if letter.channel not in failing:
                    attempt = _attempted(letter, senders, at)
                    # Crash here: the receiver may have it, and we will send it again.
                    self._note(letter, attempt, at)
                    done[attempt.state] += 1
                    if attempt.state is not NoticeState.DELIVERED:
                        failing.add(letter.channel)
        return DeliveryResult(
            done[NoticeState.DELIVERED], done[NoticeState.WAITING], done[NoticeState.DEAD]
        )

    def dead(self) -> list[OutgoingNotice]:
        """The dead letters, oldest first."""
        return self._letters("state = 'dead'", [])

    def waiting(self) -> list[OutgoingNotice]:
        """What is to be delivered yet, oldest first; what stands behind a dead letter too."""
        return self._letters("state = 'waiting'", [])

    def of(self, case: int) -> list[OutgoingNotice]:
        """Every notice of a case, oldest first."""
        return self._letters("number = ?", [case])

    def replay(self, by: str, at: datetime, ids: Sequence[str] | None = None) -> int:
        """Give dead letters (None: all of them) their attempts anew; how many there were."""
        with self._store.writing() as database:
            query = "SELECT * FROM outbox WHERE state = 'dead' ORDER BY seq"
            rows = database.execute(query).fetchall()
            chosen = [row for row in rows if ids is None or row["id"] in ids]
            for row in chosen:
                _set(database, row["id"], NoticeState.WAITING, 0, at, row["error"])
                note = f"{row['type']} to {row['channel']}"
                add_act(database, row["number"], Act("replayed", by, at, note))
        return len(chosen)

    def route(self, channels: Callable[[str], Sequence[str]]) -> int:
        """Give notices that wait for a channel of their role the channels it has now; how many.

        They were filed while nobody could say where the notices of a role go: see UNROUTED.
        """
        if not self._letters("state <> 'delivered' AND channel LIKE ?", [f"{UNROUTED}/%"]):
            return 0  # asked every two seconds: nobody else waits for it
        with self._store.writing() as database:
            query = "SELECT * FROM outbox WHERE channel LIKE ? ORDER BY seq"
            rows = database.execute(query, [f"{UNROUTED}/%"]).fetchall()
            for row in rows:
                _reroute(database, row, channels(row["channel"].partition("/")[2]))
        return len(rows)

    def close(self) -> None:
        self._store.close()

    def _due(self, at: datetime, failing: set[str]) -> list[OutgoingNotice]:
        """The first of each case and channel, if its time has come."""
        first = (
            "state = 'waiting' AND next_at <= ? AND NOT EXISTS (SELECT 1 FROM outbox AS older WHERE"
            " older.number = outbox.number AND older.channel = outbox.channel"
            " AND older.seq < outbox.seq AND older.state <> 'delivered')"
        )
        return [each for each in self._letters(first, [stamp(at)]) if each.channel not in failing]

    def _letters(self, where: str, values: Sequence[object]) -> list[OutgoingNotice]:
        query = f"SELECT * FROM outbox WHERE {where} ORDER BY seq"  # noqa: S608 - ours, not input
        with self._store.reading() as database:
            return [letter(row) for row in database.execute(query, values).fetchall()]

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
    """Add a notice for each channel, inside the transaction that makes it necessary."""
    for channel in channels:
        id_, whole = identified(body, channel)
        database.execute(
            "INSERT INTO outbox (id, number, type, channel, body, state, attempts, next_at, error)"
            " VALUES (?, ?, ?, ?, ?, 'waiting', 0, ?, '')",
            [id_, case, type_, channel, whole, stamp(at)],
        )


def sequence(database: Connection, case: int) -> int:
    """The number of the case's next notice, from 1."""
    query = "SELECT COUNT(DISTINCT type) AS n FROM outbox WHERE number = ?"
    return int(database.execute(query, [case]).fetchone()["n"]) + 1


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The state of a letter after an attempt, and what went wrong."""

    state: NoticeState
    error: str = ""
    retry_after: timedelta | None = None


def _attempted(letter: OutgoingNotice, senders: Senders, at: datetime) -> _Attempt:
    try:
        senders(letter.channel).send(letter, at)
    except RefusedError as error:
        return _Attempt(NoticeState.DEAD, str(error)[:MAX_ERROR])
    except UndeliveredError as error:
        return _Attempt(_failed(letter), str(error)[:MAX_ERROR], error.retry_after)
    except Exception as error:  # noqa: BLE001 - a way out that breaks must not hold up the others
        message = f"{type(error).__name__}: {error}; see to the channel"[:MAX_ERROR]
        return _Attempt(_failed(letter), message)
    return _Attempt(NoticeState.DELIVERED)


def _failed(letter: OutgoingNotice) -> NoticeState:
    return NoticeState.DEAD if letter.attempts >= len(RETRY_AFTER_S) else NoticeState.WAITING


def _set(
    database: Connection, id_: str, state: NoticeState, attempts: int, next_at: datetime, error: str
) -> None:
    query = "UPDATE outbox SET state = ?, attempts = ?, next_at = ?, error = ? WHERE id = ?"
    database.execute(query, [state, attempts, stamp(next_at), error, id_])


def _leave_alone(database: Connection, channel: str, until: datetime) -> None:
    query = "UPDATE outbox SET next_at = ? WHERE channel = ? AND state = 'waiting' AND next_at < ?"
    database.execute(query, [stamp(until), channel, stamp(until)])


def _reroute(database: Connection, row: Row, channels: Sequence[str]) -> None:
    """The first channel takes the notice's place in the order; the others come last."""
    body = unidentified(row["body"])
    id_, whole = identified(body, channels[0])
    query = "UPDATE outbox SET id = ?, channel = ?, body = ? WHERE id = ?"
    database.execute(query, [id_, channels[0], whole, row["id"]])
    put(database, row["number"], row["type"], body, channels[1:], moment(row["next_at"]))


def letter(row: Row) -> OutgoingNotice:
    """A row of the table."""
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
