"""Clauses L103 and L107 of specs/ledger.md and V66 to V68 of specs/vault.md: in SQLite or not."""

import re
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from ledger import map_binding
from ledger.errors import CorruptLogError
from ledger.events.envelope import Withdrawn
from ledger.follower import Follower
from ledger.fsck import fsck
from ledger.integrity import start
from ledger.integrity.finding import FsckFinding
from ledger.service import Ledger
from ledger.storage import database
from ledger.storage.database import Schema, writing
from ledger.storage.migration import migrate
from ledger.storage.postgres import PostgresReader
from ledger.storage.sqlite import LEDGER
from ledger.storage.vault_store import VAULT
from ledger.vault import key_encryption_key
from ledger.vault.vault import Vault
from tests.data import make_4a7671d as made
from tests.ledger.conftest import place_in
from tests.ledger.events import NOON, WORDING
from tests.ledger.worlds import AGE, opened, say

GONE = Withdrawn("segmentation")


def lived(home: Path) -> None:
    """A ledger with three customers, of whom one is erased, and an entry of another."""
    with closing(opened(home)) as ledger:
        for each in ("c1", "c2", "c3"):
            say(ledger, each, AGE, GONE, AGE)
        ledger.erase("c1", NOON)
        ledger.erase_entry("c2", ledger.history("c2")[0].index, NOON)
        ledger.export(home / "log" / "consent")


def change(home: Path, schema: Schema, *statements: str) -> None:
    engine = database.of(home).unchecked(schema)
    try:
        with writing(engine) as connection:
            for each in statements:
                connection.execute(text(each))
    finally:
        engine.dispose()


def test_v67_a_ledger_lives_wherever_its_tables_are(placed: Path) -> None:
    lived(placed)
    with closing(Vault(placed / "keys")) as vault:
        vault.rotate(key_encryption_key.FileProvider())
    assert [str(each) for each in fsck(placed)] == []
    assert start.stored_size(placed) == 11
    with closing(opened(placed)) as ledger:
        assert [ledger.version(each) for each in ("c1", "c2", "c3")] == [0, 3, 3]
        assert [each.event.seq for each in ledger.history("c2")] == [2, 3]
        assert ledger.erasures(0).upto == 1
        assert ledger.tombstones().erased_at("c1") == NOON
        say(ledger, "c1", AGE)
        with closing(Follower(placed)) as follower:
            assert follower.root() == ledger.root()
            assert [each.index for each in follower.follow(9)] == [9, 10, 11]
    in_postgres = (placed / database.REMEMBERED).exists()
    assert isinstance(follower._store, PostgresReader) is in_postgres
    assert (placed / VAULT.file).exists() is not in_postgres


def test_v67_what_a_vault_answers_is_the_same_wherever_it_is(placed: Path) -> None:
    with closing(Vault(placed / "keys")) as vault, closing(Vault(placed / "keys")) as other:
        assert vault.create(["c1", "c2", "z\u00fc"]) == {"c1", "c2", "z\u00fc"}
        assert vault.create(["c1"]) == set()
        assert vault.key("a\0b") is None
        keys = dict(vault.data_keys())
        assert [other.key(each) for each in keys] == [*keys.values()]
        vault.bury("c1", NOON)
        vault.destroy("c1")
        assert other.erasures(0).upto == 1
        assert other.reloaded("c1") is None
        other.rotate(key_encryption_key.FileProvider())
        vault.clear_cache()
        assert vault.key("c2") == keys["c2"]
    with closing(Vault(placed / "keys")) as again:
        assert dict(again.data_keys()) == {each: keys[each] for each in ("c2", "z\u00fc")}


