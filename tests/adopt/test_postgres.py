"""A company on PostgreSQL: its customers and everything that is stored, from init to fsck."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.adopt.test_plan import widen
from tests.features.served import HERE, Person, Site, done, views, wait_for
from tests.postgres import fresh

TELCO = Path(__file__).parents[2] / "examples" / "telco"
ORIGIN, SCENE, FIELDS = "pg.example/consent", "statistics", ["contract", "payment"]
CONTRACTS = "'Month-to-month', 'One year', 'Two year'"
PAYMENTS = "'Electronic check', 'Mailed check'"
PEOPLE, ALLOWING = 60, 4


@dataclass(frozen=True, slots=True)
class OnPostgres:
    site: Site
    company: Path
    person: Person  # who allowed and withdrew
    allowing: list[str]

    def run(self, command: str, *words: str) -> tuple[int, str]:
        ran = HERE.run(command, "--company", self.company, "--data-dir", self.site.home, *words)
        return ran.returncode, ran.stdout + ran.stderr


def fill(address: str) -> list[str]:
    """A table with keys of its own type, and one of usage; returns the keys."""
    with (TELCO / "customers.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for _, row in zip(range(PEOPLE), csv.DictReader(file), strict=False)]
    with psycopg.connect(address) as connection:
        connection.execute(
            "CREATE TABLE subscriber (nr uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
            f" contract text CHECK (contract IN ({CONTRACTS})), tenure integer NOT NULL,"
            f" payment text CHECK (payment IN ({PAYMENTS})))".encode()
        )
        for each in rows:
            connection.execute(
                "INSERT INTO subscriber (contract, tenure, payment) VALUES (%s, %s, %s)",
                [each["Contract"], each["tenure"], "Mailed check"],
            )
        found = connection.execute("SELECT nr::text FROM subscriber ORDER BY nr").fetchall()
    return [nr for (nr,) in found]


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[OnPostgres]:
    folder = tmp_path_factory.mktemp("postgres")
    company, data, source = folder / "company", folder / "data", fresh(address)
    data.mkdir()
    ids = fill(source)
    done("init", company, "--from", source, "--table", "subscriber", "--origin", ORIGIN)
    assert "no fault" in done("check", company)
    stored = {"SOVEREIGN_DATABASE": fresh(address), "SOVEREIGN_VAULT_DATABASE": fresh(address)}
    site = Site(
        data, folder / "server.log", settings=stored, words=("--company", str(company), "--trial")
    )
    planned = HERE.run("plan", "--company", company, "--data-dir", data)
    assert (planned.returncode, "statistics  new" in planned.stdout) == (1, True)
    assert [*data.iterdir()] == []
    with site.serving():
        for each in ids[1 : 1 + ALLOWING]:
            site.customer(each).switch(SCENE, "allow")
        person = site.customer(ids[0])
        person.switch(SCENE, "allow")
        person.switch(SCENE, "withdraw")
        yield OnPostgres(site, company, person, ids[1 : 1 + ALLOWING])


def test_everything_is_stored_in_postgresql(adopted: OnPostgres) -> None:
    assert not [*adopted.site.home.rglob("*.sqlite"), *adopted.site.home.rglob("*.duckdb")]


def test_a_service_reads_a_point_rows_and_a_table(adopted: OnPostgres) -> None:
    site = adopted.site
    answer = site.read("analytics", SCENE, adopted.allowing[0], *FIELDS)
    assert views(answer) == dict.fromkeys(FIELDS, "personal")
    refused = site.read("analytics", SCENE, adopted.person.subject, *FIELDS)
    assert "personal" not in views(refused).values()
    for path in ("/v1/rows", "/v1/table"):
        body = {"scene": SCENE, "fields": FIELDS}
        read = site.ask("analytics", path, body, accept="application/x-ndjson")
        assert read.status_code == 200, read.text
        rows = [json.loads(line) for line in read.text.splitlines()]
        assert sum(row["contract.view"] == "personal" for row in rows) == ALLOWING


def test_what_was_recorded_verifies(adopted: OnPostgres, tmp_path: Path) -> None:
    home, person = adopted.site.home, adopted.person
    receipt = person.receipt(person.receipts()[0], tmp_path)
    printed = done("verify", receipt, "--key", home / "keys" / "consent.vkey")
    assert "VERIFIED" in printed
    assert ORIGIN in printed
    log = tmp_path / "log"
    done("export", log, "--data-dir", home)
    assert "clean" in done("audit", log, "--policy", home / "consent.policy")
    assert "0 differ" in done("replay", "--data-dir", home)
    assert "0 missed" in done("contracts", "check", "--data-dir", home)


def test_c9_a_widened_scene_is_planned_applied_and_asked_again(adopted: OnPostgres) -> None:
    """Last in this file: it stops the server and starts it again."""
    site = adopted.site
    widen(adopted.company)
    process = site.process
    assert process is not None
    process.send_signal(15)
    wait_for(lambda: process.poll() is not None, "end of the server")
    code, printed = adopted.run("plan")
    assert (code, f"{ALLOWING} customers allow it, {ALLOWING} of them" in printed) == (1, True)
    assert adopted.run("apply")[0] == 0
    assert adopted.run("plan")[0] == 0
    assert done("fsck", "--data-dir", site.home) == "clean\n"
    with site.serving():
        subject = adopted.allowing[1]
        assert "personal" not in views(site.read("planning", SCENE, subject, *FIELDS)).values()
        site.customer(subject).switch(SCENE, "allow")
        answer = site.read("planning", SCENE, subject, *FIELDS)
        assert views(answer) == dict.fromkeys(FIELDS, "personal")
