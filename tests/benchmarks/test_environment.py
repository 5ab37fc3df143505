"""Environments of the foreign peers: what is listed, and what is said when one is not there."""

import tomllib
from pathlib import Path

import pytest

from benchmarks.peers_synthetic import environment
from benchmarks.peers_synthetic.environment import LISTED, MissingEnvironmentError, interpreter


def test_every_package_is_listed_at_one_exact_version() -> None:
    for listed in LISTED.values():
        names = [package.split("==")[0] for package in listed["packages"]]
        assert all(package.count("==") == 1 for package in listed["packages"])
        assert len({*names}) == len(names)


def test_what_is_not_made_is_said_to_be_made_by_make_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    with pytest.raises(MissingEnvironmentError, match=r"\.peers/dpmm.*make peers"):
        interpreter("dpmm")


def test_an_environment_of_other_versions_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    stamp = tmp_path / ".peers" / "dpmm" / "installed.txt"
    stamp.parent.mkdir(parents=True)
    stamp.write_text("3.11\ndpmm==0.0.1")
    with pytest.raises(MissingEnvironmentError, match="renew it with `make peers`"):
        interpreter("dpmm")


def test_an_unknown_environment_is_answered_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="no environment named nobody; there are dpmm"):
        environment.main(["nobody"])


def test_the_wheel_brings_no_peer() -> None:
    project = tomllib.loads((environment.ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert not {".peers", "benchmarks"} & {*packages}
    assert ".peers/" in (environment.ROOT / ".gitignore").read_text().split()
