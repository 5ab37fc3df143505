"""The telecom company of examples/telco: its events; and its three tables, served from SQLite."""

import json
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.features.served import Site, done, pause, views

TELCO = Path(__file__).parents[2] / "examples" / "telco"
TRUTH: dict[str, Any] = tomllib.loads((TELCO / "truth.toml").read_text("utf-8"))
SCENES = {"line-and-internet", "network-planning", "leaving-risk", "tariff-advice"} | {
    "streaming-partner",
    "lead-scoring",
}
RISK = ["contract", "tickets_year"]  # of two tables
EXPOSURE = """
WITH months AS (SELECT unnest(range(24)) AS n)
SELECT n, s.internetservice AS access, count(*) AS customers
FROM months, subscriber s WHERE s.tenure >= 24 - n GROUP BY ALL
"""
KINDS = {"VARCHAR": "TEXT", "BIGINT": "INTEGER", "DOUBLE": "REAL"}
SOME = "SELECT customerid FROM subscriber ORDER BY customerid LIMIT 200"
FAULTY = f"""
SELECT s.customerid FROM ({SOME}) s JOIN care c ON c.subscriber = s.customerid
WHERE c.tickets_year > 0 ORDER BY ALL LIMIT 3
"""
OBSERVED = """
SELECT date_diff('month', TIMESTAMP '2024-01-01', happened_at) AS n, s.internetservice AS access,
       count(*) AS events
FROM event e JOIN subscriber s USING (customerid) WHERE e.kind = ? GROUP BY ALL
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with its generated rows."""
    made = tmp_path_factory.mktemp("telecom") / "telco"
    copytree(TELCO, made, ignore=ignore_patterns("*.duckdb*"))
    program = [sys.executable, str(made / "generate.py")]
    ran = subprocess.run(program, capture_output=True, text=True, check=True)
    (figure,) = re.findall(r"([\d,]+) events", ran.stdout)
    assert figure in (TELCO / "README.md").read_text("utf-8")
    return made


def months(company: Path, query: str, *values: object) -> dict[tuple[int, str], int]:
    with duckdb.connect(company / "customers.duckdb", read_only=True) as database:
        rows = database.execute(query, [*values]).fetchall()
    return {(number, access): count for number, access, count in rows}


@pytest.mark.parametrize("kind", ["call", "ticket"])
def test_the_trend_and_the_seasons_of_the_events_are_those_of_the_truth(
    company: Path, kind: str
) -> None:
    truth = TRUTH[kind]
    seen, exposed = months(company, OBSERVED, kind), months(company, EXPOSURE)
    rates = {
        (n, access): seen.get((n, access), 0) / customers / truth["by_access"][access]
        for (n, access), customers in exposed.items()
        if customers > 500
    }
    assert len(rates) == 24 * 3
    weights = np.sqrt([exposed[key] for key in rates])
    logs = np.log([rate / truth["season"][n % 12] for (n, _), rate in rates.items()])
    slope, level = np.polyfit([n for n, _ in rates], logs, 1, w=weights)
    assert np.expm1(slope) == pytest.approx(truth["trend"], abs=0.004)
    assert np.exp(level) == pytest.approx(truth["a_month"], rel=0.06)
    for calendar, season in enumerate(truth["season"]):
        there = [n for n in range(24) if n % 12 == calendar]
        events = sum(seen.get((n, a), 0) for n, a in exposed if n in there)
        wanted = sum(
            customers * truth["a_month"] * truth["by_access"][a] * (1 + truth["trend"]) ** n
            for (n, a), customers in exposed.items()
            if n in there
        )
        assert events / wanted == pytest.approx(season, rel=4 / events**0.5)


@dataclass(frozen=True, slots=True)
class Served:
    site: Site
    ids: list[str]


