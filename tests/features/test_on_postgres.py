"""The product over PostgreSQL, as its users meet it: two databases, a portal, a gate, commands."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from portal.commands.lease_watch import LOST
from tests.features.loopback import free_port
from tests.features.postgres import Postgres, values
from tests.features.served import HERE, PATIENCE_S, Site, done, views, wait_for
from tests.features.test_one_writer import gate_beside
from tests.features.test_readiness import asked as readiness
from tests.features.test_readiness import failing
from tests.forked import process as forked

DATABASE, VAULT = "SOVEREIGN_DATABASE", "SOVEREIGN_VAULT_DATABASE"
SCENE, SERVICE, FIELD = "recommendation", "recommender", "age"
ASKED = {"scene": SCENE, "fields": [FIELD]}
LEASE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"


def serve(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A `sovereign serve` that is expected to end by itself."""
    environment = os.environ | settings | {"SOVEREIGN_PORT": str(free_port()), "COLUMNS": "500"}
    return forked.run(["serve", "--data-dir", str(home)], HERE.root, environment, PATIENCE_S)


def refused(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with status 2 and one line, in which the words are."""
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert all(word in ran.stderr for word in words), ran.stderr


def unready(*addresses: str) -> None:
    """17.1: they are alive, and not ready."""
    for each in addresses:
        assert "databases" in failing(each)  # the state, too, once the lease has to be asked for
        assert readiness(each, "/readyz/pages")[0] == 503
        assert readiness(each, "/livez")[0] == 200


@pytest.fixture
def other_host(site_on_postgres: Site, tmp_path: Path) -> Path:
    """A copy of the data directory without what lies in the memory of the first host."""
    ignored = shutil.ignore_patterns("state")
    return shutil.copytree(site_on_postgres.home, tmp_path / "other", ignore=ignored)


def test_a_first_start_puts_every_table_into_the_databases(
    site_on_postgres: Site, postgres: Postgres
) -> None:
    files = [path.name for path in site_on_postgres.home.rglob("*")]
    assert [each for each in files if each.endswith((".sqlite", ".db"))] == []
    schemas = "SELECT nspname FROM pg_namespace"
    vault = site_on_postgres.settings["SOVEREIGN_VAULT_DATABASE"]
    assert "vault" in values(vault, schemas)
    assert not {"ledger", "register"} & {*values(vault, schemas)}
    assert {"ledger", "register"} < {*values(site_on_postgres.settings[DATABASE], schemas)}


def test_a_customer_decides_proves_and_sees_who_read(
    site_on_postgres: Site, newcomers: Iterator[str], tmp_path: Path
) -> None:
    site = site_on_postgres
    customer = site.customer(next(newcomers))

    def read() -> dict[str, str]:
        return views(site.read(SERVICE, SCENE, customer.subject, FIELD))

    assert "personal" not in read().values()
    customer.switch(SCENE, "allow")
    before = customer.page("/customer/reads").html.count("<li>")
    assert read() == {FIELD: "personal"}
    assert customer.page("/customer/reads").html.count("<li>") > before
    body = {"scene": SCENE, "ids": ["nobody", customer.subject], "fields": [FIELD]}
    named = site.ask(SERVICE, "/v1/named", body, "application/x-ndjson")
    reasons = [json.loads(row)["customer.reason"] for row in named.text.splitlines()]
    assert reasons == ["never-granted", "granted"]
    customer.switch(SCENE, "withdraw")
    assert "personal" not in read().values()
    receipt = customer.receipt(customer.receipts()[0], tmp_path)
    key = site.home / "keys" / "consent.vkey"
    assert done("verify", receipt, "--key", key).startswith("VERIFIED")


def test_a_second_server_is_refused_by_name_on_every_host(
    site_on_postgres: Site, other_host: Path
) -> None:
    assert site_on_postgres.process is not None
    named = f"is being written by `sovereign serve` (process {site_on_postgres.process.pid}"
    refused(serve(site_on_postgres.home), named)
    refused(serve(other_host), named, f" on {os.uname().nodename}, since 20")
    assert httpx.get(f"{site_on_postgres.address}/healthz").status_code == 200


def test_a_setting_that_names_a_place_without_the_log_is_refused(
    other_host: Path, postgres: Postgres
) -> None:
    """One that names the log of another data directory: see the paused writer below."""
    remembered = (other_host / "keys" / "databases.json").read_bytes()
    empty = postgres.create()
    name = f"/{make_url(empty).database}"
    refused(serve(other_host, **{DATABASE: empty}), name, "correct the setting, or move them")
    refused(serve(other_host, **{DATABASE: f"sqlite:///{other_host}"}), "files in the data dir")
    refused(serve(other_host, **{VAULT: empty}), "vault_database names", name)
    assert (other_host / "keys" / "databases.json").read_bytes() == remembered


def test_while_the_database_is_down_nothing_is_answered_and_then_all_goes_on(
    site_on_postgres: Site,
    other_host: Path,
    postgres: Postgres,
    newcomers: Iterator[str],
    tmp_path: Path,
) -> None:
    site = site_on_postgres
    customer = site.customer(next(newcomers))
    customer.switch(SCENE, "allow")
    body = ASKED | {"customer": customer.subject}
    with gate_beside(site) as gate:
        headers = {"Authorization": f"Bearer demo-{SERVICE}"}

        def asked(address: str) -> str:
            answer = httpx.post(
                f"{address}/v1/read", json=body, headers=headers, timeout=PATIENCE_S
            )
            return str(views(answer.json())[FIELD] if answer.is_success else answer.status_code)

        assert (asked(site.address), asked(gate)) == ("personal", "personal")
        with postgres.stopped():
            for _ in range(2):
                assert (asked(site.address), asked(gate)) == ("503", "503")
                assert customer.client.get("/customer").status_code == 503
                unready(site.address, gate)
                time.sleep(1.2)
            refused(serve(other_host), "check that the database runs")
            first = tmp_path / "first"
            first.mkdir()
            shutil.copy(site.home / "customers.duckdb", first)
            refused(
                serve(first, SOVEREIGN_DEMO="true", **site.settings), "check that the database runs"
            )
        wait_for(lambda: asked(site.address) == "personal", "answer of the portal")
        wait_for(lambda: asked(gate) == "personal", "answer of the gate")
        wait_for(lambda: not failing(site.address) | failing(gate), "readiness")
        customer.switch(SCENE, "withdraw")
        assert "personal" not in {asked(site.address), asked(gate)}
    wait_for(lambda: "requests are answered" in site.log.read_text(), "word that all goes on")
    printed = site.log.read_text()
    assert "Traceback" not in printed
    assert printed.count("until then nothing is answered") == 1
    assert printed.count("requests are answered") == 1


def test_a_writer_that_was_paused_while_another_one_wrote_answers_nothing_and_ends(
    bank_on_postgres: Site, other_host: Path, postgres: Postgres, tmp_path: Path
) -> None:
    home = tmp_path / "data"
    home.mkdir()
    shutil.copy(bank_on_postgres.home / "customers.duckdb", home)
    settings = {DATABASE: postgres.create(), VAULT: postgres.create()}
    with Site(home, tmp_path / "log", settings=settings).serving() as site:
        process = site.process
        assert process is not None
        site.customer("c00250").switch(SCENE, "allow")
        assert views(site.read(SERVICE, SCENE, "c00250", FIELD)) == {FIELD: "personal"}
        host = shutil.copytree(home, tmp_path / "host", ignore=shutil.ignore_patterns("state"))
        process.send_signal(signal.SIGSTOP)
        values(settings[DATABASE], LEASE)
        assert done("erase", "c00250", "--data-dir", host).startswith("erased: 1")
        process.send_signal(signal.SIGCONT)
        answers_nothing_until_it_ends(site, "c00250")
        assert process.wait(PATIENCE_S) == LOST
    strange = serve(other_host, **{DATABASE: settings[DATABASE]})
    refused(strange, "the log of another data directory")
    ended = site.log.read_text().splitlines()[-1]
    assert "another writer took over" in ended
    assert "start it again" in ended
    assert "Traceback" not in site.log.read_text()


def answers_nothing_until_it_ends(site: Site, customer: str) -> None:
    while True:
        try:
            answer = site.ask(SERVICE, "/v1/read", ASKED | {"customer": customer})
        except httpx.TransportError:
            return
        assert answer.status_code == 503, answer.text
