"""Clauses L120 to L123 of specs/ledger.md: a drill. Every file and table is damaged, one at a time.

A sample of the damages runs in `make test`, all of them in `make prove`.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from portal.commands import app
from portal.data_directory import inspection, inventory
from portal.data_directory.inventory import Checker, FileDamage
from tests.campaign import sized
from tests.portal.damaged import Injury, injuries, lived

ALL = 10_000  # more than there are
REFUSED = {"ledger.sqlite", "keys/customers.db", "register.sqlite", "steward.sqlite"}


@pytest.fixture(scope="module")
def sound(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data directory, and one of another ledger."""
    folder = tmp_path_factory.mktemp("sound")
    return lived(seeded, folder / "home"), lived(seeded, folder / "other")


def test_l120_every_file_of_a_data_directory_is_listed(sound: tuple[Path, Path]) -> None:
    """A new kind of file goes into portal/data_directory/inventory.py, or this fails."""
    unknown = [file for file in inspection.files(sound[0]) if inventory.kind_of(file) is None]
    assert unknown == []


def test_l120_what_is_not_checked_says_why() -> None:
    for kind in inventory.KINDS:
        assert all(each.why and each.unnoticed for each in kind.limits), kind.pattern
        if kind.checker is Checker.NONE:
            assert kind.unnoticed == {*FileDamage}, kind.pattern


def test_l121_a_sound_directory_is_clean(sound: tuple[Path, Path]) -> None:
    assert fsck(sound[0]) == (0, "clean\n")
    assert fsck(sound[1]) == (0, "clean\n")


@pytest.mark.campaign
def test_l121_fsck_names_every_damaged_file(sound: tuple[Path, Path], tmp_path: Path) -> None:
    home, other = sound
    chance = Random(16)
    every = [each for each in injuries(home, other) if is_noticed(each)]
    assert len(every) > 250
    chosen = chance.sample(every, min(sized(6, ALL), len(every)))
    unnamed = []
    for each in chosen:
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        shutil.copytree(home, tmp_path / "home")
        each.inflict(tmp_path / "home", other, chance)
        status, printed = fsck(tmp_path / "home")
        if status != 1 or each.file not in printed:
            unnamed.append(f"{each}: {status} {printed[:300]}")
    assert not unnamed, "\n".join(unnamed)


def is_noticed(injury: Injury) -> bool:
    kind = inventory.kind_of(injury.file)
    return kind is not None and injury.damage not in kind.unnoticed


def fsck(home: Path) -> tuple[int, str]:
    """Exit status and output of `sovereign fsck --all`; an exception is a traceback."""
    ran = CliRunner().invoke(app, ["fsck", "--data-dir", str(home)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.stdout


@pytest.mark.campaign
def test_l123_no_damaged_database_is_served(sound: tuple[Path, Path], tmp_path: Path) -> None:
    """`sovereign serve`, as an operator starts it, ends at once and says what to do."""
    home, other = sound
    chance = Random(17)
    every = [each for each in injuries(home, other) if is_refused(each)]
    assert len(every) > 20
    for each in chance.sample(every, min(sized(1, ALL), len(every))):
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        shutil.copytree(home, tmp_path / "home")
        each.inflict(tmp_path / "home", other, chance)
        ran = subprocess.run(
            [sys.executable, "-m", "portal.cli", "serve", "--data-dir", str(tmp_path / "home")],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert ran.returncode == 2, f"{each}: {ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr, f"{each}: {ran.stderr}"
        assert "restore" in ran.stderr, f"{each}: {ran.stderr}"


def is_refused(injury: Injury) -> bool:
    """Pages that do not read, and a log or key store that is gone or another's."""
    unread = injury.damage is FileDamage.CHANGED and injury.file in REFUSED
    gone = injury.damage is FileDamage.DELETED and injury.file == "keys/customers.db"
    return unread or gone or injury.file == "ledger.sqlite"
