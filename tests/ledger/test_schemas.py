"""Every schema has a version: created at the newest, migrated from an older one, else refused."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from gate.storage.api_keys import API_KEYS
from gate.storage.change_tables import CHANGES
from gate.storage.quotas import QUOTAS
from gate.storage.tables import READS
from ledger.storage.database import Database, Schema, SchemaVersionError, version, writing
from ledger.storage.migration import directory, migrate
from ledger.storage.sqlite import LEDGER
from ledger.storage.vault_store import VAULT
from ledger.storage.witness_store import WITNESS
from portal.storage.people import PEOPLE
from portal.storage.sessions import SESSIONS
from steward.storage.cases import CASES
from steward.storage.health import HEALTH
from steward.storage.register import REGISTER

SCHEMAS = [
    LEDGER,
    VAULT,
    WITNESS,
    READS,
    CASES,
    REGISTER,
    HEALTH,
    PEOPLE,
    SESSIONS,
    QUOTAS,
    API_KEYS,
    CHANGES,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda each: each.name)
def test_the_version_is_the_newest_revision(schema: Schema) -> None:
    assert directory(schema).get_heads() == [schema.version]


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLite does not describe one
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda each: each.name)
def test_revisions_make_the_tables_that_the_code_declares(schema: Schema, tmp_path: Path) -> None:
    database = Database(tmp_path)
    (tmp_path / schema.file).parent.mkdir(parents=True, exist_ok=True)
    with writing(database.unchecked(schema)) as connection:  # a database without tables
        connection.execute(text("CREATE TABLE one (number INTEGER)"))
        connection.execute(text("DROP TABLE one"))
    assert migrate(database, schema) == ("", schema.version)
    with database.engine(schema).connect() as connection:
        context = MigrationContext.configure(connection)
        differences = [
            each
            for each in compare_metadata(context, schema.metadata)
            if not (each[0] == "remove_table" and each[1].name == "alembic_version")
        ]
    assert differences == []


def test_tables_of_an_earlier_version_are_refused_until_they_are_migrated(tmp_path: Path) -> None:
    database = Database(tmp_path)
    engine = database.engine(LEDGER)
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("DROP TABLE state_transition"))  # they had none
    database.close()
    with pytest.raises(SchemaVersionError, match=r"ledger\.sqlite .*sovereign migrate"):
        database.engine(LEDGER)
    assert migrate(database, LEDGER) == ("", LEDGER.version)
    assert migrate(database, LEDGER) is None
    assert version(database.engine(LEDGER)) == LEDGER.version


def test_tables_of_a_newer_program_are_refused(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with writing(database.engine(LEDGER)) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for opened in (database.engine, lambda schema: migrate(database, schema)):
        with pytest.raises(SchemaVersionError, match="newer version"):
            opened(LEDGER)


def test_an_absent_schema_is_not_created_by_a_migration(tmp_path: Path) -> None:
    assert migrate(Database(tmp_path), LEDGER) is None
    assert not (tmp_path / LEDGER.file).exists()
