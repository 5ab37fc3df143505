"""Two portals and two gates over one PostgreSQL, behind nginx as `deploy/nginx.conf` says."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import certificate
from tests.features.loopback import BROWSER, PLAIN, free_port
from tests.features.served import HERE, PATIENCE_S, Running, wait_for

ROOT = Path(__file__).parents[2]
LOGIN, GATE = "privacy.bank.example", "gate.bank.example"
STANDS_BY, SERVES = "standing by: ", "Serving on "


@dataclass(slots=True)
class Replica:
    """A process of the fleet that is started again on the same port. `log`: what it prints."""

    words: tuple[str | Path, ...]
    settings: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: Running | None = None

    def start(self) -> None:
        self.log.write_bytes(b"")
        words = (*self.words, "--port", str(self.port))
        self.process = HERE.begin(*words, log=self.log, **self.settings)

    def end(self, number: int = signal.SIGTERM) -> None:
        process = self.process
        assert process is not None
        process.send_signal(number)
        wait_for(lambda: process.poll() is not None, "end of the process")

    def answers(self) -> bool:
        process = self.process
        assert process is not None
        assert process.poll() is None, f"it ended:\n{self.log.read_text()}"
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/livez", verify=PLAIN).status_code == 200
        except httpx.TransportError:
            return False

    def printed(self, word: str) -> bool:
        return word in self.log.read_text()


@dataclass(slots=True)
class Fleet:
    """`portals`: the first one serves when the fleet has started. `port`: of nginx."""

    portals: list[Replica]
    gates: list[Replica]
    port: int

    def serving(self) -> tuple[Replica, Replica]:
        """The portal that serves, and the one that stands by, once there are both."""

        def found() -> tuple[Replica, Replica] | None:
            one, other = self.portals
            if other.answers():
                one, other = other, one
            return (one, other) if one.answers() and other.printed(STANDS_BY) else None

        return wait_for(found, "one portal that serves and one that stands by")

    @contextmanager
    def client(self, host: str, **headers: str) -> Iterator[httpx.Client]:
        """A client that asks nginx for pages or answers of `host`."""
        with httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            headers=BROWSER | {"Host": host} | headers,
            timeout=PATIENCE_S,
            verify=False,
        ) as client:
            yield client


@contextmanager
def running(home: Path, settings: Mapping[str, str]) -> Iterator[Fleet]:
    """A fleet over the data directory `home`, which has a ledger or the customers' rows."""
    settings = {"SOVEREIGN_DEMO": "true", **settings}
    folder = home.parent

    def replica(name: str, *words: str) -> Replica:
        return Replica((*words, "--data-dir", home), settings, folder / f"{name}.log")

    portals = [replica(f"portal-{each}", "serve", "--standby") for each in "ab"]
    gates = [replica(f"gate-{each}", "gate", "serve", "--wait", "120") for each in "ab"]
    fleet = Fleet(portals, gates, free_port())
    started: list[Replica] = []
    try:
        for each in (*portals, *gates):
            each.start()
            started.append(each)
            if each is not portals[1]:
                wait_for(each.answers, f"answer of {each.words}")
        with _nginx(folder, fleet):
            fleet.serving()
            yield fleet
    finally:
        for each in reversed(started):
            each.end(signal.SIGKILL)


@contextmanager
def _nginx(folder: Path, fleet: Fleet) -> Iterator[None]:
    """nginx with the configuration that is shipped: only addresses, ports and places differ."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    replicas = {"portal": fleet.portals, "gate": fleet.gates}
    for name, both in replicas.items():
        for letter, each in zip("ab", both, strict=True):
            text = re.sub(rf"server {name}-{letter}:\d+", f"server 127.0.0.1:{each.port}", text)
    text = text.replace("listen 443", f"listen 127.0.0.1:{fleet.port}")
    places = [f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy")]
    places += [f"{kind}_temp_path {folder}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi")]
    text = text.replace("http {", "\n".join(["http {", *places]))
    (folder / "tls").mkdir()
    certificate.make(folder / "tls")
    (folder / "nginx.conf").write_text(text)
    user = "user root; " if os.geteuid() == 0 else ""
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g"]
    with (
        (folder / "nginx.log").open("wb") as log,
        subprocess.Popen([*command, f"{user}daemon off; pid {folder}/pid;"], stderr=log) as process,
    ):
        try:
            wait_for(lambda: _accepts(fleet.port), "answer of nginx")
            yield
        finally:
            process.terminate()


def _accepts(port: int) -> bool:
    try:
        httpx.get(f"https://127.0.0.1:{port}", verify=False)
    except httpx.RemoteProtocolError:  # another name is not served
        return True
    except httpx.TransportError:
        return False
    return True
