"""How much of each quota is reserved, shared by all gates of a data directory.

    home/quotas.sqlite     SQLite; in PostgreSQL the schema quotas

    service     scene          counter  window   amount
    analytics   segmentation   points   3628801  84       in this minute, 84 reads are taken

A gate reserves a block of a quota and spends it in its memory (gate.decision.quota). What gates
reserve together never exceeds a limit. What a gate reserved and did not spend ends with the window.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table, and_, bindparam, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from gate.storage.statement import Put
from ledger.storage import database
from ledger.storage.database import DatabaseError, Schema, writing
from ledger.storage.log_rows import Number

_METADATA = MetaData()
RESERVED = Table(
    "reserved",
    _METADATA,
    Column("service", String, primary_key=True),
    Column("scene", String, primary_key=True),
    Column("counter", String, primary_key=True),
    Column("window", Number, nullable=False),
    Column("amount", Number, nullable=False),
)
QUOTAS = Schema("quotas", "quotas.sqlite", _METADATA, "0001", "gate.storage.migrations.quotas")
Counter = tuple[str, str, str]  # service, scene, name
_THIS = and_(
    RESERVED.c.service == bindparam("of_service"),
    RESERVED.c.scene == bindparam("of_scene"),
    RESERVED.c.counter == bindparam("of_counter"),
)
_FIND = select(RESERVED.c.window, RESERVED.c.amount).where(_THIS)
_LOCK = _FIND.with_for_update()
_UPDATE = (
    update(RESERVED)
    .where(_THIS)
    .values(window=bindparam("new_window"), amount=bindparam("new_amount"))
)
_ADD = Put(RESERVED)


class QuotaStore:
    """The shared counters. Thread-safe."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._database = database.of(home)
        self._engine = self._database.engine(QUOTAS)

    def reserve(
        self, counter: Counter, window: int, need: int, want: int, limit: int
    ) -> tuple[int, int]:
        """Reserve `want`, or what is left of `limit` if that is at least `need`; else nothing.

        Returns the window and the amount. The window is a later one if another gate's clock has
        reached it: a clock that goes back does not reset the count. Raises DatabaseError.
        """
        key = dict(zip(("of_service", "of_scene", "of_counter"), counter, strict=True))
        with _reported(), writing(self._engine) as connection:
            last, reserved = _locked(connection, counter, key)
            if last < window:
                last, reserved = window, 0
            left = limit - reserved
            amount = min(want, left) if need <= left else 0
            changed = {"new_window": last, "new_amount": reserved + amount}
            connection.execute(_UPDATE, key | changed)
        # Crash here: the block is reserved and nobody spends it; the window ends.
        return last, amount

    def reserved(self, counter: Counter, window: int) -> int:
        """What all gates have reserved in a window. Raises DatabaseError."""
        key = dict(zip(("of_service", "of_scene", "of_counter"), counter, strict=True))
        with _reported(), self._engine.connect() as connection:
            row = connection.execute(_FIND, key).first()
        return row[1] if row is not None and row[0] >= window else 0


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseError(
            "the quotas cannot be counted, so nothing is read: check the database, or the disk"
        ) from error


def _locked(connection: Connection, counter: Counter, key: dict[str, str]) -> tuple[int, int]:
    """The counter's last window and amount, which nobody else changes until the commit."""
    if (row := connection.execute(_LOCK, key).first()) is None:
        new = dict(zip(_ADD.names, (*counter, -1, 0), strict=True))
        connection.execute(_ADD.on(connection), new)
        row = connection.execute(_LOCK, key).one()
    return row[0], row[1]
