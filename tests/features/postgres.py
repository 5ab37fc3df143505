"""A PostgreSQL server of the tests' own, and a bank whose tables are all in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests import postgres


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server, which can be stopped and started again."""

    handle: Any
    address: str

    def create(self) -> str:
        """A new database; its address."""
        return postgres.fresh(self.address)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The server is down while the context lasts."""
        self.handle.stop()
        try:
            yield
        finally:
            self.handle.ensure_postgres_running()


@contextmanager
def running() -> Iterator[Postgres]:
    with postgres.running() as handle:
        yield Postgres(handle, handle.get_uri())


def values(address: str, query: str) -> list[Any]:
    """The first column of what a query finds."""
    with psycopg.connect(address, autocommit=True) as connection:
        return [row[0] for row in connection.execute(query.encode())]
