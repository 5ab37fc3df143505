"""`sovereign serve` over a small data directory, started and stopped as a user does."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import duckdb
import httpx

from ledger.events.envelope import Granted
from ledger.service import Ledger
from portal.consent.wording import wording
from portal.demo import customers, deliveries
from portal.operations.settings import Settings
from portal.operations.wiring import contracts

CUSTOMERS = 64  # a first release wants the consents of 50
SCENE = "anomaly-detection"
PATIENCE_S = 180.0  # a busy machine; on a quiet one everything is there within a few seconds


@dataclass(frozen=True)
class Served:
    """One running process. Everything is seen from outside: by HTTP, by commands, by files."""

    home: Path
    address: str

    def health(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.address}/healthz", timeout=PATIENCE_S)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        body: dict[str, Any] = answer.json()
        return body

    def job(self, name: str) -> dict[str, Any]:
        known: dict[str, Any] = self.health()["jobs"][name]
        return known

    def jobs(self) -> dict[str, Any]:
        """As `sovereign jobs --json` prints them."""
        printed = sovereign("jobs", "--json", "--data-dir", str(self.home))
        body: dict[str, Any] = json.loads(printed.stdout)
        return body

    def withdraw(self, subject: str, scene: str = SCENE) -> None:
        """Sign in on the demonstration's page and press the button, as it is on the page."""
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        with httpx.Client(base_url=self.address, headers=headers, timeout=PATIENCE_S) as browser:
            answer = browser.post("/login", data={"customer": subject})
            assert answer.status_code == 303, answer.text
            page = browser.get(f"/customer/scenes/{scene}").text
            button = rf'id="{scene}-withdraw" name="words" value="([^"]+)"'
            words, version = _one(button, page), _one(r'name="version" value="(\w+)"', page)
            form = {"words": words, "version": version}
            answer = browser.post(f"/customer/scenes/{scene}/withdraw", data=form)
            assert answer.status_code in {200, 303}, answer.text

    def published_size(self) -> int:
        """Entries of the consent log by its published checkpoint; 0 before there is one."""
        path = self.home / "log" / "consent" / "checkpoint"
        return int(path.read_text().splitlines()[1]) if path.is_file() else 0


@contextmanager
def serving(home: Path, **every_s: float) -> Iterator[Served]:
    """Started with jobs on shorter schedules, by name with `_` for `-`; terminated at the end."""
    port = _free_port()
    schedule = {name.replace("_", "-"): seconds for name, seconds in every_s.items()}
    settings = {
        "SOVEREIGN_DEMO": "true",
        "SOVEREIGN_PORT": str(port),
        "SOVEREIGN_JOB_EVERY_S": json.dumps(schedule),
    }
    command = [sys.executable, "-m", "portal.cli", "serve", "--data-dir", str(home)]
    process = subprocess.Popen(command, env=os.environ | settings, cwd=home)
    try:
        served = Served(home, f"http://127.0.0.1:{port}")
        until(lambda: _answers(f"{served.address}/healthz", process))
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == -signal.SIGTERM


def sovereign(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "portal.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def until(condition: Callable[[], object]) -> None:
    """Wait for what a job does by itself."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "nothing of the kind happened"
        time.sleep(0.1)


def bank(home: Path, scene: str = SCENE) -> Path:
    """A data directory with customers who all allowed one scene, a month ago."""
    source, scenes = contracts()
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{home / 'customers.duckdb'}' AS small")
        names = ", ".join(f"'{each}'" for each in people())
        everybody.execute(f"CREATE TABLE small.customer AS FROM customer WHERE id IN ({names})")
    deliveries.record(home / "customers.duckdb", source, datetime.now(UTC))
    ledger = Ledger.open(home, origin=Settings(data_dir=home).origin)
    shown, at = wording(scenes[scene], "en"), datetime.now(UTC).replace(microsecond=0)
    act = Granted(scene, tuple(scenes[scene].fields), None)
    drafts = [
        ledger.draft(each, act, at=at - timedelta(days=30), wording=shown) for each in people()
    ]
    ledger.record(drafts)
    ledger.close()
    return home


def people() -> list[str]:
    return [f"c{number:05d}" for number in range(1, CUSTOMERS + 1)]


def hook(url: str, key: str = "url") -> str:
    """A `steward.toml` with one receiver."""
    return f'[webhook.crm]\n{key} = "{url}"\nroles = ["account-manager"]\n'


def _one(pattern: str, page: str) -> str:
    """What all matches capture."""
    (found,) = {*re.findall(pattern, page)}
    return str(found)


def _answers(address: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "sovereign serve ended"
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
