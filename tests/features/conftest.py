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
from pathlib import Path

import httpx
import pytest

from tests.features import numbers, signals
from tests.features.loopback import PLAIN
from tests.features.postgres import Postgres, running
from tests.features.served import HERE, INSTALLED, ROOT, Person, Site, wait_for

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
    """A small bank of this process's own, with its first releases."""
    folder = tmp_path_factory.mktemp("bank")
    home = shutil.copytree(prepared(_run(tmp_path_factory)), folder / "data")
    keys = home / "operator"
    printed = json.loads((keys / "printed.json").read_text("utf-8"))
    return Bank(home, keys / f"{signals.SOURCE}.key", printed)


@pytest.fixture(scope="session")
def unserved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data directory, which nothing serves or changes: copy it."""
    return prepared(_run(tmp_path_factory))


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
    """What an operator does before serving, and the first releases that the product makes.

    Commands that write want no server beside them.
    """
    keys = home / "operator"
    keys.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-m", "tests.features.seeding", str(home)], check=True, cwd=ROOT
    )
    vkey = INSTALLED.done("keygen", signals.SOURCE, keys).strip()
    INSTALLED.done("steward", "register", vkey, "--data-dir", home)
    printed = dict(_imports(home, keys))
    made = INSTALLED.done("manifest", "make", "scoring-1", "--announce", "--data-dir", home)
    printed["manifest"] = Path(made.partition(":")[0]).name
    with Site(home, keys / "first.log").serving() as site:  # so that no copy fits them again
        wait_for(lambda: _nothing_is_due(site), "end of the first fits")
    (keys / "printed.json").write_text(json.dumps(printed), encoding="utf-8")


def _nothing_is_due(site: Site) -> bool:
    refits = httpx.get(f"{site.address}/healthz", verify=PLAIN).json()["jobs"]["refits"]
    return (refits["next_run"] or "") > (refits["last_success"] or "~")  # not at once


def _imports(home: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Take over the consents of an old system, the same file twice, and a bad file."""
    good, bad = folder / "old.csv", folder / "assumed.csv"
    at = f"{datetime.now(UTC) - timedelta(days=60):%Y-%m-%dT%H:%M:%SZ}"
    good.write_text(LEGACY.format(at=at), encoding="utf-8")
    bad.write_text(ASSUMED.format(at=at), encoding="utf-8")
    for name, file in (("import", good), ("again", good), ("refused", bad)):
        ran = HERE.run("import-consents", file, "--source", "old crm", "--data-dir", home)
        yield name, f"{ran.returncode} {ran.stdout}{ran.stderr}"


def _run(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share (pytest-xdist: one below for each)."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def site_on_files(bank: Bank) -> Iterator[Site]:
    with Site(bank.home, bank.home.parent / "server.log", INSTALLED).serving() as site:
        yield site


@pytest.fixture(scope="session")
def site(site_on_files: Site) -> Site:
    return site_on_files


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def bank_on_postgres(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An empty data directory, the customers' rows, and the settings of two databases."""
    folder = tmp_path_factory.mktemp("postgres")
    (folder / "data").mkdir()
    rows = prepared(_run(tmp_path_factory)) / "customers.duckdb"
    shutil.copy(rows, folder / "data" / rows.name)
    settings = {
        "SOVEREIGN_DATABASE": postgres.create(),
        "SOVEREIGN_VAULT_DATABASE": postgres.create(),
        "SOVEREIGN_JOB_EVERY_S": '{"departures": 1}',
    }
    return Site(folder / "data", folder / "server.log", settings=settings)


@pytest.fixture(scope="session")
def site_on_postgres(bank_on_postgres: Site) -> Iterator[Site]:
    """A bank without any history, which is served for the first time."""
    with bank_on_postgres.serving() as site:
        yield site


@pytest.fixture
def newcomers(request: pytest.FixtureRequest) -> Iterator[str]:
    """Customers of the test's site who decided nothing yet."""
    named = request.fixturenames
    only = "site_on_postgres" in named and "site" not in named
    site: Site = request.getfixturevalue("site_on_postgres" if only else "site")
    return numbers.left(site.home)


@pytest.fixture
def customer(site: Site, newcomers: Iterator[str]) -> Person:
    """A customer, signed in, who decided nothing yet."""
    return site.customer(next(newcomers))
