"""The lease of the one writer of a log in PostgreSQL.

It is an advisory lock, which ends with the connection that took it, and a fencing epoch: taking the
lock increments the epoch, and every commit compares its epoch with the stored one.

    lease    epoch, and who took it: host, pid, command, since; without a pid it was given up

A writer is sure of its lease for SURE_S after the server was asked. Then it answers nothing until
the server confirms it. Who takes the lease from a writer that did not give it up waits HANDOVER_S,
which is longer: by then the other one answers nothing, even if it was paused.

A writer whose connection ended takes the lock again, and goes on if epoch and size are those that
it left. If they are not, it lost its lease for good: what it has in memory is older than the log.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, RLock
from time import monotonic
from typing import Any, LiteralString
from weakref import finalize

import psycopg
from psycopg import sql
from sqlalchemy import URL, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from ledger.storage.database import PATIENCE
from ledger.storage.interface import LeaseHeldError, LeaseLostError, LeaseUnconfirmedError
from ledger.storage.writer_lock import POLL_S, us

SURE_S = 2.0
HANDOVER_S = 3.0
LEASE_WAIT_S = 1.0  # until the server sees that the last writer was killed
REST_S = 0.5  # how long the server is not asked again after it did not answer
ASKED_S = 0.1  # how long to wait for another thread that asks

_EPOCH: LiteralString = "SELECT epoch FROM lease"
_HELD = text(
    "SELECT epoch, EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND pid = :pid) FROM lease"
)
_SESSION = (  # of a writer's host that is gone, the server releases the lock within seconds
    "synchronous_commit TO on",
    "tcp_keepalives_idle TO 5",
    "tcp_keepalives_interval TO 2",
    "tcp_keepalives_count TO 3",
)


class Lease:
    """The right of this process to write one log. Thread-safe."""

    def __init__(self, engine: Engine, schema: str) -> None:
        """`engine`: of the log's schema; another connection of it asks whether the lock is held."""
        self._engine, self._schema = engine, schema
        self._writing, self._asking = RLock(), Lock()
        self._writer: psycopg.Connection[Any] | None = None
        self._pid = 0  # of the server's process for the writer's connection
        self._epoch = 0  # 0: this process is no writer
        self._size = 0  # of the log, as this writer left it
        self._sure_until = self._rests_until = 0.0
        self._lost = ""  # why, if it is lost

    def take(self) -> None:
        """Become the writer, unless this process is.

        Raises LeaseHeldError, LeaseLostError, LeaseUnconfirmedError.
        """
        with self._writing:
            if self._writer is None:
                self._take()

    def require(self) -> None:
        """Raise LeaseLostError or LeaseUnconfirmedError unless a writer is sure of its lease.

        Cheap: it asks the server only if nobody did within SURE_S.
        """
        if monotonic() < self._sure_until or not self._epoch:
            return
        if not self._lost and monotonic() < self._rests_until:
            raise self._unconfirmed("the database did not answer")
        if not self._asking.acquire(timeout=ASKED_S):
            raise self._unconfirmed("the database has not answered yet")
        try:
            if monotonic() >= self._sure_until:
                self._confirm()
        finally:
            self._asking.release()

    def confirm(self) -> None:
        """Ask the server whether a writer still has its lease. Raises as `require` does."""
        if self._epoch:
            with self._asking:
                self._confirm()

    @contextmanager
    def transaction(self, size: int) -> Iterator[psycopg.Connection[Any]]:
        """A transaction of the writer, after which the log has `size` entries.

        Takes the lease if nobody has it. Raises as `take` does.
        """
        with self._writing:
            writer = self._writer or self._take()
            at = monotonic()
            try:
                with writer.transaction():
                    self._require_epoch(_one(writer.execute(f"{_EPOCH} FOR UPDATE")))
                    yield writer
            except LeaseLostError:
                self._drop()
                raise
            except psycopg.OperationalError as error:
                if not writer.closed:
                    raise
                self._drop()
                raise self._unconfirmed(str(error)) from error
            self._size, self._sure_until = size, at + SURE_S

    def resign(self) -> None:
        """Give the lease up, if this process has it."""
        with self._writing:
            if self._writer is None:
                return
            with suppress(psycopg.Error):  # if the connection is lost, the server unlocks
                self._writer.execute("UPDATE lease SET pid = NULL WHERE epoch = %s", [self._epoch])
                self._writer.execute("SELECT pg_advisory_unlock_all()")
            self._drop()
            self._epoch = 0

    def _confirm(self) -> None:
        if self._lost:
            raise self._lost_error()
        at = monotonic()
        try:
            with self._engine.connect() as connection:
                epoch, held = connection.execute(_HELD, {"pid": self._pid}).one()
            self._require_epoch(epoch)
            if held:
                self._sure_until = at + SURE_S
            else:
                self._take_again()
        except LeaseLostError:
            with self._writing:
                self._drop()
            raise
        except (LeaseUnconfirmedError, SQLAlchemyError, psycopg.Error) as error:
            self._rests_until = monotonic() + REST_S
            if isinstance(error, LeaseUnconfirmedError):
                raise
            raise self._unconfirmed(str(getattr(error, "orig", error))) from error

    def _take_again(self) -> None:
        with self._writing:
            self._drop()
            self._take()

    def _take(self) -> psycopg.Connection[Any]:
        if self._lost:
            raise self._lost_error()
        at = monotonic()
        try:
            writer = psycopg.connect(plain(self._engine.url), autocommit=True, **PATIENCE)
        except psycopg.Error as error:
            raise self._unconfirmed(str(error)) from error
        try:
            for setting in (
                *_SESSION,
                f"search_path TO {sql.Identifier(self._schema).as_string()}",
            ):
                writer.execute(f"SET {setting}".encode())
            if self._epoch:
                self._resume(writer)
            else:
                self._begin(writer)
                at = monotonic()
        except BaseException:
            writer.close()
            raise
        self._writer, self._pid = writer, writer.info.backend_pid
        finalize(self, writer.close)  # psycopg warns of connections that nobody closed
        self._sure_until = at + SURE_S
        return writer

    def _begin(self, writer: psycopg.Connection[Any]) -> None:
        until = monotonic() + LEASE_WAIT_S
        while not self._locked(writer):
            if monotonic() >= until:
                raise LeaseHeldError(f"the log {self._schema!r}", _holder(writer))
            time.sleep(POLL_S)
        _create(writer)
        if _may_live(writer):
            time.sleep(HANDOVER_S)
        self._epoch = _next_epoch(writer)
        self._size = _size(writer)

    def _resume(self, writer: psycopg.Connection[Any]) -> None:
        locked = self._locked(writer)
        self._require_epoch(_one(writer.execute(_EPOCH)))
        if not locked:  # by its next holder, or by the server for our old connection
            raise self._unconfirmed("the lock is not free")
        if (size := _size(writer)) != self._size:
            raise self._lose(
                f"the log has {size} entries, this writer left {self._size}: a commit whose end it"
                " did not see is stored"
            )

    def _locked(self, writer: psycopg.Connection[Any]) -> bool:
        lock = "SELECT pg_try_advisory_lock(hashtextextended(%s, 1))"
        return bool(_one(writer.execute(lock, [self._schema])))

    def _require_epoch(self, epoch: int | None) -> None:
        if epoch != self._epoch:
            raise self._lose(
                f"the lease is at epoch {epoch}, this writer's is {self._epoch}: another writer"
                " took over"
            )

    def _drop(self) -> None:
        self._sure_until = 0.0
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _lose(self, why: str) -> LeaseLostError:
        self._lost, self._sure_until = why, 0.0
        return self._lost_error()

    def _lost_error(self) -> LeaseLostError:
        return LeaseLostError(
            f"this process lost the lease of the log {self._schema!r} ({self._lost}): stop it, and"
            " start it again"
        )

    def _unconfirmed(self, why: str) -> LeaseUnconfirmedError:
        first = (why.strip().splitlines() or ["no answer"])[0]
        return LeaseUnconfirmedError(
            f"the database does not confirm that this process may write the log {self._schema!r}"
            f" ({first}): check that it runs"
        )