DAMAGE: dict[str, tuple[Schema, str, str]] = {
    "an owner's row is gone": (VAULT, "DELETE FROM owner WHERE subject = 'c3'", "index of owners"),
    "a wrapped key was altered": (
        VAULT,
        "UPDATE customer SET wrapped = (SELECT wrapped FROM owner_key) WHERE subject = 'c3'",
        "is missing|no data key derives|cannot be opened",
    ),
    "an idempotency key of no entry": (
        LEDGER,
        "UPDATE idempotency SET first = 99",
        "idempotency: 1 rows",
    ),
    "a tile is gone": (LEDGER, "DELETE FROM tile WHERE level = 0", "missing"),
    "a table is gone": (LEDGER, "DROP TABLE sealed", "sealed"),
}


@pytest.mark.parametrize("why", DAMAGE)
def test_l90_fsck_finds_damage_wherever_it_is(why: str, placed: Path) -> None:
    lived(placed)
    with closing(opened(placed)) as ledger:
        ledger.record([ledger.draft("c3", GONE, at=NOON, wording=WORDING)], idempotency="k")
    schema, statement, finding = DAMAGE[why]
    change(placed, schema, statement)
    found = [*fsck(placed)]
    assert any(_matches(finding, each) for each in found), found
    assert all(each.looked for each in found)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "keys without a log": (
        lambda home: change(home, LEDGER, "DROP SCHEMA ledger CASCADE"),
        "is empty, but 11 entries were published",
    ),
    "a log without keys of customers": (
        lambda home: change(home, VAULT, "DROP SCHEMA vault CASCADE"),
        "is missing or empty, but the log has entries",
    ),
    "no checkpoint": (lambda home: change(home, LEDGER, "DELETE FROM head"), "is missing"),
    "another history": (
        lambda home: change(home, LEDGER, "UPDATE tile SET data = state_tile.data FROM state_tile"),
        "are not those of log/consent",
    ),
    "no table": (lambda home: change(home, LEDGER, "DROP TABLE head"), "no table of a log"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_l123_a_start_on_postgres_that_contradicts_the_past_is_refused(
    why: str, tmp_path: Path, fresh: str
) -> None:
    place_in(tmp_path, fresh)
    lived(tmp_path)
    damage, message = REFUSED[why]
    damage(tmp_path)
    with pytest.raises(CorruptLogError, match=message):
        opened(tmp_path).close()


def test_l107_what_may_not_be_read_is_not_taken_for_clean_on_postgres(
    tmp_path: Path, fresh: str
) -> None:
    place_in(tmp_path, fresh)
    lived(tmp_path)
    with reading_role(tmp_path, fresh, "REVOKE SELECT ON vault.customer FROM reader"):
        found = [*fsck(tmp_path)]
    assert [each.looked for each in found] == [False]
    assert "permission denied" in str(found[0])


def test_v67_a_gate_that_may_only_read_on_postgres_reads(tmp_path: Path, fresh: str) -> None:
    place_in(tmp_path, fresh)
    lived(tmp_path)
    with reading_role(tmp_path, fresh), closing(Follower(tmp_path)) as follower:
        assert [each.index for each in follower.follow(9)] == [9, 10]
        assert follower._vault.key("c3") is not None
        with pytest.raises(database.ReadOnlyError, match="permission denied"):
            follower._vault.create(["c9"])


class reading_role:  # noqa: N801 - reads as what it is: `with reading_role(…):`
    """The data directory is used by a role that may only read."""

    def __init__(self, home: Path, address: str, *more: str) -> None:
        self._home, self._address, self._more = home, address, more

    def __enter__(self) -> None:
        with psycopg.connect(self._address, autocommit=True) as administrator:
            for each in (
                "DROP ROLE IF EXISTS reader",
                "CREATE ROLE reader LOGIN",
                "GRANT USAGE ON SCHEMA ledger, vault TO reader",
                "GRANT SELECT ON ALL TABLES IN SCHEMA ledger, vault TO reader",
                *self._more,
            ):
                administrator.execute(each.encode())
        (self._home / database.REMEMBERED).unlink()
        (self._home / "keys").rename(self._home / "moved")
        place_in(self._home, self._address.replace("postgres:@", "reader:@"))
        for path in (self._home / "moved").iterdir():
            path.rename(self._home / "keys" / path.name)

    def __exit__(self, *_: object) -> None:
        with psycopg.connect(self._address, autocommit=True) as administrator:
            administrator.execute("DROP OWNED BY reader")


def test_v67_a_connection_to_postgres_that_was_lost_is_made_again(
    tmp_path: Path, fresh: str
) -> None:
    place_in(tmp_path, fresh)
    with closing(Vault(tmp_path / "keys")) as vault:
        vault.create(["c1"])
        vault.clear_cache()
        ended = vault._store._kept._driver.info.backend_pid
        with psycopg.connect(fresh, autocommit=True) as administrator:
            administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
        assert vault.key("c1") is not None
        vault.create(["c2"])


def test_v66_the_vault_of_an_old_data_directory_is_migrated(tmp_path: Path) -> None:
    with tarfile.open(made.ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "data"
    with pytest.raises(database.SchemaVersionError, match="sovereign migrate"):
        Vault(home / "keys")
    for schema in (LEDGER, VAULT):
        assert migrate(database.of(home), schema) == ("", schema.version)
    map_binding.bind(home)
    with closing(Ledger.reopen(home)) as ledger:
        assert ledger.version(made.CHOOSING) == 7
        assert ledger.version(made.ERASED) == 0
    assert [str(each) for each in fsck(home)] == []


UNNUMBERED = (  # no version without a version had numbers of customers
    "DROP TABLE numbering",
    "DROP INDEX customer_number",
    "ALTER TABLE customer DROP COLUMN number",
)
LATER = {
    "all tables": (),
    "no count of tombstones": ("DROP TABLE tombstone",),
    "no index of owners": ("DROP TABLE owner", "DROP TABLE owner_key", "DROP TABLE ended"),
    "no generation": ("DROP TABLE kek", "DROP TABLE erased"),
}


@pytest.mark.parametrize("why", LATER)
def test_v66_a_vault_of_a_version_in_between_is_migrated(why: str, tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        say(ledger, "c1", AGE)
    change(tmp_path, VAULT, "DROP TABLE alembic_version", *UNNUMBERED, *LATER[why])
    assert migrate(database.of(tmp_path), VAULT) == ("", VAULT.version)
    with closing(opened(tmp_path)) as ledger:
        assert ledger.version("c1") == 1
    assert [str(each) for each in fsck(tmp_path)] == []


def test_v66_a_migrated_vault_has_the_constraints_of_a_new_one(placed: Path) -> None:
    Vault(placed / "keys").close()
    with pytest.raises(Exception, match=r"(?i)check"):
        change(placed, VAULT, """INSERT INTO erased ("only", lines) VALUES (2, 1)""")


def test_v68_an_erasure_in_postgres_leaves_no_row_to_any_query(tmp_path: Path, fresh: str) -> None:
    place_in(tmp_path, fresh)
    lived(tmp_path)
    with psycopg.connect(fresh, autocommit=True) as administrator:
        for table in ("customer", "owner"):
            administrator.execute("SELECT pg_stat_force_next_flush()")
            query = f"SELECT vacuum_count > 0 FROM pg_stat_user_tables WHERE relname = '{table}'"
            assert administrator.execute(query.encode()).fetchone() == (True,)


def test_l107_fsck_reads_every_value_on_postgres(tmp_path: Path, fresh: str) -> None:
    """A virtual column fails while it is read, as a damaged page does."""
    place_in(tmp_path, fresh)
    lived(tmp_path)
    broken = "int GENERATED ALWAYS AS (1 / level) VIRTUAL"
    change(tmp_path, LEDGER, f"ALTER TABLE tile ADD COLUMN broken {broken}")
    found = [str(each) for each in fsck(tmp_path)]
    assert any("table tile: division by zero" in each for each in found), found


def _matches(finding: str, found: FsckFinding) -> bool:
    return re.search(finding, str(found)) is not None
