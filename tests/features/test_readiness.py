"""17.1: `/livez` and `/readyz` of the portal and of a gate of its own.

test_clock.py and test_on_postgres.py have more: a clock in doubt, a database that is down.
"""

import json
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from portal.operations.job_results import FILE
from tests.features.loopback import PLAIN, free_port
from tests.features.served import HERE, PATIENCE_S, Site, done, wait_for
from tests.features.test_one_writer import gate_beside

ALIVE = {"status": "alive", "scheme": "http"}
NAMES = {"clock", "databases", "publication", "scenes", "source", "state"}


def asked(address: str, path: str = "/readyz") -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"{address}{path}", verify=PLAIN, timeout=10)
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    return answer.status_code, answer.json()


def failing(address: str) -> set[str]:
    """The checks that are not ok."""
    status, body = asked(address)
    found = {name for name, outcome in body["checks"].items() if outcome != "ok"}
    assert {*body["checks"]} == NAMES
    assert (status, body["status"]) == ((503, "not ready") if found else (200, "ready"))
    return found


def test_a_portal_and_a_gate_say_that_they_are_ready(site: Site) -> None:
    wait_for(lambda: not failing(site.address), "ready portal")
    assert asked(site.address, "/livez") == (200, ALIVE)
    assert asked(site.address, "/readyz/pages")[1]["checks"] == {"databases": "ok"}
    told = httpx.get(f"{site.address}/livez", headers={"X-Forwarded-Proto": "https"}, verify=PLAIN)
    assert told.json() == ALIVE | {"scheme": "https"}
    head = httpx.head(f"{site.address}/readyz", verify=PLAIN)
    assert (head.status_code, head.content) == (200, b"")
    refused = httpx.post(f"{site.address}/readyz", verify=PLAIN)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    with gate_beside(site) as gate:
        wait_for(lambda: not failing(gate), "ready gate")
        assert asked(gate, "/livez") == (200, ALIVE)
        assert httpx.get(f"{gate}/readyz/pages").status_code == 200


def test_a_gate_is_not_ready_once_the_last_publication_is_too_old(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    record = json.loads((home / FILE).read_bytes())
    then = datetime.now(UTC) - timedelta(minutes=61)
    record["jobs"]["publication"]["last_success"] = then.strftime("%Y-%m-%dT%H:%M:%SZ")
    (home / FILE).write_text(json.dumps(record))
    port = free_port()
    address, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    gate = HERE.begin("gate", "serve", "--data-dir", home, "--port", str(port), log=log)
    try:
        wait_for(lambda: [*home.glob("reads/*/opening")], "request of the gate")
        done("gate", "announce", "--data-dir", home)
        wait_for(lambda: answers(address), "answer of the gate")
        assert failing(address) == {"publication"}
    finally:
        gate.send_signal(signal.SIGTERM)
        gate.wait(PATIENCE_S)


def answers(address: str) -> bool:
    try:
        return asked(address, "/livez")[0] == 200
    except httpx.TransportError:
        return False
