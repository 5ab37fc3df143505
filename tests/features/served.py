"""The product as its users meet it: a process that serves a data directory, and commands."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Protocol, TypeVar

import httpx

from tests.features.loopback import BROWSER, PLAIN, free_port
from tests.features.page import Page
from tests.forked import process as forked

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0  # before a test gives up; a busy machine starts the product in a minute
GIVEN = f"{datetime.now(UTC) - timedelta(days=7):%FT%TZ}"  # when imported permissions were given
RECEIPT = re.compile(r'href="/customer/receipts/(\d+)">')
T = TypeVar("T")


class Running(Protocol):
    """A process that serves."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed product: the Python that runs it, and where its code lies."""

    python: str = sys.executable
    root: Path = ROOT

    @property
    def sovereign(self) -> list[str]:
        return [self.python, "-m", "portal.cli"]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of `sovereign` to its end."""
        return subprocess.run(
            [*self.sovereign, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.root,
            env=os.environ | {"COLUMNS": "500"},
        )

    def begin(self, *words: str | Path, log: Path, **settings: str) -> Running:
        """Start a command of `sovereign` that adds what it prints to `log`."""
        with log.open("ab") as opened:
            return subprocess.Popen(
                [*self.sovereign, *map(str, words)],
                stdout=opened,
                stderr=opened,
                cwd=self.root,
                env=os.environ | settings,
            )

    def done(self, *words: str | Path) -> str:
        """What a command prints that succeeds."""
        ran = self.run(*words)
        assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
        return ran.stdout


class Forking(Installed):
    """This product, whose processes are forked from one that has its modules loaded."""

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return forked.run(map(str, words), self.root, os.environ | {"COLUMNS": "500"})

    def begin(self, *words: str | Path, log: Path, **settings: str) -> Running:
        return forked.Forked(map(str, words), self.root, os.environ | settings, log, log)


INSTALLED, HERE = Installed(), Forking()
sovereign, done = HERE.run, HERE.done


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """The first result that is not empty; the served product works in the background."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := look()):
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_S} s"
        pause(0.1)
    return result


def published(log: Path) -> bytes:
    """All entries of a log that is being published; none if a file was replaced meanwhile."""
    files = (log / "tile" / "entries").rglob("*")
    try:
        return b"".join(each.read_bytes() for each in files if each.is_file())
    except FileNotFoundError:
        return b""


def copy_published(home: Path, to: Path) -> None:
    """Copy `home/log` while it is served: again, if a file was replaced in the middle.

    The consent log first: what it has anchored is then in the copies of the read logs.
    """
    ignored = shutil.ignore_patterns("*.tmp")

    def whole() -> bool:
        shutil.rmtree(to, ignore_errors=True)
        try:
            shutil.copytree(home / "log" / "consent", to / "consent", ignore=ignored)
            for each in (home / "log").iterdir():
                if each.name != "consent" and each.is_dir():
                    shutil.copytree(each, to / each.name, ignore=ignored)
        except shutil.Error:
            return False
        return True

    wait_for(whole, "copy of what is published")


def pause(seconds: float) -> None:
    """Wait; unlike `time.sleep` it also works under libfaketime."""
    Event().wait(seconds)


@dataclass(slots=True)
class Person:
    """Somebody at a browser: pages, buttons, cookies."""

    client: httpx.Client
    subject: str = ""

    def page(self, path: str) -> Page:
        response = self.client.get(path)
        assert response.status_code == 200, f"{path}: {response.status_code}"
        return Page(response.status_code, response.text)

    def press(self, page: Page, address: str, **typed: str) -> Page:
        """Press the button of `page` that leads to `address`: one POST, and the page it leads to.

        `typed`: what the visitor writes into the form's fields.
        """
        sent = {**page.button(address).fields, **typed}
        response = self.client.post(address, data=sent)
        return Page(response.status_code, response.text)

    def switch(self, scene: str, wish: str) -> Page:
        """Press `allow` or `withdraw` of one scene in the centre."""
        answer = self.press(self.page("/customer"), f"/customer/scenes/{scene}/{wish}")
        assert answer.status == 200, answer.html
        return answer

    def switch_item(self, scene: str, item: str, wish: str) -> Page:
        address = f"/customer/scenes/{scene}"
        answer = self.press(self.page(address), f"{address}/items/{item}/{wish}")
        assert answer.status == 200, answer.html
        return answer

    def receipts(self) -> list[int]:
        """The log entries of this customer's instructions, newest first."""
        return [int(each) for each in RECEIPT.findall(self.page("/customer/history").html)]

    def receipt(self, entry: int, folder: Path) -> Path:
        """Download one receipt."""
        response = self.client.get(f"/customer/receipts/{entry}")
        assert response.status_code == 200
        path = folder / f"{entry}.tlog-proof"
        path.write_bytes(response.content)
        return path


