"""17.3: `/metrics` of the portal and of a gate of its own, on a port of their own."""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from tests.features.loopback import PLAIN, free_port
from tests.features.served import HERE, PATIENCE_S, Site, wait_for
from tests.features.test_readiness import answers

SERVICE, SCENE, FIELD = "recommender", "recommendation", "age"
CUSTOMER = "c00031"
Samples = Mapping[tuple[str, str], float]
LABELS = ("reason", "path", "job", "state", "scene", "key", "part")


def scraped(port: int) -> Samples:
    """By name and the label that tells samples of one name apart here."""
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", verify=PLAIN)
    assert answer.status_code == 200
    assert CUSTOMER not in answer.text
    found = {}
    for family in parsed(answer.text):
        for each in family.samples:
            if each.labels.get("le", "+Inf") == "+Inf" and each.labels.get("service") in {
                None,
                SERVICE,
            }:
                label = next((each.labels[name] for name in LABELS if name in each.labels), "")
                found[each.name, label] = each.value
    assert {label for (name, label), value in found.items() if name == MISSING and value} == set()
    return found


MISSING = "sovereign_metrics_missing"
DECIDED = "sovereign_decisions_total"
TOOK = "sovereign_request_seconds_count"


@pytest.fixture(scope="module")
def home(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(unserved, tmp_path_factory.mktemp("metrics") / "data")


def test_metrics_say_what_a_portal_and_a_gate_did_and_name_no_customer(
    home: Path, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"SOVEREIGN_METRICS_LISTEN": str(port)}
    with Site(home, tmp_path / "log", settings=settings).serving() as site:
        site.customer(CUSTOMER).switch(SCENE, "allow")
        site.read(SERVICE, SCENE, CUSTOMER, FIELD)
        found = scraped(port)
        assert found[DECIDED, "granted"] == 1
        assert found[TOOK, "/v1/read"] == 1
        batch = {"evaluations": [evaluation(each) for each in (CUSTOMER, "nobody")]}
        assert site.ask(SERVICE, "/access/v1/evaluations", batch).status_code == 200
        table = {"scene": "segmentation", "fields": [FIELD]}
        site.ask(SERVICE, "/v1/table", table)
        found = scraped(port)
        assert found[DECIDED, "granted"] == 2
        assert found[TOOK, "/access/v1/evaluations"] == 1
        assert found[TOOK, "/v1/table"] == 1
        _state_is_shown(port, found)
        assert httpx.get(f"{site.address}/metrics", verify=PLAIN).status_code == 404
        _gate_counts_too(home, tmp_path / "gate")


def _state_is_shown(port: int, found: Samples) -> None:
    assert found["sovereign_state_lag_entries", ""] == 0
    assert found["sovereign_ledger_entries", ""] > 0
    wait_for(lambda: ("sovereign_publication_age_seconds", "") in scraped(port), "publication")
    assert 0 <= found["sovereign_key_age_seconds", "keys/consent.key"] < 86_400 * 365
    assert found["sovereign_job_failures", "publication"] == 0
    assert found["sovereign_job_healthy", "publication"] == 1
    assert ("sovereign_notices", "waiting") in found
    assert found["sovereign_privacy_budget_left_rho", "segmentation"] >= 0


def _gate_counts_too(home: Path, log: Path) -> None:
    port, shown = free_port(), free_port()
    words = ("gate", "serve", "--data-dir", home, "--port", str(port))
    more = {"SOVEREIGN_DEMO": "true", "SOVEREIGN_METRICS_LISTEN": f"127.0.0.1:{shown}"}
    gate = HERE.begin(*words, log=log, **more)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), "answer of the gate")
        question = {"scene": SCENE, "customer": CUSTOMER, "fields": [FIELD]}
        headers = {"Authorization": f"Bearer demo-{SERVICE}"}
        address = f"http://127.0.0.1:{port}/v1/read"
        httpx.post(address, json=question, headers=headers, verify=PLAIN).raise_for_status()
        assert scraped(shown)[DECIDED, "granted"] == 1
    finally:
        gate.send_signal(signal.SIGTERM)
        gate.wait(PATIENCE_S)


def evaluation(customer: str) -> Mapping[str, object]:
    return {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": customer, "properties": {"fields": [FIELD]}},
        "context": {"scene": SCENE},
    }


def test_a_port_that_is_taken_or_no_port_is_named(home: Path, site: Site) -> None:
    taken = site.address.rpartition(":")[2]
    for where, named in ((taken, "metrics_listen: cannot listen on 127.0.0.1"), ("here", "9464")):
        words = ("serve", "--data-dir", str(home))
        more = {"SOVEREIGN_METRICS_LISTEN": where, "SOVEREIGN_PORT": str(free_port())}
        log = home.parent / "refused"
        process = HERE.begin(*words, log=log, **more)
        assert process.wait(PATIENCE_S) == 2
        assert named in log.read_text()
        assert "Traceback" not in log.read_text()
        log.unlink()
