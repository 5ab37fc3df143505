"""One small bank, served once for all tests of this folder; each test uses its own customer."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.features import signals
from tests.features.served import ROOT, Person, Site, done, sovereign

FIRST_NEWCOMER = 201  # see seeding.py
IMPORTED, EXPIRED = "c00299", "c00300"
LEGACY = f"""subject,scene,fields,status,at,until
{IMPORTED},direct-marketing,name;email,granted,{{at}},
{EXPIRED},nearest-branch,*,granted,2025-01-10T09:00:00Z,2025-06-30T00:00:00Z
"""
ASSUMED = """subject,scene,fields,status,at
c00298,direct-marketing,name,assumed,{at}
"""


@dataclass(frozen=True, slots=True)
class Bank:
    """A data directory as its operator prepared it. `printed`: what the commands printed."""

    home: Path
    monitor_key: Path
    printed: Mapping[str, str]


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """A small bank of this process's own, not served yet."""
    folder = tmp_path_factory.mktemp("bank")
    home = shutil.copytree(prepared(_run(tmp_path_factory)), folder / "data")
    keys = home / "operator"
    printed = json.loads((keys / "printed.json").read_text("utf-8"))
    return Bank(home, keys / f"{signals.SOURCE}.key", printed)


def prepared(run: Path) -> Path:
    """The data directory that all processes of a test run copy; the first one makes it."""
    home = run / "prepared"
    with (run / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "operator" / "printed.json").exists():
            shutil.rmtree(home, ignore_errors=True)
            _prepare(home)
    return home


def _prepare(home: Path) -> None:
    """What an operator does before serving: commands that write want no server beside them."""
    keys = home / "operator"
    keys.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-m", "tests.features.seeding", str(home)], check=True, cwd=ROOT
    )
    vkey = done("keygen", signals.SOURCE, keys).strip()
    done("steward", "register", vkey, "--data-dir", home)
    printed = dict(_imports(home, keys))
    made = done("manifest", "make", "scoring-1", "--announce", "--data-dir", home)
    printed["manifest"] = Path(made.partition(":")[0]).name
    (keys / "printed.json").write_text(json.dumps(printed), encoding="utf-8")


def _imports(home: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Take over the consents of an old system, the same file twice, and a bad file."""
    good, bad = folder / "old.csv", folder / "assumed.csv"
    at = f"{datetime.now(UTC) - timedelta(days=60):%Y-%m-%dT%H:%M:%SZ}"
    good.write_text(LEGACY.format(at=at), encoding="utf-8")
    bad.write_text(ASSUMED.format(at=at), encoding="utf-8")
    for name, file in (("import", good), ("again", good), ("refused", bad)):
        ran = sovereign("import-consents", file, "--source", "old crm", "--data-dir", home)
        yield name, f"{ran.returncode} {ran.stdout}{ran.stderr}"


def _run(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share (pytest-xdist: one below for each)."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def site(bank: Bank) -> Iterator[Site]:
    with Site(bank.home, bank.home.parent / "server.log").serving() as site:
        yield site


@pytest.fixture(scope="session")
def newcomers() -> Iterator[str]:
    return (f"c{number:05d}" for number in count(FIRST_NEWCOMER))


@pytest.fixture
def customer(site: Site, newcomers: Iterator[str]) -> Person:
    """A customer, signed in, who decided nothing yet."""
    return site.customer(next(newcomers))
