"""The product's wheels, in an environment with its libraries alone and outside the checkout."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.features.served import ROOT
from tests.features.test_client_package import needed
from tests.licences import PRODUCT, closure

OURS = {PRODUCT, "sovereign-client"}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sovereign`, installed from both wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "clients" / "python"):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    libraries = [each.name for each in closure(PRODUCT) if each.name not in OURS]
    for path in needed(*libraries):
        if not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    python = folder / "venv" / "bin" / "python"
    wheels = sorted(map(str, folder.glob("*.whl")))
    # Without an index pip installs them only if all that they require is there.
    install = [str(python), "-m", "pip", "install", "-q", "--no-index", *wheels]
    subprocess.run(install, check=True, env=_environment())
    return folder / "venv" / "bin" / "sovereign"


def _environment() -> dict[str, str]:
    left_out = {"PIP_FIND_LINKS", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def ran(command: Path, *arguments: str, within: Path) -> str:
    done = subprocess.run(
        [str(command), *arguments],
        cwd=within,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheels_bring_the_example(command: Path, tmp_path: Path) -> None:
    (site,) = (command.parents[1] / "lib").glob("python*/site-packages")
    said = ran(command, "check", str(site / "portal" / "examples" / "bank"), within=tmp_path)
    assert said.endswith("no fault\n")


@pytest.mark.prove
def test_the_demonstration_runs_from_the_wheels(command: Path, tmp_path: Path) -> None:
    said = ran(command, "demo", "--once", within=tmp_path)
    assert "VERIFIED" in said
    assert str(ROOT) not in said
