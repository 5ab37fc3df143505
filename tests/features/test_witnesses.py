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
from tests.features.served import Site, done, wait_for

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
    job: dict[str, Any] = json.loads(done("jobs", "--json", "--data-dir", home))["jobs"][
        "witnesses"
    ]
    return job if job["error"] else None
