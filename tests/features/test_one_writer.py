"""One process writes a data directory, and commands that write run in it while it serves.

Each test acts beside a running portal, as an operator does, and asks the portal's gate afterwards.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.features.catalogue import feature
from tests.features.loopback import free_port
from tests.features.served import (
    GIVEN,
    INSTALLED,
    PATIENCE_S,
    Person,
    Site,
    done,
    sovereign,
    views,
    wait_for,
)

SCENE, SERVICE, FIELD = "recommendation", "recommender", "age"


@pytest.fixture
def allowing(site: Site, customer: Person) -> Person:
    """A customer whose age the recommender reads as personal data."""
    customer.switch(SCENE, "allow")
    assert views(site.read(SERVICE, SCENE, customer.subject, FIELD)) == {FIELD: "personal"}
    return customer


@feature("M10")
def test_no_personal_value_of_somebody_erased_beside_a_running_portal(
    site: Site, allowing: Person
) -> None:
    printed = done("erase", allowing.subject, "--data-dir", site.home)
    assert printed.startswith("erased: 1 instructions")
    for _ in range(3):
        after = site.read(SERVICE, SCENE, allowing.subject, FIELD)
        assert "personal" not in views(after).values()


def test_others_go_on_choosing_after_an_erasure_beside_the_portal(
    site: Site, allowing: Person, newcomers: Iterator[str]
) -> None:
    done("erase", allowing.subject, "--data-dir", site.home)
    other = site.customer(next(newcomers))
    other.switch(SCENE, "allow")
    assert views(site.read(SERVICE, SCENE, other.subject, FIELD)) == {FIELD: "personal"}
    assert other.receipts()
    assert "0 differ" in done("replay", "--data-dir", site.home)


def test_a_command_that_fails_says_why_and_the_server_goes_on(site: Site) -> None:
    ran = sovereign("erase", "nobody-of-this-name", "--data-dir", site.home)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout + ran.stderr
    assert ran.stderr.strip()
    assert httpx.get(f"{site.address}/healthz").status_code == 200


def test_an_import_beside_the_portal_counts_at_once(
    site: Site, newcomers: Iterator[str], tmp_path: Path
) -> None:
    """Its path is relative to the folder where the command was typed."""
    subject = next(newcomers)
    rows = f"subject,scene,fields,status,at\n{subject},{SCENE},{FIELD},granted,{GIVEN}\n"
    (tmp_path / "rows.csv").write_text(rows)
    command = [*INSTALLED.sovereign, "import-consents", "rows.csv", "--source", "crm"]
    ran = subprocess.run(
        [*command, "--data-dir", str(site.home)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(INSTALLED.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "1 instructions of class D recorded\n"), ran.stderr
    assert views(site.read(SERVICE, SCENE, subject, FIELD)) == {FIELD: "personal"}


def test_a_dry_run_beside_the_portal_records_nothing(
    site: Site, newcomers: Iterator[str], tmp_path: Path
) -> None:
    subject = next(newcomers)
    rows = tmp_path / "rows.csv"
    rows.write_text(f"subject,scene,at\n{subject},{SCENE},{GIVEN}\n")
    command = ("import-consents", rows, "--source", "crm", "--data-dir", site.home)
    assert "would be recorded: 1 instructions" in done(*command, "--dry-run")
    assert "personal" not in views(site.read(SERVICE, SCENE, subject, FIELD)).values()
    assert done(*command) == "1 instructions of class D recorded\n"
    assert views(site.read(SERVICE, SCENE, subject, FIELD)) == {FIELD: "personal"}


@feature("M31")
def test_no_export_brings_back_somebody_erased_beside_the_portal(
    site: Site, allowing: Person, newcomers: Iterator[str], tmp_path: Path
) -> None:
    other = next(newcomers)
    rows, archive = tmp_path / "rows.csv", tmp_path / "archive.zip"
    lines = (f"{each},{SCENE},{GIVEN}" for each in (allowing.subject, other))
    rows.write_text("\n".join(["subject,scene,at", *lines]) + "\n")
    INSTALLED.done("export-customer", allowing.subject, archive, "--data-dir", site.home)
    done("erase", allowing.subject, "--data-dir", site.home)
    printed = done("import-consents", rows, "--source", "crm", "--data-dir", site.home)
    assert "skipped: line 2: given before the customer was erased here" in printed
    assert printed.endswith("1 instructions of class D recorded\n")
    refused = INSTALLED.run("import-archive", archive, "--data-dir", site.home)
    assert (refused.returncode, "was erased here after" in refused.stderr) == (1, True)
    assert "personal" not in views(site.read(SERVICE, SCENE, allowing.subject, FIELD)).values()
    assert views(site.read(SERVICE, SCENE, other, FIELD)) == {FIELD: "personal"}


@feature("M31")
def test_a_bad_row_beside_the_portal_is_named_and_nothing_is_recorded(
    site: Site, newcomers: Iterator[str], tmp_path: Path
) -> None:
    subject = next(newcomers)
    rows = tmp_path / "rows.csv"
    rows.write_text(
        f"subject,scene,at,status\n{subject},{SCENE},{GIVEN},granted\n"
        f"{subject.upper()},{SCENE},{GIVEN},withdrawn\n"
    )
    ran = sovereign("import-consents", rows, "--source", "crm", "--data-dir", site.home)
    assert ran.returncode == 1
    assert (
        f"rows.csv: line 3: want a customer of the source, found '{subject.upper()}'" in ran.stderr
    )
    assert "Traceback" not in ran.stderr
    assert "personal" not in views(site.read(SERVICE, SCENE, subject, FIELD)).values()


def test_new_keys_beside_the_portal_sign_the_next_receipt(
    site: Site, allowing: Person, tmp_path: Path
) -> None:
    INSTALLED.done("rotate-key", "--data-dir", site.home)
    allowing.switch(SCENE, "withdraw")
    receipt = allowing.receipt(allowing.receipts()[0], tmp_path)
    key = site.home / "keys" / "consent.vkey"
    assert done("verify", receipt, "--key", key).startswith("VERIFIED")


def test_a_second_server_on_the_same_data_directory_is_refused_by_name(site: Site) -> None:
    ran = sovereign("serve", "--data-dir", site.home)
    assert ran.returncode == 2
    assert "is being written by `sovereign serve` (process " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert httpx.get(f"{site.address}/healthz").status_code == 200


@contextmanager
def gate_beside(site: Site) -> Iterator[str]:
    """`sovereign gate serve` in a process of its own; its address."""
    port = free_port()
    command = [
        *INSTALLED.sovereign,
        "gate",
        "serve",
        "--data-dir",
        str(site.home),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        command, cwd=INSTALLED.root, env=os.environ | {"SOVEREIGN_DEMO": "true"}
    )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/healthz").status_code == 200
        except httpx.TransportError:
            assert process.poll() is None
            return False

    try:
        wait_for(answers, "answer of the gate")
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_no_gate_answers_from_before_an_erasure(site: Site, allowing: Person) -> None:
    body = {"scene": SCENE, "customer": allowing.subject, "fields": [FIELD]}
    headers = {"Authorization": f"Bearer demo-{SERVICE}"}
    with gate_beside(site) as address:
        before = httpx.post(f"{address}/v1/read", json=body, headers=headers, timeout=PATIENCE_S)
        assert before.json()["fields"][FIELD]["view"] == "personal"
        done("erase", allowing.subject, "--data-dir", site.home)
        after = httpx.post(f"{address}/v1/read", json=body, headers=headers, timeout=PATIENCE_S)
        assert after.json()["fields"][FIELD]["view"] != "personal"
