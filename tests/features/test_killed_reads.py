"""What a killed process read is public after the next start, and its read log is closed (G141)."""

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.features.catalogue import feature
from tests.features.loopback import free_port
from tests.features.served import Running, Site, done, pause, sovereign, wait_for

SERVICE, SCENE, FIELD, ME = "analytics", "segmentation", "age", "c00004"
NEVER, SOON = 86_400, 0.5  # seconds between runs of a job
READS = 20  # answers before the kill
CLOSED = re.compile(
    rb'"origin":"[^"]*/(reads-\w+)","root":"[^"]*","size":\d+,"type":"read-log-closed"'
)


def settings(every_s: float) -> dict[str, str]:
    every = {"anchoring": every_s, "publication": every_s, "read-logs": SOON}
    return {"SOVEREIGN_JOB_EVERY_S": json.dumps(every), "SOVEREIGN_READ_LOG_ENTRIES": str(READS)}


@contextmanager
def gate_alone(site: Site) -> Iterator[tuple[str, Running]]:
    """`sovereign gate serve` beside a portal: its address and its process."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = ("gate", "serve", "--data-dir", site.home, "--port", str(port))
    process = site.installed.begin(*words, log=site.log, SOVEREIGN_DEMO="true", **site.settings)

    def answers() -> bool:
        assert process.poll() is None, site.log.read_text()
        try:
            return httpx.get(f"{address}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(answers, "answer of the gate")
        yield address, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def read_until_killed(address: str, process: Running) -> int:
    """Read one customer until the process is killed in the middle; returns the answers' number.

    It is killed soon after its read log was followed by another.
    """
    body = {"scene": SCENE, "customer": ME, "fields": [FIELD]}
    headers = {"Authorization": f"Bearer demo-{SERVICE}"}
    logs = Counter[str]()
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=address, headers=headers) as service:
        while True:
            if len(logs) == 2 and min(logs.values()) == READS // 2:
                pool.submit(os.kill, process.pid, signal.SIGKILL)
            try:
                answer = service.post("/v1/read", json=body)
            except httpx.TransportError:
                break
            assert answer.status_code == 200, answer.text
            logs[answer.json()["read_log"]] += 1
            if len(logs) == 1 and logs.total() >= READS:
                pause(0.2)
    process.wait()
    assert len(logs) == 2
    return logs.total()


def own_reads(site: Site, keys: Path) -> list[dict[str, Any]]:
    """What the customer's own program finds of the service, in all logs that were announced."""
    words: list[str | Path] = ["own-reads", keys, *sorted(site.home.glob("log/reads-*"))]
    words += ["--consent", site.home / "log" / "consent"]
    ran = sovereign(*words, "--policy", site.home / "consent.policy", "--json")
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["absent"]) == (3, []), ran.stderr
    logs = [log["undecided"].values() for log in found["logs"]]
    assert [len(each) for log in logs for each in log] == [1], "the count for statistics"
    return [each for each in found["own"] if each["service"] == SERVICE]


def closed(site: Site, wanted: set[str]) -> bool:
    """Whether the published consent log closed all of these read logs."""
    files = (site.home / "log" / "consent" / "tile" / "entries").rglob("*")
    text = b"".join(each.read_bytes() for each in files if each.is_file())
    return {each.decode() for each in CLOSED.findall(text)} >= wanted


@feature("M38")
def test_g141_what_was_read_just_before_a_kill_is_published_by_the_next_start(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    before = {*home.glob("log/reads-*/tile")}
    site = Site(home, tmp_path / "log", settings=settings(NEVER))
    with site.serving(), gate_alone(site) as (gate, gates_process):
        assert site.process is not None
        answered = read_until_killed(gate, gates_process)
        answered += read_until_killed(site.address, site.process)
    left = {each.parent.name for each in home.glob("reads/*/log.sqlite")}
    assert answered >= 2 * READS
    assert {*home.glob("log/reads-*/tile")} == before, "no entry was published meanwhile"
    site.settings = settings(SOON)
    with site.serving():
        person = site.customer(ME)
        keys = tmp_path / "keys.json"
        keys.write_bytes(person.client.get("/customer/reads/keys").content)
        wait_for(lambda: closed(site, left), "end of the read logs")
        assert "Read logs without an end" not in site.steward().page("/desk/jobs").html
    # The last entry of each process may be one whose answer the kill cut off.
    assert answered <= len(own_reads(site, keys)) <= answered + 2
    ran = sovereign("replay", "--data-dir", home)
    assert ran.returncode == 0, ran.stderr
    assert not any(f"{each}: it has no end" in ran.stderr for each in left)
    assert "it has no end" in ran.stderr, "of the start that has just been stopped"
    assert done("fsck", "--data-dir", home) == "clean\n"
