"""A secret key file holds a whole secret, or nothing is derived from it."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from portal.commands import app
from portal.operations.wiring import SECRET, SecretError, secret


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "surrogate.key"
    made = secret(path)
    assert len(made) == 32
    assert secret(path) == made
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_size_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "surrogate.key"
    path.write_bytes(bytes(size))
    with pytest.raises(SecretError, match=rf"surrogate\.key has {size} bytes, want 32"):
        secret(path)
    assert len(path.read_bytes()) == size


def test_a_damaged_secret_stops_the_start_in_a_sentence(seeded: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(seeded, tmp_path / "home"))
    (home / SECRET).write_bytes(b"")
    done = CliRunner().invoke(app, ["serve", "--data-dir", str(home)])
    assert done.exit_code == 1
    assert "surrogate.key has 0 bytes, want 32" in done.output
    assert "Traceback" not in done.output
