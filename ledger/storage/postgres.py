"""A log store in PostgreSQL.

Each log has its own schema. Rows are written with COPY, by the one writer: see
ledger.storage.lease.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from select import select
from time import monotonic
from typing import Any, Self
from weakref import finalize

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import make_url
from sqlalchemy.engine import Engine

from ledger.storage.database import Database, postgres_engine
from ledger.storage.interface import ForkError, StorageBatch
from ledger.storage.lease import Lease, plain
from ledger.storage.sqlite import LEDGER, STATE_PREFIX, SqlStore

_COLUMNS: dict[str, tuple[str, ...]] = {
    "bundle": ("index int8", "data bytea"),
    "tile": ("level int4", "index int8", "data bytea"),
    "bucket": ("number int4", "root bytea", "records bytea"),
    "sealed": ("index int8", "tag bytea", "data bytea"),
    "idempotency": ("key varchar", "digest bytea", "first int8"),
    "transition": ("index int8", "data bytea"),
}


class PostgresStore(SqlStore):
    """A `LogStore` in one schema. Reads never wait for the writer; commits are synchronous."""

    def __init__(self, engine: Engine, schema: str, opened: Database | None = None) -> None:
        """`schema`: the log's own."""
        super().__init__(engine, opened=opened)
        self._lease = Lease(engine, schema)

    @classmethod
    def at(cls, path: Path | str, schema: str = LEDGER.name) -> Self:
        """The store in a schema of a PostgreSQL database, at the address `path`.

        Raises SchemaVersionError, DatabaseError.
        """
        opened = Database(Path(), str(path))
        return cls(opened.engine(replace(LEDGER, name=schema)), schema, opened)

    def take_lease(self) -> None:
        """See `Lease.take`."""
        self._lease.take()

    def require_lease(self) -> None:
        super().require_lease()
        self._lease.require()

    def confirm_lease(self) -> None:
        super().confirm_lease()
        self._lease.confirm()

    def commit(self, batch: StorageBatch) -> None:
        """See `LogStore.commit`. Takes the lease if nobody has it. Raises as `Lease.take` does."""
        super().require_lease()
        with self._lease.transaction(batch.head.size) as writer:
            _put(writer, "", batch)
            if batch.state_batch is not None:
                _put(writer, STATE_PREFIX, batch.state_batch)
        # Crash before the commit above: nothing is stored. After it: everything is.

    def close(self) -> None:
        self._lease.resign()
        super().close()


class PostgresReader(SqlStore):
    """Read-only access to a log for another host. Creates nothing; queries have a timeout."""

    def __init__(self, address: str, schema: str) -> None:
        url = make_url(address).set(drivername="postgresql+psycopg")
        super().__init__(postgres_engine(url, schema, *_READING))
        finalize(self, self._engine.dispose)


class PostgresHead:
    """Reads the number of entries of the log in one round trip of at most `timeout_s` seconds.

    Not thread-safe. Asks the primary only, because a standby may lag behind the writer.
    """

    def __init__(self, address: str, schema: str, timeout_s: float = 2.0) -> None:
        self._address = plain(make_url(address))
        query = sql.SQL("SELECT size FROM {}.head WHERE NOT pg_is_in_recovery()")
        self._query = query.format(sql.Identifier(schema)).as_string().encode()
        self._timeout_s = timeout_s
        self._connection: psycopg.Connection[Any] | None = None

    def size(self) -> int:
        """The number of entries. Raises psycopg.Error or TimeoutError; the next call reconnects."""
        try:
            return self._ask(self._connection or self._connect())
        except (psycopg.Error, TimeoutError, OSError):
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection[Any]:
        timeout = max(2, round(self._timeout_s))  # libpq takes whole seconds, at least two
        made = psycopg.connect(self._address, autocommit=True, connect_timeout=timeout)
        self._connection = made
        return made

    def _ask(self, connection: psycopg.Connection[Any]) -> int:
        """Query through libpq, because psycopg has no timeout for an answer."""
        server, until = connection.pgconn, monotonic() + self._timeout_s
        server.send_query_params(self._query, None)
        server.flush()  # does not block: a few bytes fit into the buffer of an idle connection
        last_result = None
        while True:
            while server.is_busy():
                if not select([server.socket], [], [], max(until - monotonic(), 0))[0]:
                    raise TimeoutError(
                        f"no answer of the database within {self._timeout_s} s: check that it runs"
                    )
                server.consume_input()
            if (result := server.get_result()) is None:
                break
            last_result = result
        return _size(last_result)


def _size(result: PGresult | None) -> int:
    if result is None or result.status != ExecStatus.TUPLES_OK:
        answer = result.error_message.decode("utf-8", "replace").strip() if result else "nothing"
        raise psycopg.OperationalError(f"the database answered: {answer}")
    if (value := result.get_value(0, 0) if result.ntuples else None) is None:
        raise psycopg.OperationalError(
            "there is no ledger in this schema, or this is a standby: use the primary's address"
        )
    return int(value)


_READING = ("-cdefault_transaction_read_only=on", "-cstatement_timeout=10s")


def _one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    return None if row is None else row[0]


def _put(writer: psycopg.Connection[Any], prefix: str, batch: StorageBatch) -> None:
    """Write a batch of one log. Raises ForkError unless it was built on what is there.

    A log only rewrites rows at its end, so these are deleted and copied again.
    """
    head, bundle, tile = (sql.Identifier(f"{prefix}{name}") for name in ("head", "bundle", "tile"))
    size = _one(writer.execute(sql.SQL("SELECT size FROM {}").format(head))) or 0
    if size != batch.previous:
        raise ForkError(f"the log has {size} entries, want {batch.previous}")
    writer.execute(sql.SQL(_NEWEST).format(head), [batch.head.size, batch.head.note] * 2)
    if batch.bundles:
        removed = sql.SQL("DELETE FROM {} WHERE index >= %s").format(bundle)
        writer.execute(removed, [min(batch.bundles)])
    for level, keys in groupby(sorted(batch.tiles), key=lambda key: key[0]):
        lowest = min(index for _, index in keys)
        removed = sql.SQL("DELETE FROM {} WHERE level = %s AND index >= %s").format(tile)
        writer.execute(removed, [level, lowest])
    _copy(writer, prefix, "bundle", batch.bundles.items())
    _copy(writer, prefix, "tile", [(*key, data) for key, data in batch.tiles.items()])
    if batch.buckets:
        bucket = sql.Identifier(f"{prefix}bucket")
        removed = sql.SQL("DELETE FROM {} WHERE number = ANY(%s)").format(bucket)
        writer.execute(removed, [[*batch.buckets]])
        _copy(writer, prefix, "bucket", [(at, *data) for at, data in batch.buckets.items()])
    sealed = [(at, tag, data) for tag, (at, data) in batch.sealed.items()]
    _copy(writer, prefix, "sealed", sealed)
    _copy(writer, prefix, "idempotency", [(key, *row) for key, row in batch.idempotency.items()])
    _copy(writer, prefix, "transition", batch.transitions.items())


def _copy(
    writer: psycopg.Connection[Any], prefix: str, table: str, rows: Collection[Sequence[Any]]
) -> None:
    if not rows:
        return
    names, types = zip(*(column.split() for column in _COLUMNS[table]), strict=True)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(f"{prefix}{table}"), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with writer.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


_NEWEST = "INSERT INTO {} VALUES (1, %s, %s) ON CONFLICT (id) DO UPDATE SET size = %s, note = %s"
