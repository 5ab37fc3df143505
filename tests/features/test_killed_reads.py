"""What a killed process read is public after the next start, and its read log is closed (G141).

A read log whose files were deleted meanwhile is named by everybody who looks (G185).
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.features.catalogue import feature
from tests.features.loopback import free_port
from tests.features.served import (
    INSTALLED,
    Running,
    Site,
    done,
    pause,
    published,
    sovereign,
    wait_for,
)

SERVICE, SCENE, FIELD, ME = "analytics", "segmentation", "age", "c00004"
NEVER, SOON = 86_400, 0.5  # seconds between runs of a job
RARE = ("anchoring", "publication")  # jobs that run once at the start, and then `every_s`
READS = 20  # answers before the kill
CLOSED = re.compile(
    rb'"origin":"[^"]*/(reads-\w+)","root":"[^"]*","size":\d+,"type":"read-log-closed"'
)


def settings(every_s: float) -> dict[str, str]:
    every = dict.fromkeys(RARE, every_s) | {"read-logs": SOON}
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
    text = published(site.home / "log" / "consent")
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
        site.first_runs(*RARE)
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


def deleted(home: Path, instance: str, *, with_key: bool) -> None:
    """What a company does that regrets its reads."""
    shutil.rmtree(home / "reads" / instance)
    shutil.rmtree(home / "log" / instance, ignore_errors=True)
    for folder in ("keys", "public") if with_key else ():
        (home / folder / f"{instance}.vkey").unlink(missing_ok=True)


def written_to(site: Site) -> str:
    """Read; returns the folder of the read log that has the entry."""
    answer = site.read(SERVICE, SCENE, ME, FIELD)
    return str(answer["read_log"]).rsplit("/", 1)[-1]


def read_and_killed(site: Site) -> str:
    """Serve, read personal data at once, and kill the server; returns the name of the read log."""
    with site.serving():
        site.first_runs(*RARE)  # which would anchor or publish what is read meanwhile
        site.customer(ME).switch(SCENE, "allow")
        instance = written_to(site)
        assert site.process is not None
        site.process.send_signal(signal.SIGKILL)
        site.process.wait()
    return instance


def audited(home: Path, until: datetime) -> subprocess.CompletedProcess[str]:
    """The audit of the period that ends then."""
    form = "%Y-%m-%dT%H:%M:%SZ"
    words = ["--from", f"{until - timedelta(days=1):{form}}", "--to", f"{until:{form}}"]
    for each in ("consent", "state"):
        words += ["--policy", str(home / f"{each}.policy")]
    command = [sys.executable, "-m", "ledger.verify.period", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=INSTALLED.root)


@feature("M38")
def test_g194_a_read_log_deleted_before_its_first_anchor_is_named(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    begun = datetime.now(UTC)
    site = Site(home, tmp_path / "log", settings=settings(NEVER))
    gone = []
    for with_key in (True, False):
        gone.append(read_and_killed(site))
        deleted(home, gone[-1], with_key=with_key)
    site.settings = settings(SOON)
    with site.serving():
        failed, desk = "2 read logs have no end", site.steward()
        wait_for(lambda: failed in desk.page("/desk/jobs").html, "failure of the job")
        present = written_to(site)
        wait_for((home / "log" / present / "checkpoint").exists, "publication")
        replayed = sovereign("replay", "--data-dir", home)
        checked = sovereign("fsck", "--data-dir", home)
        period = audited(home, datetime.now(UTC) + timedelta(minutes=1))
    assert (replayed.returncode, checked.returncode) == (1, 1)
    for instance in gone:
        assert f"{instance}: it is missing: it was opened at" in replayed.stderr
        assert f"reads/{instance}/log.sqlite" in checked.stdout
        origin = f"demo.sovereign.example/{instance} was opened and not closed"
        assert f"COULD NOT READ  log/{instance}: not-shown: {origin}" in period.stdout
    assert len(checked.stdout.splitlines()) == 2, "the log that is being written is no finding"
    assert f"{present}: " not in replayed.stderr
    assert f"log/{present}" not in period.stdout.replace("not-anchored", "")
    assert period.returncode == 3, period.stdout
    assert "not-shown" not in audited(home, begun - timedelta(minutes=1)).stdout


@feature("M38")
def test_l139_a_read_log_without_an_entry_that_was_seen_is_missed_when_it_is_gone(
    unserved: Path, tmp_path: Path
) -> None:
    """Its opening is no new entry any more for `fsck --new`, and it has no anchor."""
    home = shutil.copytree(unserved, tmp_path / "data")
    site = Site(home, tmp_path / "log", settings=settings(NEVER))
    before = {each.name for each in (home / "reads").glob("*")}
    with site.serving():
        assert site.process is not None
        site.process.send_signal(signal.SIGKILL)
        site.process.wait()
    (idle,) = {each.name for each in (home / "reads").glob("*")} - before
    for _ in range(2):
        assert done("fsck", "--new", "--data-dir", home) == "clean\n"
    deleted(home, idle, with_key=True)
    for _ in range(2):
        checked = sovereign("fsck", "--new", "--data-dir", home)
        assert checked.returncode == 1
        assert f"reads/{idle}/log.sqlite" in checked.stdout