@pytest.fixture(scope="module")
def served(company: Path) -> Iterator[Served]:
    assert "no fault" in done("check", company)
    data, rows = company.parent / "data", company.parent / "customers.sqlite"
    data.mkdir()
    ids = copied(company / "customers.duckdb", rows)
    words, settings = ("--company", str(company), "--trial"), {"SOVEREIGN_SOURCE": str(rows)}
    site = Site(data, company.parent / "server.log", settings=settings, words=words)
    with site.serving():
        yield Served(site, ids)


def copied(place: Path, to: Path) -> list[str]:
    """Some customers in a SQLite file with the same tables; returns those with faults."""
    with duckdb.connect(place, read_only=True) as database, closing(sqlite3.connect(to)) as made:
        for table, key in (
            ("subscriber", "customerid"),
            ("contact", "subscriber"),
            ("care", "subscriber"),
            ("engagement", "subscriber"),
        ):
            columns = database.execute(f"DESCRIBE {table}").fetchall()
            declared = ", ".join(f"{name} {KINDS[kind]}" for name, kind, *_ in columns)
            made.execute(f"CREATE TABLE {table} ({declared})")
            rows = database.execute(f"FROM {table} WHERE {key} IN ({SOME})").fetchall()
            made.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
        made.commit()
        return [each for (each,) in database.execute(FAULTY).fetchall()]


def test_customers_see_their_scenes_and_are_greeted_with_a_name_of_a_related_table(
    served: Served,
) -> None:
    page = served.site.customer(served.ids[0]).page("/customer").html
    assert {each for each in SCENES if f"/customer/scenes/{each}" in page} == SCENES
    answer = served.site.read("customer-care", "line-and-internet", served.ids[0], "name", "phone")
    assert views(answer) == {"name": "personal", "phone": "personal"}
    assert answer["fields"]["name"]["value"] in page


def test_c8_a_trial_offers_customers_whom_the_company_has(served: Served) -> None:
    page = served.site.visitor().page("/").html
    offered = re.findall(r'name="customer" value="([^"]+)"', page)
    assert len(offered) == 8
    person = served.site.visitor()
    assert person.client.post("/login", data={"customer": offered[-1]}).status_code == 200
    assert "Hello, " in person.page("/customer").html
    assert "anybody can sign in here as any customer" in page
    assert "bank" not in page


def test_g105_point_rows_and_table_read_items_of_joined_tables(served: Served) -> None:
    site, (one, *others) = served.site, served.ids
    person = site.customer(one)
    person.switch("tariff-advice", "allow")
    body = {"scene": "tariff-advice", "fields": ["name", "internetservice"]}
    (row,) = lines(site.ask("tariff-desk", "/v1/rows", body, accept="application/x-ndjson").text)
    point = site.read("tariff-desk", "tariff-advice", one, "name", "internetservice")["fields"]
    assert {name: row[name] for name in point} == {
        name: each["value"] for name, each in point.items()
    }
    for each in others:
        site.customer(each).switch("leaving-risk", "allow")
    body = {"scene": "leaving-risk", "fields": RISK}
    read = site.ask("care-team", "/v1/table", body, accept="application/x-ndjson")
    assert read.status_code == 200, read.text
    counted = [row for row in lines(read.text) if row["tickets_year.view"] == "personal"]
    assert [row["tickets_year"] > 0 for row in counted] == [True] * len(others)


def test_the_partner_reads_only_where_sharing_is_the_purpose(served: Served) -> None:
    site, subject = served.site, served.ids[1]
    site.customer(subject).switch("streaming-partner", "allow")
    read = site.read("kino-example", "streaming-partner", subject, "name", "streamingtv")
    assert {*views(read).values()} == {"personal"}
    refused = site.ask(
        "kino-example",
        "/v1/read",
        {"scene": "tariff-advice", "customer": subject, "fields": ["name"]},
    )
    assert refused.status_code == 403


def test_every_contract_is_held_by_the_generated_tables(served: Served) -> None:
    pause(1.1)  # the server's own check may just have run, and no two have the same second
    assert " 0 missed" in done("contracts", "check", "--data-dir", served.site.home)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
