"""Clauses L130 to L136 of specs/ledger.md. For what is served: tests/features/test_backup.py."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger import clock
from ledger.events.envelope import Granted, Wording
from ledger.service import Ledger
from ledger.tlog import checkpoint, signed_note
from portal.commands import app
from portal.data_directory import backup as backups
from portal.data_directory import inspection, inventory
from portal.data_directory.backup_manifest import BackupError
from portal.data_directory.inventory import Part
from portal.operations import open_ledger
from portal.operations.erasure import Eraser
from portal.operations.settings import Settings
from portal.operations.wiring import open_product
from steward.oversight.register import Register
from tests.portal.damaged import LIVING, lived


def run(*words: object) -> tuple[int, str]:
    ran = CliRunner().invoke(app, [*map(str, words)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.output.strip()


@pytest.fixture(scope="module")
def made(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`home`, and its backup in `ledger` and `keys`."""
    folder = tmp_path_factory.mktemp("made")
    lived(seeded, folder / "home")
    status, printed = run(
        "backup", folder / "ledger", "--keys-to", folder / "keys", "--data-dir", folder / "home"
    )
    assert status == 0, printed
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "all")
    return tmp_path / "all"


def restored(folder: Path, *more: object) -> tuple[int, str]:
    arguments = "restore", folder / "ledger", "--keys", folder / "keys", "--data-dir"
    return run(*arguments, folder / "new", *more)


def test_l130_the_ledgers_part_has_no_private_key_and_names_nobody(made: Path) -> None:
    for file in inspection.files(made / "ledger"):
        kind = inventory.kind_of(file)
        assert file == "manifest.json" or (kind and kind.part is Part.LEDGER), file
        data = (made / "ledger" / file).read_bytes()
        assert b"PRIVATE" not in data
        assert LIVING.encode() not in data, file
    assert (made / "keys" / "keys" / "customers.db").exists()


def test_l130_each_file_is_in_its_part_unless_it_is_written_again(made: Path) -> None:
    here = {*inspection.files(made / "ledger"), *inspection.files(made / "keys")}
    for file in inspection.files(made / "home"):
        kind = inventory.kind_of(file)
        assert kind is not None
        assert (file in here) == (kind.part is not Part.NONE), file


def test_l130_keys_of_an_earlier_backup_restore_with_a_later_ledger(folder: Path) -> None:
    """Somebody new came in between: what they chose cannot be read, and nothing else is lost."""
    home, later = folder / "home", folder / "later"
    with closing(Ledger.reopen(home)) as ledger:
        act, words = Granted("segmentation", ("age",), None), Wording("en", bytes(32))
        ledger.record([ledger.draft("newcomer", act, at=clock.now(), wording=words)])
        before = ledger.history(LIVING)
    assert run("backup", later, "--without-keys", "--data-dir", home)[0] == 0
    status, printed = run("restore", later, "--keys", folder / "keys", "--data-dir", folder / "new")
    assert status == 0, printed
    assert run("fsck", "--data-dir", folder / "new") == (0, "clean")
    with closing(Ledger.reopen(folder / "new")) as ledger:
        assert ledger.history(LIVING) == before
        assert ledger.history("newcomer") == []


PRIVATE = ["kek", "consent.key", "state.key", "surrogate.key", "archive.key", "webhook-crm.whsec"]


def test_l130_no_private_key_is_in_the_ledgers_part_whatever_the_inventory_says(
    made: Path,
) -> None:
    """Judged by the bytes, not by the list that the backup copies by."""
    secrets = [(made / "home" / "keys" / name).read_bytes().strip() for name in PRIVATE]
    for file in inspection.files(made / "ledger"):
        data = (made / "ledger" / file).read_bytes()
        assert [name for name, each in zip(PRIVATE, secrets, strict=True) if each in data] == []
        assert not file.startswith("keys/") or file.endswith((".vkey", ".retired.policy")), file
        assert file not in {"passkeys.sqlite", "customers.duckdb"}


