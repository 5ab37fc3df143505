"""The reference CRM beside a served telecom company, started by its commands as its README says."""

import json
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from tests.features.loopback import PLAIN, free_port
from tests.features.served import PATIENCE_S, ROOT, Site, wait_for

PATH = "/crm/webhooks/interaction"
PYTHON = [sys.executable, "-m", "examples.crm"]


@dataclass(slots=True)
class Crm:
    """The CRM's folder and, while it runs, its process."""

    folder: Path
    gate: str
    ids: list[str]
    address: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        command = [*PYTHON, "serve", "--folder", str(self.folder), "--port", str(port)]
        with (self.folder / "crm.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        wait_for(self._answers, "answer of the CRM")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "crm.log").read_text()
        try:
            return httpx.get(self.address, verify=PLAIN).status_code == 404
        except httpx.TransportError:
            return False

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(by)
        self.process.wait()

    def run(self, *command: str, gate: bool = True) -> str:
        where = ["--gate", self.gate] if gate else []
        words = [*PYTHON, *command, "--folder", str(self.folder), *where]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def send(self, body: bytes, delivery: str, **changed: str) -> httpx.Response:
        webhook = Webhook((self.folder / "webhook.key").read_text())
        now = datetime.now(UTC)
        headers = {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(delivery, now, body.decode(errors="replace")),
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        place = f"{self.address}{PATH}"
        return httpx.post(place, content=body, headers=headers, timeout=PATIENCE_S, verify=PLAIN)

    def tell(self, customer: str, kind: str, **more: Any) -> str:
        """Deliver an interaction; the delivery's id."""
        delivery = f"msg_{uuid.uuid4().hex}"
        answer = self.send(interaction(customer, kind, **more), delivery)
        assert (answer.status_code, answer.json()) == (
            202,
            {"status": "accepted", "event_id": delivery},
        )
        return delivery

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        place = f"{(self.folder / 'crm.sqlite').as_uri()}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=30)) as database:
            return database.execute(query, values).fetchall()

    def worked(self, *deliveries: str) -> None:
        for each in deliveries:
            query = "SELECT 1 FROM worked WHERE id = ?"
            wait_for(lambda: self.rows(query, each), f"work on {each}")  # noqa: B023 - called now


def interaction(customer: str, kind: str, **more: Any) -> bytes:
    body = {"customer": customer, "kind": kind, "at": "2026-12-01T09:30:00Z", **more}
    return json.dumps(body).encode()


@contextmanager
def running(folder: Path, home: Path, customers: int) -> Iterator[tuple[Site, Crm]]:
    """A company with so many customers, and its CRM, in two empty folders."""
    words = [*PYTHON, "prepare", "--folder", str(folder), "--customers", str(customers)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    site = Site(home, folder / "s.log", words=("--company", str(folder / "company"), "--trial"))
    with site.serving():
        crm = Crm(folder, site.address, [])
        crm.ids = [each for (each,) in crm.rows("SELECT customerid FROM subscriber ORDER BY 1")]
        crm.start()
        try:
            yield site, crm
        finally:
            crm.stop()


def gate_has(site: Site, service: str, scene: str, customer: str, **wanted: Any) -> None:
    """Wait until the gate has read the CRM's table again, which it does every few seconds."""

    def same() -> bool:
        fields = site.read(service, scene, customer, *wanted)["fields"]
        return all(fields[name]["value"] == value for name, value in wanted.items())

    wait_for(same, f"{[*wanted]} of {customer} at the gate")
