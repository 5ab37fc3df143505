"""`sovereign serve` over a small data directory, started and stopped as a user does."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import duckdb
import httpx

from ledger.events.envelope import Granted
from ledger.service import Ledger
from portal.consent.wording import wording
from portal.demo.sources import customers, deliveries
from portal.web import i18n
from tests import bank as company
from tests.bank import contracts
from tests.features.loopback import PLAIN, free_port
from tests.features.page import Page
from tests.forked.process import Forked, run

CUSTOMERS = 64  # a first release wants the consents of 50
SCENE = "anomaly-detection"
PATIENCE_S = 180.0  # a busy machine; on a quiet one everything is there within a few seconds


@dataclass(frozen=True)
class Served:
    """One running process. Everything is seen from outside: by HTTP, by commands, by files."""

    home: Path
    address: str

    def health(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.address}/healthz", timeout=PATIENCE_S, verify=PLAIN)
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

    def tried_in_vain(self) -> list[dict[str, Any]]:
        """The notices that were sent and did not arrive, by `sovereign steward notices`."""
        listed = sovereign("steward", "notices", "--json", "--data-dir", str(self.home)).stdout
        return [each for each in map(json.loads, listed.splitlines()) if each["attempts"]]

    def withdraw(self, subject: str, scene: str = SCENE) -> None:
        self.press("withdraw", subject, scene)

    def press(self, what: str, subject: str, scene: str) -> None:
        """Sign in on the demonstration's page and press `allow` or `withdraw` of a scene."""
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        with httpx.Client(
            base_url=self.address, headers=headers, timeout=PATIENCE_S, verify=PLAIN
        ) as browser:
            answer = browser.post("/login", data={"customer": subject})
            assert answer.status_code == 303, answer.text
            button = Page(200, browser.get("/customer").text).button(
                f"/customer/scenes/{scene}/{what}"
            )
            answer = browser.post(button.address, data=button.fields)
            assert answer.status_code in {200, 303}, answer.text

    def published_size(self) -> int:
        """Entries of the consent log by its published checkpoint; 0 before there is one."""
        path = self.home / "log" / "consent" / "checkpoint"
        return int(path.read_text().splitlines()[1]) if path.is_file() else 0


@contextmanager
def serving(home: Path, **every_s: float) -> Iterator[Served]:
    """Started with jobs on shorter schedules, by name with `_` for `-`; terminated at the end."""
    port = free_port()
    schedule = {name.replace("_", "-"): seconds for name, seconds in every_s.items()}
    settings = {
        "SOVEREIGN_DEMO": "true",
        "SOVEREIGN_PORT": str(port),
        "SOVEREIGN_JOB_EVERY_S": json.dumps(schedule),
    }
    command, log = ("serve", "--data-dir", str(home)), home.with_suffix(".log")
    process = Forked(command, home, os.environ | settings, log, log)
    try:
        served = Served(home, f"http://127.0.0.1:{port}")
        until(lambda: _answers(f"{served.address}/healthz", process))
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == -signal.SIGTERM


def sovereign(*arguments: str) -> CompletedProcess[str]:
    return run(arguments, Path.cwd(), os.environ, PATIENCE_S)


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
    ledger = Ledger.open(home, origin=company.bank().origin)
    shown, at = wording(scenes[scene], i18n.load()["en"]), datetime.now(UTC).replace(microsecond=0)
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


def _answers(address: str, process: Forked) -> bool:
    assert process.poll() is None, "sovereign serve ended"
    try:
        with urlopen(address, timeout=60) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