@pytest.mark.parametrize(
    "options", [[], ["--without-keys", "--keys-to", "{tmp}/k"]], ids=["neither", "both"]
)
def test_l130_where_the_keys_go_must_be_told(
    made: Path, tmp_path: Path, options: list[str]
) -> None:
    words = [each.format(tmp=tmp_path) for each in options]
    status, printed = run("backup", tmp_path / "b", *words, "--data-dir", made / "home")
    assert (status, [*tmp_path.iterdir()]) == (2, [])
    assert "--keys-to FOLDER or --without-keys" in printed


APART = {
    "keys in the log's folder": ("{tmp}/b", "{tmp}/b/keys"),
    "the log in the keys' folder": ("{tmp}/k/b", "{tmp}/k"),
    "in the data directory": ("{home}/b", "{tmp}/k"),
    "keys in the data directory": ("{tmp}/b", "{home}/keys"),
}


@pytest.mark.parametrize("why", APART)
def test_l130_log_and_keys_never_share_a_folder(why: str, folder: Path, tmp_path: Path) -> None:
    places = [each.format(tmp=tmp_path, home=folder / "home") for each in APART[why]]
    before = [*inspection.files(folder)]
    status, printed = run(
        "backup", places[0], "--keys-to", places[1], "--data-dir", folder / "home"
    )
    assert status == 1
    assert "apart" in printed
    assert [*inspection.files(folder)] == before


def test_l131_a_new_folder_for_each_backup(folder: Path) -> None:
    words = "backup", folder / "ledger", "--without-keys", "--data-dir", folder / "home"
    status, printed = run(*words)
    assert status == 1
    assert "is not empty" in printed


def test_l132_a_restored_directory_is_clean_and_says_where_it_stands(folder: Path) -> None:
    status, printed = restored(folder, "--published", folder / "home" / "log")
    assert status == 0, printed
    manifest = json.loads((folder / "ledger" / "manifest.json").read_bytes())
    assert f"stands at entry {manifest['size']}, root {manifest['root']}" in printed
    assert run("fsck", "--data-dir", folder / "new") == (0, "clean")
    product = open_product(Settings(data_dir=folder / "new", demo=True))
    assert product.ledger.size > manifest["size"]  # it goes on
    assert product.ledger.version(LIVING)
    product.ledger.close()
    product.reads.close()


def test_l132_without_keys_it_can_be_audited_and_not_opened(folder: Path) -> None:
    status, printed = run("restore", folder / "ledger", "--data-dir", folder / "new")
    assert status == 0, printed
    assert "without keys" in printed
    status, printed = run("export", folder / "public", "--data-dir", folder / "new")
    assert status == 2
    assert "customers.db is missing" in printed


