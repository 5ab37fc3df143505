"""Customers who asked to be erased, until that is carried out or stopped.

    departure   c00007   requested 2026-11-21T12:00:00Z   due 2026-11-24T12:00:00Z   en

The row is all that waits. What the customer allowed has ended by then (portal.consent.departure).
The job `departures` erases whoever is due (portal.jobs.departures).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select

from ledger.storage import database
from ledger.storage.database import writing
from portal.storage.people import DEPARTURE, PEOPLE, clear_deleted, insert_new

WAIT = timedelta(hours=72)  # from the request to the destruction


@dataclass(frozen=True, slots=True)
class Departure:
    """A request to be erased. `locale`: of the words that the customer saw."""

    subject: str
    requested: datetime
    due: datetime
    locale: str


class Departures:
    """The requests of one data directory. Thread-safe. Writes are durable on return."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._engine = database.of(home).engine(PEOPLE)

    def request(self, subject: str, locale: str, at: datetime) -> Departure:
        """The customer's request; a new one unless one waits already."""
        begins, due = int(at.timestamp()), int((at + WAIT).timestamp())
        row = {"subject": subject, "requested": begins, "due": due, "locale": locale}
        with writing(self._engine) as connection:
            insert_new(connection, DEPARTURE, row)
            found = connection.execute(select(DEPARTURE).filter_by(subject=subject)).one()
        return _departure(*found)

    def of(self, subject: str) -> Departure | None:
        """The customer's request that waits, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(select(DEPARTURE).filter_by(subject=subject)).first()
        return None if row is None else _departure(*row)

    def waiting(self) -> list[Departure]:
        """All requests, the first due first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(DEPARTURE).order_by(DEPARTURE.c.due)).all()
        return [_departure(*row) for row in rows]

    def end(self, subject: str) -> bool:
        """Delete the customer's request; returns whether there was one. No bytes of it remain."""
        with writing(self._engine) as connection:
            ended = connection.execute(delete(DEPARTURE).filter_by(subject=subject)).rowcount == 1
        clear_deleted(self._engine)
        return ended


def find(home: Path, subject: str) -> Departure | None:
    """The customer's request that waits, or None. Creates no table."""
    return Departures(home).of(subject) if database.of(home).exists(PEOPLE) else None


def _departure(subject: str, requested: int, due: int, locale: str) -> Departure:
    return Departure(subject, _moment(requested), _moment(due), locale)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