def plain(url: URL) -> str:
    """The address as psycopg takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _create(writer: psycopg.Connection[Any]) -> None:
    writer.execute("CREATE TABLE IF NOT EXISTS lease (epoch bigint NOT NULL)")
    for column in ("host", "command", "pid", "since"):  # an earlier version has the epoch alone
        added = sql.SQL("ALTER TABLE lease ADD COLUMN IF NOT EXISTS {} text")
        writer.execute(added.format(sql.Identifier(column)))


def _may_live(writer: psycopg.Connection[Any]) -> bool:
    """Whether the last writer may still answer: it did not give up, and is not known to be dead."""
    row = writer.execute("SELECT host, pid FROM lease").fetchone()
    if row is None or row[1] is None:
        return False
    host, pid = row[0], int(row[1])
    if host != platform.node():
        return True
    if pid == os.getpid():  # of an earlier process with this number
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _next_epoch(writer: psycopg.Connection[Any]) -> int:
    """Increment the epoch, and note who has it. The caller has the lock."""
    holder = {"host": platform.node(), **us()}
    with writer.transaction():
        epoch = int(_one(writer.execute("SELECT coalesce(max(epoch), 0) + 1 FROM lease")))
        writer.execute("DELETE FROM lease")
        writer.execute(
            "INSERT INTO lease (epoch, host, command, pid, since) VALUES (%s, %s, %s, %s, %s)",
            [epoch, *map(str, holder.values())],
        )
    return epoch


def _holder(writer: psycopg.Connection[Any]) -> str:
    """Who has the lease, as far as the table tells."""
    try:
        row = writer.execute("SELECT command, pid, host, since FROM lease").fetchone()
    except psycopg.Error:
        row = None
    if row is None or None in row:
        return "another process"
    command, pid, host, since = row
    return f"`{command}` (process {pid} on {host}, since {since})"


def _size(writer: psycopg.Connection[Any]) -> int:
    return _one(writer.execute("SELECT size FROM head")) or 0


def _one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    return None if row is None else row[0]
