"""Clauses V1 to V6 and V20 to V24 of specs/vault.md: who keeps the key-encryption key, and how
another takes its place."""

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from moto.server import ThreadedMotoServer

from ledger.fsck import fsck
from ledger.vault import key_encryption_key
from ledger.vault.key_encryption_key import KekError
from ledger.vault.vault import Vault, VaultError
from tests.forked import process as forked
from tests.ledger.rotation import rotate
from tests.ledger.softhsm import WANTED, find_or_install, token
from tests.ledger.worlds import AGE, opened, say

ROOT = Path(__file__).parents[2]
CUSTOMERS = 40
KEEPERS = ("file", "pkcs11", "aws-kms")


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> str:
    if (module := find_or_install()) is None:
        pytest.skip(WANTED)
    return token(module, tmp_path_factory.mktemp("hsm"))


@pytest.fixture(scope="module")
def kms() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def key_at(endpoint: str) -> str:
    client = boto3.client("kms", endpoint_url=endpoint, region_name="eu-central-1")
    return str(client.create_key()["KeyMetadata"]["KeyId"])


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def uri(request: pytest.FixtureRequest, credentials: None) -> Callable[[str], str]:
    """The URI of a KEK provider of a kind."""

    def found(kind: str) -> str:
        match kind:
            case "pkcs11":
                return str(request.getfixturevalue("hsm"))
            case "aws-kms":
                endpoint = request.getfixturevalue("kms")
                return f"aws-kms:{key_at(endpoint)}?region=eu-central-1&endpoint={endpoint}"
            case _:
                return kind

    return found


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with closing(Vault(tmp_path / "keys")) as made:
        made.create(f"c{n}" for n in range(CUSTOMERS))
        yield made


def everything(folder: Path) -> dict[str, bytes]:
    with closing(Vault(folder)) as found:
        return dict(found.data_keys())


@pytest.mark.parametrize("kind", KEEPERS)
def test_v1_the_keys_open_under_every_keeper(
    kind: str, vault: Vault, tmp_path: Path, uri: Callable[[str], str]
) -> None:
    before = dict(vault.data_keys())
    vault.rotate(key_encryption_key.next_generation(uri(kind)))
    assert vault.kek_provider.startswith(kind)
    assert dict(vault.data_keys()) == before
    assert everything(tmp_path / "keys") == before
    vault.create(["late"])
    assert everything(tmp_path / "keys").keys() == {*before, "late"}


@pytest.mark.parametrize("older", KEEPERS)
@pytest.mark.parametrize("newer", KEEPERS)
def test_v2_a_rotation_leads_from_any_keeper_to_any_other(
    older: str, newer: str, vault: Vault, tmp_path: Path, uri: Callable[[str], str]
) -> None:
    before = dict(vault.data_keys())
    for kind in (older, newer):
        vault.rotate(key_encryption_key.next_generation(uri(kind)))
    assert everything(tmp_path / "keys") == before
    assert not (tmp_path / "keys" / "kek.next").exists()


@pytest.mark.parametrize("kind", ["pkcs11", "aws-kms"])
def test_v20_a_copy_of_the_keys_without_their_keeper_opens_nothing(
    kind: str, vault: Vault, tmp_path: Path, uri: Callable[[str], str]
) -> None:
    where = uri(kind)
    vault.rotate(key_encryption_key.next_generation(where))
    secret = vault._kek.key.secret
    assert secret not in (tmp_path / "keys" / "kek").read_bytes()
    stolen = tmp_path / "stolen"
    shutil.copytree(tmp_path / "keys", stolen)
    path = stolen / "kek"
    lines = path.read_text().splitlines()
    other = (
        key_encryption_key.next_generation(uri(kind))
        if kind == "aws-kms"
        else key_encryption_key.next_generation(where)
    )
    other.seal(bytes(32))
    path.write_text("\n".join([lines[0], other.uri, lines[2], ""]))
    with pytest.raises(VaultError, match="check that it is there"):
        Vault(stolen)


def test_v21_the_token_key_of_an_earlier_generation_is_destroyed(
    vault: Vault, tmp_path: Path, uri: Callable[[str], str]
) -> None:
    where = uri("pkcs11")
    vault.rotate(key_encryption_key.next_generation(where))
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "keys", kept)
    assert everything(kept)
    vault.rotate(key_encryption_key.next_generation(where))
    with pytest.raises(VaultError, match="NoSuchKey"):
        Vault(kept)


