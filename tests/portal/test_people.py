"""Passkeys and ids of keys that sign consent, in SQLite and in PostgreSQL."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.storage.database import Database, SchemaVersionError
from ledger.storage.migration import migrate
from portal.auth import passkeys
from portal.auth.consent_keys import ConsentKeyStore
from portal.auth.passkeys import Host, PasskeyError, Passkeys
from portal.storage.people import PEOPLE
from tests.portal.authenticator import Key
from tests.portal.conftest import START
from tests.postgres import fresh, stored_at

HERE = Host("testserver", "http://testserver")


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    address = request.getfixturevalue("address") if request.param == "postgresql" else ""
    with stored_at(tmp_path / "home", fresh(address) if address else "") as home:
        yield home


def added(store: Passkeys, subject: str = "c1") -> Key:
    key = Key(id=secrets.token_bytes(16))
    challenge, options = store.offer(subject, "Somebody", HERE)
    made = key.made(json.loads(options))
    store.add(subject, made, challenge, HERE, START)
    return key


def used(store: Passkeys, key: Key) -> str:
    challenge, options = store.ask(HERE)
    return store.whose(key.used(json.loads(options)), challenge, HERE)


def test_a_passkey_signs_its_customer_in_until_it_is_removed(home: Path) -> None:
    store = Passkeys(home)
    key, other = added(store), added(store, "c2")
    assert (used(store, key), used(Passkeys(home), other)) == ("c1", "c2")
    (shown,) = store.of("c1")
    assert shown.added == START
    assert not store.remove("c2", shown.id)
    assert not store.remove("c1", "no hex")
    assert store.remove("c1", shown.id)
    with pytest.raises(PasskeyError, match="unknown"):
        used(store, key)


def test_a_counter_that_does_not_rise_is_refused_in_every_process(home: Path) -> None:
    store = Passkeys(home)
    key = added(store)
    used(store, replace(key, count=7))
    with pytest.raises(PasskeyError, match="want a counter above 7"):
        used(Passkeys(home), replace(key, count=7))


def test_a_customer_has_a_limited_number_of_passkeys(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passkeys, "MAX_KEYS", 2)
    store = Passkeys(home)
    added(store)
    added(store)
    with pytest.raises(PasskeyError, match="2 passkeys already"):
        added(store)
    assert store.forget("c1") == 2
    assert store.of("c1") == []


def test_the_id_of_a_key_is_stored_once_and_forgotten(home: Path) -> None:
    store = ConsentKeyStore(home)
    store.keep("c1", b"credential", b"key")
    with pytest.raises(PasskeyError, match="registered already"):
        store.keep("c2", b"credential", b"another")
    assert ConsentKeyStore(home).of("c1") == {b"key": b"credential"}
    store.forget("c1")
    assert store.of("c1") == {}


SIGNING_IN = """
CREATE TABLE IF NOT EXISTS person (subject TEXT PRIMARY KEY, handle BLOB UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS passkey (
  id BLOB PRIMARY KEY, subject TEXT NOT NULL, key BLOB NOT NULL, count INTEGER NOT NULL,
  copied INTEGER NOT NULL, added TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_subject ON passkey (subject, added);
INSERT INTO person VALUES ('c1', x'01');
INSERT INTO passkey VALUES (x'02', 'c1', x'03', 4, 1, '2026-01-01T12:00:00+00:00');
"""
SIGNING_CONSENT = """
CREATE TABLE IF NOT EXISTS consent_credential (
  id BLOB PRIMARY KEY, subject TEXT NOT NULL, key BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS credential_by_subject ON consent_credential (subject);
INSERT INTO consent_credential VALUES (x'04', 'c1', x'05');
"""
EARLIER = {
    "as commit 4a7671d made both": SIGNING_IN + SIGNING_CONSENT,
    "as commit 4a7671d made the first": SIGNING_IN,
    "as commit 4a7671d made the second": SIGNING_CONSENT,
    "as later commits made both": SIGNING_IN
    + SIGNING_CONSENT
    + "ALTER TABLE passkey ADD COLUMN eligible INTEGER;",
}


@pytest.mark.parametrize("why", EARLIER)
def test_tables_of_earlier_programs_are_migrated(tmp_path: Path, why: str) -> None:
    with closing(sqlite3.connect(tmp_path / PEOPLE.file)) as earlier:
        earlier.executescript(EARLIER[why])
    with pytest.raises(SchemaVersionError, match="sovereign migrate"):
        Passkeys(tmp_path)
    assert migrate(Database(tmp_path), PEOPLE) == ("", PEOPLE.version)
    shown = [(key.id, key.copied) for key in Passkeys(tmp_path).of("c1")]
    assert shown == ([("02", True)] if "person" in EARLIER[why] else [])
    signing = {b"\5": b"\4"} if "credential" in EARLIER[why] else {}
    assert ConsentKeyStore(tmp_path).of("c1") == signing
    added(Passkeys(tmp_path), "c2")
