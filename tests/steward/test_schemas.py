"""What earlier programs stored is there after the migration, and the tables are today's."""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.engine import Connection

from ledger.storage.database import Database, Schema, writing
from ledger.storage.migration import migrate, upgrade
from steward.agreements.trend import Trend
from steward.cases.case import Cases
from steward.contracts.health import ContractHealth
from steward.notify.outbox import Outbox
from steward.oversight import register
from steward.storage.cases import ACT, CASES, CHANGE
from steward.storage.health import HEALTH
from steward.storage.register import REGISTER, WAITING
from tests.data.make_4a7671d import ARCHIVE
from tests.gate.scenes import SCENES
from tests.steward.homes import in_postgres

SCHEMAS = [CASES, REGISTER, HEALTH]
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stewards' files of a data directory of commit 4a7671d."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        for schema in SCHEMAS:
            archive.extract(f"data/{schema.file}", folder, filter="data")
    return folder / "data"


@pytest.fixture
def old(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked, tmp_path / "data"))


def tables(database: Database, schema: Schema) -> dict[str, object]:
    """Columns, keys, indexes and triggers of every table, as SQLite describes them."""
    with database.engine(schema).connect() as connection:
        names = [n for n in inspect(connection).get_table_names() if n != "alembic_version"]
        return {name: described(connection, name) for name in names}


def described(connection: Connection, table: str) -> dict[str, object]:
    def asked(pragma: str) -> set[tuple[object, ...]]:
        return {tuple(row) for row in connection.execute(text(f"PRAGMA {pragma}"))}

    query = text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :table")
    parts = connection.execute(query, {"table": table}).all()
    (listed,) = asked(f"table_list({table})")
    return {
        # SQLite lets a key of text be NULL unless it is told not to, and 4a7671d did not say so.
        "columns": {
            (name, type_, bool(required or key), key)
            for _, name, type_, required, _, key in asked(f"table_info({table})")
        },
        "without rowid, strict": listed[-2:],
        "keys": {each[2:5] for each in asked(f"foreign_key_list({table})")},
        "indexes and triggers": {
            (kind, name, " ".join(sql.lower().replace("!=", "<>").split()))
            for kind, name, sql in parts
            if kind != "table" and sql
        },
    }


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda each: each.name)
def test_migrated_tables_are_the_ones_that_the_code_declares(
    schema: Schema, old: Path, tmp_path: Path
) -> None:
    before, new = Database(old), Database(tmp_path)
    assert migrate(before, schema) == ("", schema.version)
    assert tables(before, schema) == tables(new, schema)


def test_nothing_stored_is_lost_and_the_order_stays(old: Path) -> None:
    database = Database(old)
    with database.unchecked(CASES).connect() as connection:
        acts = connection.execute(text("SELECT * FROM act ORDER BY rowid")).all()
        changes = connection.execute(text("SELECT * FROM change ORDER BY rowid")).all()
    for schema in SCHEMAS:
        migrate(database, schema)
    with database.engine(CASES).connect() as connection:
        assert [row[1:] for row in connection.execute(select(ACT).order_by(ACT.c.seq))] == acts
        kept = connection.execute(select(CHANGE).order_by(CHANGE.c.seq)).all()
        assert [row[1:] for row in kept] == changes != []
    cases = Cases(old)
    assert cases.case(1).count == 1
    assert [each.act for each in cases.acts(1)] == ["opened"]
    assert Outbox(old).of(1)
    with database.engine(REGISTER).connect() as connection:
        register.require_chain(connection)
        assert len(connection.execute(select(WAITING)).all()) == 1
    assert ContractHealth(old, SCENES).last_run() is not None
    assert len(Trend(old).last(9)) == 1


HALVES: dict[str, Callable[[Connection], None]] = {
    "contracts were checked by the command alone": lambda c: drop(c, "trend"),
    "health was shown before contracts were checked": lambda c: drop(
        c, "run", "attained", "miss", "streak"
    ),
}


def drop(connection: Connection, *names: str) -> None:
    for name in names:
        connection.execute(text(f"DROP TABLE {name}"))


@pytest.mark.parametrize("why", HALVES)
def test_half_of_a_history_of_health_gets_the_other_half(
    why: str, old: Path, tmp_path: Path
) -> None:
    database = Database(old)
    engine = database.unchecked(HEALTH)
    with writing(engine) as connection:
        HALVES[why](connection)
    engine.dispose()
    assert migrate(database, HEALTH) == ("", HEALTH.version)
    assert tables(database, HEALTH) == tables(Database(tmp_path), HEALTH)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda each: f"postgresql {each.name}")
def test_revisions_make_the_same_tables_in_postgresql(
    schema: Schema, address: str, tmp_path: Path
) -> None:
    in_postgres(tmp_path, address)
    found: list[set[str]] = []
    database = Database(tmp_path, address)
    for each in (schema, replace(schema, name=f"{schema.name}_migrated")):
        if each is not schema:
            empty = database.unchecked(each)
            upgrade(empty, each)
            empty.dispose()
        with database.engine(each).connect() as connection:
            found.append(in_catalog(connection, each.name))
    database.close()
    assert found[0] == found[1] != set()


COLUMNS = (
    "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default"
    " FROM information_schema.columns"
)
INDEXES = "SELECT schemaname, tablename, indexname, indexdef FROM pg_indexes"
TRIGGERS = (
    "SELECT trigger_schema, event_object_table, trigger_name, event_manipulation"
    " FROM information_schema.triggers"
)
CONSTRAINTS = (
    "SELECT connamespace::regnamespace::text, conrelid::regclass::text, pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE contype <> 'n'"
)


def in_catalog(connection: Connection, schema: str) -> set[str]:
    """What PostgreSQL says of the tables of a schema, whose own name is left out."""
    lines: set[str] = set()
    for query in (COLUMNS, INDEXES, TRIGGERS, CONSTRAINTS):
        for row in connection.execute(text(query)):
            line = " ".join(map(str, row))
            if f"{schema}." in line or row[0] == schema:
                lines.add(line.replace(f"{schema}.", "").removeprefix(f"{schema} "))
    return {each for each in lines if "alembic_version" not in each}