@dataclass(slots=True)
class Site:
    """A served data directory. `log`: what the server prints. `settings`: of its environment.

    `words`: more arguments of `sovereign serve`; without --trial it is served as a demonstration.
    """

    home: Path
    log: Path
    installed: Installed = HERE
    settings: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    address: str = ""
    process: Running | None = None
    _clients: list[httpx.Client] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator["Site"]:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        served = {"SOVEREIGN_PORT": str(port)}
        if "--trial" not in self.words:
            served["SOVEREIGN_DEMO"] = "true"
        command: tuple[str | Path, ...] = ("serve", "--data-dir", self.home, *self.words)
        process = self.installed.begin(*command, log=self.log, **served, **self.settings)
        self.process = process
        try:
            wait_for(lambda: self._answers(process), "answer of the server")
            yield self
        finally:
            for each in self._clients:
                each.close()
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: process.poll() is not None, "end of the server")

    def _answers(self, process: Running) -> bool:
        assert process.poll() is None, f"the server ended:\n{self.log.read_text()}"
        try:
            return httpx.get(self.address, verify=PLAIN).status_code == 200
        except httpx.TransportError:
            return False

    def first_runs(self, *jobs: str) -> None:
        """Wait until each of these jobs has run once since the start."""

        def all_ran() -> bool:
            answer = httpx.get(f"{self.address}/healthz", timeout=PATIENCE_S, verify=PLAIN)
            known = answer.json()["jobs"]
            return all(known[name]["last_finished"] for name in jobs)

        wait_for(all_ran, f"first run of {', '.join(jobs)}")

    def visitor(self, **headers: str) -> Person:
        """Somebody who is not signed in."""
        client = httpx.Client(
            base_url=self.address,
            headers=BROWSER | headers,
            follow_redirects=True,
            timeout=PATIENCE_S,
            verify=PLAIN,
        )
        self._clients.append(client)
        return Person(client)

    def customer(self, subject: str) -> Person:
        """A customer, signed in at the demonstration's login."""
        person = self.visitor()
        response = person.client.post("/login", data={"customer": subject})
        assert (response.status_code, response.url.path) == (200, "/customer")
        person.subject = subject
        return person

    def steward(self, role: str = "account-manager") -> Person:
        person = self.visitor()
        response = person.client.post("/desk/login", data={"role": role})
        assert (response.status_code, response.url.path) == (200, "/desk")
        return person

    def ask(
        self, service: str, path: str, body: Mapping[str, Any], accept: str = "application/json"
    ) -> httpx.Response:
        """What a service of the demonstration is answered."""
        headers = {"Authorization": f"Bearer demo-{service}", "Accept": accept}
        return httpx.post(
            f"{self.address}{path}", headers=headers, json=body, timeout=PATIENCE_S, verify=PLAIN
        )

    def read(self, service: str, scene: str, customer: str, *fields: str) -> dict[str, Any]:
        """The answer to a service that reads one customer."""
        body = {"scene": scene, "customer": customer, "fields": [*fields]}
        response = self.ask(service, "/v1/read", body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


def views(answer: Mapping[str, Any]) -> dict[str, str]:
    """How each field of an answer is marked: `{"age": "personal", …}`."""
    return {name: each["view"] for name, each in answer["fields"].items()}