def flip(file: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = bytearray((folder / file).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / file).write_bytes(data)

    return damage


def rewritten(file: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return damage


def occupied(folder: Path) -> None:
    (folder / "new").mkdir()
    (folder / "new" / "x").touch()


def exchanged_keys(folder: Path) -> None:
    other = folder / "keys" / "manifest.json"
    other.write_text(other.read_text().replace("demo.sovereign.example", "other.example"))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file changed": (flip("ledger/ledger.sqlite"), "has other bytes"),
    "a file missing": (lambda f: (f / "ledger/ledger.sqlite").unlink(), "is missing"),
    "a file more": (lambda f: (f / "ledger/more").write_text("x"), "is not listed"),
    "a key changed": (flip("keys/keys/kek"), "has other bytes"),
    "no manifest": (lambda f: (f / "ledger/manifest.json").unlink(), "was not finished"),
    "a manifest that is cut off": (
        lambda f: (f / "ledger/manifest.json").write_text("{"),
        "is not a sovereign-backup/v1",
    ),
    "another format": (
        rewritten("ledger/manifest.json", "backup/v1", "backup/v2"),
        "is not a sovereign-backup/v1",
    ),
    "a path that leads elsewhere": (
        rewritten("ledger/manifest.json", '"erased"', '"../erased"'),
        "is not a sovereign-backup/v1",
    ),
    "the parts exchanged": (
        lambda f: (
            (f / "keys").rename(f / "k")
            and (f / "ledger").rename(f / "keys")
            and (f / "k").rename(f / "ledger")
        ),
        "is the part 'keys' of a backup, want 'ledger'",
    ),
    "keys of another ledger": (exchanged_keys, "give the keys of the same ledger"),
    "a folder with something in it": (
        occupied,
        "is not empty",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_l133_a_backup_that_is_not_whole_is_refused(why: str, folder: Path) -> None:
    damage, message = REFUSED[why]
    damage(folder)
    status, printed = restored(folder)
    assert status == 1, printed
    assert message in " ".join(printed.split())
    assert not (folder / "new" / "ledger.sqlite").exists()
    assert not (folder / "new.restoring").exists()


def erase(home: Path, subject: str) -> None:
    with open_ledger.writing(home) as ledger:
        register = Register(home, ledger)
        Eraser(home, ledger, register).customer(subject, clock.now())


def test_l134_whoever_is_in_a_newer_erasure_list_is_erased_with_their_traces(
    folder: Path,
) -> None:
    home = folder / "home"
    (receipt,) = [path.name for path in (home / "receipts").iterdir()]
    assert (folder / "ledger" / "receipts" / receipt).exists()
    erase(home, LIVING)
    status, printed = restored(folder, "--erased", home / "erased")
    assert status == 0, printed
    assert "1 customers who were erased since then were erased again" in printed
    new = folder / "new"
    assert (new / "erased").read_bytes() == (home / "erased").read_bytes()
    assert not (new / "receipts" / receipt).exists()
    for file in inspection.files(new):
        if file != "customers.duckdb":  # the company's own rows
            assert LIVING.encode() not in (new / file).read_bytes(), file
    assert run("fsck", "--data-dir", new) == (0, "clean")


def test_l134_a_list_of_another_ledger_is_refused(folder: Path) -> None:
    (folder / "other").write_text(f"key {'0' * 64}\n" * 9)
    status, printed = restored(folder, "--erased", folder / "other")
    assert status == 1
    assert "is no beginning of the longest erasure list" in printed


def test_l135_what_was_published_since_is_refused(folder: Path) -> None:
    home = folder / "home"
    erase(home, LIVING)
    assert run("export", home / "log/consent", "--data-dir", home)[0] == 0
    text = (home / "log/consent/checkpoint").read_text()
    newest = checkpoint.parse(signed_note.parse(text).text).size
    status, printed = restored(folder, "--published", home / "log")
    assert status == 1
    assert "1 of the newer ones erase a customer" in printed
    assert f"made at or after entry {newest}" in printed
    assert not (folder / "new").exists()


def test_l136_a_rotation_in_between_makes_the_copy_begin_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real rotation, between the copy of the log and that of its keys."""
    home, copied, rotations = folder / "home", backups._key_store, 0

    def key_store(source: Path, into: Path) -> None:
        nonlocal rotations
        if not rotations:
            rotations += 1
            assert run("rotate-key", "--data-dir", home)[0] == 0
        copied(source, into)

    monkeypatch.setattr(backups, "_key_store", key_store)
    backups.backup(home, folder / "again", folder / "again-keys", clock.now())
    words = "restore", folder / "again", "--keys", folder / "again-keys"
    status, printed = run(*words, "--data-dir", folder / "new")
    assert (status, rotations) == (0, 1), printed
    status, printed = run("export", folder / "public", "--data-dir", folder / "new")
    assert status == 0, printed


def test_l136_a_damaged_database_is_not_backed_up(folder: Path) -> None:
    (folder / "home" / "steward.sqlite").write_bytes(b"no database" * 999)
    with pytest.raises(BackupError, match="run `sovereign fsck`"):
        backups.backup(folder / "home", folder / "b", folder / "k", clock.now())


def test_l130_a_restored_directory_knows_whose_it_is(folder: Path) -> None:
    assert restored(folder)[0] == 0
    remembered = (folder / "new" / "company.json").read_bytes()
    assert remembered == (folder / "home" / "company.json").read_bytes()
    assert json.loads(remembered)["folder"]


def test_l121_fsck_names_a_company_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "home" / "company.json").write_text('{"folder": 3, "settings": []}')
    status, printed = run("fsck", "--data-dir", folder / "home")
    assert (status, "company.json" in printed) == (1, True), printed
