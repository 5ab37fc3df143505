"""Clauses I30, I31 and I36 of specs/portability.md: an old export brings nobody back.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.service import Ledger
from ledger.vault import tombstones
from portal.commands import app
from tests.portal.imports.runs import GOOD, ME, YOU, erase, row, run, size, state


def test_i30_an_old_export_brings_nobody_back(home: Path) -> None:
    week1 = f"subject,scene,at\n{ME},direct-marketing,2026-03-01\n"
    assert run(home, week1).exit_code == 0
    erase(home)
    done = run(home, f"{week1}{YOU},direct-marketing,2026-03-02\n")
    assert done.exit_code == 0
    assert "skipped: line 2: given before the customer was erased here" in done.output
    assert "1 rows are older than an erasure" in done.output
    assert "1 instructions of class D recorded" in done.output
    assert state(home) is None
    assert isinstance(state(home, YOU), SceneConsent)
    ledger = Ledger.reopen(home)
    assert ME not in ledger.subjects(), "no key is made for somebody who was erased"
    ledger.close()


def test_i30_nor_does_the_very_same_file(home: Path) -> None:
    run(home, GOOD)
    erase(home)
    done = run(home, GOOD)
    assert (done.exit_code, "1 rows are older" in done.output) == (0, True)
    assert state(home) is None


def erased_on(home: Path, at: datetime) -> None:
    """ME gave an instruction and was erased at `at`."""
    run(home, row(at="2026-01-01"))
    ledger = Ledger.reopen(home)
    ledger.erase(ME, at)
    ledger.close()


AFTER = {
    "2026-05-01T11:59:59Z": False,
    "2026-05-01T12:00:00Z": False,  # within the second of the erasure
    "2026-05-01T12:00:00.999Z": False,
    "2026-05-01T12:00Z": False,  # within the minute
    "2026-05-01": False,  # within the day
    "2026-05-01T12:00:01Z": True,
    "2026-05-01T14:00:01+02:00": True,
    "2026-05-02": True,
}


@pytest.mark.parametrize("at", AFTER)
def test_i30_who_came_back_is_taken(at: str, home: Path) -> None:
    erased_on(home, datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert run(home, row(at=at)).exit_code == 0
    assert isinstance(state(home), SceneConsent) is AFTER[at]


def test_i30_nor_is_an_old_withdrawal_recorded(home: Path) -> None:
    erased_on(home, datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert run(home, row(status="withdrawn")).exit_code == 0
    assert state(home) is None


DAMAGES = {
    "the key of the tombstones is lost": lambda home: (home / "keys" / tombstones.KEY).unlink(),
    "the tombstones are lost": lambda home: (home / tombstones.NAME).unlink(),
}


@pytest.mark.parametrize("why", DAMAGES)
def test_i30_who_was_erased_must_be_known(why: str, home: Path) -> None:
    run(home, GOOD)
    erase(home)
    before, whole = size(home), home.parent / "whole"
    shutil.copytree(home, whole)
    DAMAGES[why](home)
    done = run(home, GOOD)
    assert (done.exit_code, "restore" in done.output) == (2, True)
    assert len(done.output.strip().splitlines()) == 1
    for name in (tombstones.NAME, f"keys/{tombstones.KEY}"):
        shutil.copy(whole / name, home / name)
    assert size(home) == before


def test_i30_a_data_directory_from_before_tombstones_works(home: Path) -> None:
    (home / "keys" / tombstones.KEY).unlink()
    assert run(home, GOOD).exit_code == 0
    erase(home)
    assert "1 rows are older" in run(home, GOOD).output


def exported(home: Path, subject: str = ME) -> Path:
    path = home.parent / f"{subject}.zip"
    words = ["export-customer", subject, str(path), "--data-dir", str(home)]
    assert CliRunner().invoke(app, words).exit_code == 0
    return path


def brought(home: Path, archive: Path) -> Result:
    done = CliRunner().invoke(app, ["import-archive", str(archive), "--data-dir", str(home)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_i31_an_archive_from_before_the_erasure_is_refused(home: Path) -> None:
    run(home, GOOD)
    archive = exported(home)
    erase(home)
    before = size(home)
    done = brought(home, archive)
    assert (done.exit_code, "was erased here after" in done.output) == (1, True)
    assert (size(home), state(home)) == (before, None)
    assert not [*(home / "archives").rglob("*.sealed")]


def test_i31_of_an_archive_what_was_given_after_the_erasure_is_taken(
    home: Path, seeded: Path
) -> None:
    """The customer went on elsewhere: one scene before the erasure here, one after it."""
    other = Path(shutil.copytree(seeded, home.parent / "other"))
    text = row(at="2026-03-01") + f"{ME},segmentation,2026-06-01,granted\n"
    assert run(other, text).exit_code == 0
    archive = exported(other)
    erased_on(home, datetime(2026, 5, 1, 12, tzinfo=UTC))
    done = brought(home, archive)
    assert done.exit_code == 0, done.output
    assert "direct-marketing: given before the customer was erased here" in done.output
    assert state(home) is None
    assert isinstance(state(home, ME, "segmentation"), SceneConsent)


def test_i31_an_archive_leaves_a_tombstone_too(home: Path, seeded: Path) -> None:
    """Somebody who came with an archive and was erased does not come back with it."""
    other = Path(shutil.copytree(seeded, home.parent / "other"))
    run(other, GOOD)
    archive = exported(other)
    assert brought(home, archive).exit_code == 0
    erase(home)
    assert brought(home, archive).exit_code == 1
    assert state(home) is None


def test_i31_an_archive_of_nobody_in_the_source_is_refused(home: Path, seeded: Path) -> None:
    import duckdb

    other = Path(shutil.copytree(seeded, home.parent / "other"))
    run(other, GOOD)
    archive = exported(other)
    with duckdb.connect(str(home / "customers.duckdb")) as database:
        database.execute("DELETE FROM customer WHERE id = ?", [ME])
    done = brought(home, archive)
    assert (done.exit_code, "customer of the source" in done.output) == (1, True)
    assert state(home) is None


def test_i36_what_was_given_before_a_deletion_at_the_source_does_not_come_back(home: Path) -> None:
    words = ["customers", "deleted", ME, "--data-dir", str(home)]
    unknown = CliRunner().invoke(app, words)
    assert unknown.exit_code == 1
    assert "the first is 'c00041' (check the numbers" in unknown.output
    assert unknown.output.endswith(": nothing was recorded\n")
    assert run(home, GOOD).exit_code == 0
    assert CliRunner().invoke(app, words).output == "1 customers deleted at the source\n"
    assert "; 1 were recorded before" in CliRunner().invoke(app, words).output
    for scene in ("direct-marketing", "segmentation"):
        old = run(home, f"subject,scene,at\n{ME},{scene},2026-03-02\n")
        assert f"a newer instruction on {scene} exists here" in old.output
        assert not isinstance(state(home, scene=scene), SceneConsent)


def test_i36_nor_does_an_archive_of_before(home: Path, tmp_path: Path) -> None:
    assert run(home, GOOD).exit_code == 0
    archive = tmp_path / "archive.zip"
    export = ["export-customer", ME, str(archive), "--data-dir", str(home)]
    assert CliRunner().invoke(app, export).exit_code == 0
    CliRunner().invoke(app, ["customers", "deleted", ME, "--data-dir", str(home)])
    imported = ["import-archive", str(archive), "--data-dir", str(home)]
    done = CliRunner().invoke(app, imported)
    assert "given before the company deleted the customer" in done.output
    assert isinstance(state(home), SceneWithdrawal)


@pytest.mark.parametrize("command", ["merge", "split", "rename"])
def test_i36_what_was_given_before_a_merge_split_or_rename_opens_nothing_after_it(
    home: Path, command: str
) -> None:
    """Nobody can say any more which of the two gave it, and one of them may have refused."""
    other = "c00042"
    assert run(home, f"subject,scene,at\n{ME},segmentation,2026-03-01\n").exit_code == 0
    with closing(Ledger.reopen(home)) as ledger:
        ledger.create_keys([other])  # as the server does for whom it finds in the source
    words = ["customers", command, ME, other, "--data-dir", str(home)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    old = run(home, f"subject,scene,at\n{other},direct-marketing,2026-03-02\n")
    assert "given before the company merged, split or renamed the customer" in old.output
    assert not isinstance(state(home, other, scene="direct-marketing"), SceneConsent)
