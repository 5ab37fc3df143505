"""A server that ends a connection in the middle of an operation (specs/portal.md)."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from portal.operations.settings import Settings
from portal.operations.wiring import open_product
from portal.web import problems
from tests.portal.conftest import Clock, browser
from tests.postgres import fresh


@contextmanager
def lost(address: str, table: str) -> Iterator[list[str]]:
    """End the connection of the first statement that names `table`, just before it runs."""
    ended: list[str] = []

    def end(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if table in statement and not ended:
            ended.append(statement)
            pid = connection.connection.driver_connection.info.backend_pid
            with psycopg.connect(address, autocommit=True) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    event.listen(Engine, "before_cursor_execute", end)
    try:
        yield ended
    finally:
        event.remove(Engine, "before_cursor_execute", end)


def test_the_desk_answers_503_with_one_line_in_the_log_and_goes_on(
    address: str,
    seeded: Path,
    tmp_path: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(problems, "_DOWN", problems._DownLog())
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(seeded / "customers.duckdb", home)
    place, vault = fresh(address), fresh(address)
    product = open_product(Settings(data_dir=home, demo=True, database=place, vault_database=vault))
    with browser(product, clock) as steward, caplog.at_level(logging.WARNING):
        assert steward.post("/desk/login", data={"role": "account-manager"}).status_code == 200
        caplog.clear()
        for path, table in (("/desk/cases", "cases"), ("/desk/reviews", "waiting")):
            with lost(place, table) as ended:
                answer = steward.get(path)
            assert ended, path
            assert answer.status_code == 503, (path, answer.text)
            assert steward.get(path).status_code == 200, path
    said = [each.getMessage() for each in caplog.records]
    assert said == ["a database did not answer (OperationalError): 503 until it does"]
