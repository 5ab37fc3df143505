"""A served product goes on without a witness that stops, and names it (W20, W26)."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx

from ledger.verify.cli import main as verify
from ledger.witness import own_witnesses
from tests.features.catalogue import feature
from tests.features.loopback import PLAIN
from tests.features.period_world import EVERY, SCENE
from tests.features.served import HERE, Site, sovereign, wait_for

SUBJECT = "c00234"
STOPPED = "demonstration.invalid/w2"


def health(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{site.address}/healthz", verify=PLAIN).json()
    return found


@feature("M38")
def test_w26_a_witness_that_is_killed_is_left_out_and_named(unserved: Path, tmp_path: Path) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    own_witnesses.make(home)
    settings = {"SOVEREIGN_JOB_EVERY_S": json.dumps(EVERY)}
    try:
        with Site(home, tmp_path / "log", settings=settings).serving() as site:
            wait_for(
                lambda: {*health(site)["witnesses"].values()} == {"cosigned"},
                "cosignatures of all three",
            )
            own_witnesses._running[1].kill()
            person = site.customer(SUBJECT)
            person.switch(SCENE, "allow")
            wait_for(
                lambda: health(site)["witnesses"][STOPPED] == "left out", "witness that is left out"
            )
            jobs = wait_for(lambda: _failing(home), "job that says why")
            assert STOPPED in jobs["error"]
            assert "the quorum goes on without 1 witnesses" in jobs["error"]
            person.switch(SCENE, "withdraw")
            path = person.receipt(person.receipts()[0], tmp_path)
            assert verify([str(path), "--policy", str(home / "consent.policy")]) == 0
    finally:
        own_witnesses.stop()


def _failing(home: Path) -> dict[str, Any] | None:
    """The job of witnesses, if it says why; the command's status is 1 once it failed repeatedly."""
    job: dict[str, Any] = json.loads(sovereign("jobs", "--json", "--data-dir", home).stdout)[
        "jobs"
    ]["witnesses"]
    return job if job["error"] else None


def test_z7_an_authority_without_a_root_is_refused_before_anything_is_created(
    unserved: Path, tmp_path: Path
) -> None:
    home = tmp_path / "data"
    home.mkdir()
    shutil.copy(unserved / "customers.duckdb", home)
    authority = "https://tsa.example/tsr"
    settings = {"SOVEREIGN_TIMESTAMP_AUTHORITY": authority, "SOVEREIGN_DEMO": "true"}
    process = HERE.begin("serve", "--data-dir", home, log=tmp_path / "log", **settings)
    wait_for(lambda: process.poll() is not None, "end of the server")
    assert process.wait() == 2
    assert "want a PEM file with the root of timestamp_authority" in (tmp_path / "log").read_text()
    assert [each.name for each in home.iterdir()] == ["customers.duckdb"]