def test_v21_nor_does_a_rotation_that_failed_leave_a_key_in_the_token(
    vault: Vault, tmp_path: Path, uri: Callable[[str], str]
) -> None:
    where = uri("pkcs11")

    def fails(done: int, _of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vault.rotate(key_encryption_key.next_generation(where), fails)
    left = key_encryption_key.read(tmp_path / "keys" / "kek.next")
    left.open()
    vault.rotate(key_encryption_key.next_generation(where))
    with pytest.raises(KekError, match="NoSuchKey"):
        left.open()


def test_v3_the_old_key_opens_nothing_afterwards(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    older = (folder / "kek").read_bytes()
    vault.rotate(key_encryption_key.FileProvider())
    assert older not in b"".join(path.read_bytes() for path in folder.iterdir())
    with closing(sqlite3.connect(folder / "customers.db")) as database:
        for (wrapped,) in database.execute("SELECT wrapped FROM customer"):
            with pytest.raises(InvalidUnwrap):
                aes_key_unwrap(older, wrapped)


def test_v4_whoever_has_the_vault_open_meanwhile_goes_on(vault: Vault, tmp_path: Path) -> None:
    before = dict(vault.data_keys())
    with closing(Vault(tmp_path / "keys")) as other, closing(Vault(tmp_path / "keys")) as third:
        vault.rotate(key_encryption_key.FileProvider())
        assert other.key("c3") == before["c3"]
        assert dict(third.data_keys()) == before
        third.create(["new"])
        vault.rotate(key_encryption_key.FileProvider())
        assert dict(other.data_keys()) == everything(tmp_path / "keys")
    assert everything(tmp_path / "keys").keys() == {*before, "new"}


def rotated(folder: Path, nth: int, to: str) -> bool:
    """Rotate in a process that is killed at its nth step; whether it was alive at the end."""
    status = forked.call(rotate, folder, nth, to, dict(os.environ))
    assert status in {0, -9}, status
    return status == 0


@pytest.mark.parametrize("kind", ["file", "pkcs11"])
def test_v5_killed_at_any_step_the_vault_opens_and_the_next_rotation_ends(
    kind: str, tmp_path: Path, uri: Callable[[str], str]
) -> None:
    where = uri(kind)
    with closing(Vault(tmp_path / "keys")) as made:
        made.create(["c1", "c2", "c3"])
        want = dict(made.data_keys())
    nth, truths = 1, set()
    while True:
        folder = tmp_path / f"killed-{nth}"
        shutil.copytree(tmp_path / "keys", folder)
        older = key_encryption_key.read(folder / "kek").generation
        alive = rotated(folder, nth, where)
        assert everything(folder) == want, f"killed at step {nth}"
        with closing(Vault(folder)) as again:
            truths.add(again._kek.key.generation == older)
            again.create(["c4"])
            again.rotate(key_encryption_key.next_generation(where))
        assert everything(folder).keys() == {*want, "c4"}
        assert not (folder / "kek.next").exists()
        if alive:
            break
        nth += 1
    assert nth > 8, "the child has more steps than that, or it was killed at none of them"
    assert truths == {True, False}, "killed before and after the commit"


def test_v5_a_rotation_that_fails_leaves_the_old_key_in_force(vault: Vault, tmp_path: Path) -> None:
    before = dict(vault.data_keys())

    def fails(done: int, of: int) -> None:
        if done == of // 2:
            raise KeyboardInterrupt

    generation = vault._kek.key.generation
    with pytest.raises(KeyboardInterrupt):
        vault.rotate(key_encryption_key.FileProvider(), fails)
    assert (vault._kek.key.generation, everything(tmp_path / "keys")) == (generation, before)
    vault.create(["after"])
    assert "after" in everything(tmp_path / "keys")


def test_v6_a_ledger_of_before_generations_had_names_goes_on(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "keys" / "customers.db")) as database:
        database.execute("DELETE FROM kek")
        database.commit()
    again = opened(tmp_path)
    assert again.version("c1") == 1
    again.close()
    assert [*fsck(tmp_path)] == []


def test_v6_the_wrong_key_is_not_taken_for_the_first(tmp_path: Path) -> None:
    with closing(Vault(tmp_path / "keys")) as made:
        made.create(["c1"])
        with made._store.writing():
            made._store._kept.execute("DELETE FROM kek")
    (tmp_path / "keys" / "kek").write_bytes(bytes(32))
    with pytest.raises(VaultError, match="cannot be opened"):
        Vault(tmp_path / "keys")


SEALED = f"{key_encryption_key.HEADER} {'0' * 32}\naws-kms:k\nAAAA\n"
MALFORMED = {
    "nothing": b"",
    "a byte short": bytes(31),
    "another header": SEALED.replace("v1", "v2").encode(),
    "a line short": SEALED.rpartition("AAAA")[0].encode(),
    "a line long": f"{SEALED}x\n".encode(),
    "not base64": SEALED.replace("AAAA", "!!!!").encode(),
    "not ASCII": SEALED.replace("AAAA", "Ä").encode(),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_v22_a_file_that_holds_no_key_is_refused(why: str, tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_bytes(MALFORMED[why])
    with pytest.raises(KekError, match="want 32 or a sealed key"):
        key_encryption_key.read(path)


NO_KEEPERS = {
    "no such scheme": ("vault:x", "want file, pkcs11:… or aws-kms:…"),
    "no token": ("pkcs11:object=x?module-path=/lib/x.so", "has no token="),
    "no module": ("pkcs11:token=x", "has no module-path="),
    "no key": ("aws-kms:?region=x", "want aws-kms: and the id or ARN"),
}


@pytest.mark.parametrize("why", NO_KEEPERS)
def test_v22_a_keeper_that_is_none_is_refused(why: str) -> None:
    text, message = NO_KEEPERS[why]
    with pytest.raises(KekError, match=message):
        key_encryption_key.provider(text)


def test_v23_no_pin_and_no_key_stands_in_an_error_or_a_name(uri: Callable[[str], str]) -> None:
    where = uri("pkcs11")
    assert "pin-source=" in where
    assert "1234" not in key_encryption_key.next_generation(where).uri
    wrong = where.partition("&pin-source=")[0]
    with pytest.raises(KekError, match="UserNotLoggedIn"):
        key_encryption_key.next_generation(wrong).seal(bytes(32))
    made = key_encryption_key.generate()
    assert made.secret.hex() not in repr(made)
    assert repr(made.secret) not in repr(made)


def test_v24_a_service_that_cannot_be_reached_says_what_to_do(credentials: None) -> None:
    gone = key_encryption_key.provider(
        "aws-kms:some-key?region=eu-central-1&endpoint=http://127.0.0.1:9"
    )
    with pytest.raises(KekError, match="check that it is there"):
        gone.open(b"sealed")


@pytest.mark.parametrize(
    ("library", "where", "extra"),
    [("boto3", "aws-kms:key", "kms"), ("pkcs11", "pkcs11:token=a?module-path=/lib/a.so", "pkcs11")],
)
def test_v24_a_library_that_is_not_installed_is_named_with_its_extra(
    library: str, where: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(KekError, match=f"install customer-sovereignty.{extra}"):
        key_encryption_key.provider(where).open(bytes(60))


def test_v24_a_module_or_a_pin_that_is_not_there_says_where_it_was_wanted(
    uri: Callable[[str], str], tmp_path: Path
) -> None:
    where = uri("pkcs11")
    gone = where.replace("pin-source=", f"pin-source={tmp_path}/no")
    with pytest.raises(KekError, match="cannot read the PIN from"):
        key_encryption_key.provider(gone).open(bytes(60))
    nowhere = key_encryption_key.provider(f"pkcs11:token=house?module-path={tmp_path}/none.so")
    with pytest.raises(KekError, match="check that it is there"):
        nowhere.open(bytes(60))


def test_v24_the_service_that_is_gone_keeps_the_ledger_closed(
    tmp_path: Path, uri: Callable[[str], str]
) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    with closing(Vault(tmp_path / "keys")) as vault:
        vault.rotate(key_encryption_key.next_generation(uri("aws-kms")))
    path = tmp_path / "keys" / "kek"
    kept = path.read_text()
    path.write_text(re.sub(r"endpoint=\S+", "endpoint=http://127.0.0.1:9", kept))
    with pytest.raises(VaultError, match="check that it is there"):
        opened(tmp_path)
    path.write_text(kept)
    again = opened(tmp_path)
    assert again.version("c1") == 1
    again.close()
