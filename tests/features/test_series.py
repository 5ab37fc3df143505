"""M9, M34: monthly series over the events of everybody who does not object (G283 to G286)."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import duckdb
import pytest

from tests.features.catalogue import feature
from tests.features.served import Site, wait_for

TELCO = Path(__file__).parents[2] / "examples" / "telco"
SCENE, SERIES, SERVICE = "contact-statistics", "contacts", "capacity-office"
FORBIDDEN = f"""
@id("no-statistics-yet")
forbid (principal, action, resource == Scene::"{SCENE}");
"""
MONTHS = [date(2025, n, 1) for n in range(1, 13)]
GOAL = 0.032
ROWS = """
SELECT date_trunc('month', happened_at)::DATE, kind, count(*) FROM event
WHERE kind IN ('call', 'payment') AND happened_at >= TIMESTAMP '2025-01-01' GROUP BY ALL
"""


@dataclass(frozen=True)
class Counted:
    """A company whose first release was made after a customer had objected to it."""

    site: Site
    company: Path
    objector: str
    other: str
    refused: str  # what the job said while the company's policy forbade the counts
    answer: dict[str, Any]
    rows: dict[tuple[date, str], int]  # events in the table, of everybody


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    folder = tmp_path_factory.mktemp("series")
    company, home = folder / "telco", folder / "data"
    copytree(TELCO, company, ignore=ignore_patterns("*.duckdb*"))
    subprocess.run([sys.executable, str(company / "generate.py")], check=True, capture_output=True)
    home.mkdir()
    with duckdb.connect(company / "customers.duckdb", read_only=True) as source:
        ids = source.execute("SELECT customerid FROM event ORDER BY ALL LIMIT 1").fetchall()
        ids += source.execute("SELECT max(customerid) FROM event").fetchall()
        rows = {(month, kind): n for month, kind, n in source.execute(ROWS).fetchall()}
    (objector,), (other,) = ids
    policy = company / "policy" / "organisation.cedar"
    permitted = policy.read_text("utf-8")
    policy.write_text(permitted + FORBIDDEN, "utf-8")
    words = ("--company", str(company), "--trial")
    attempts = home / "fits" / "attempts.json"
    with Site(home, folder / "first.log", words=words).serving() as site:
        person = site.customer(objector)
        person.switch(SCENE, "withdraw")
        refused = wait_for(lambda: attempts.exists() and attempts.read_text("utf-8"), "attempt")
    policy.write_text(permitted, "utf-8")
    attempts.unlink()  # or the next attempt would wait for a minute
    with Site(home, folder / "second.log", words=words).serving() as site:
        wait_for(lambda: _answer(site)["periods"], "release")
        yield Counted(site, company, objector, other, str(refused), _answer(site), rows)


def _answer(site: Site) -> dict[str, Any]:
    answer = site.ask(SERVICE, "/v1/series", {"scene": SCENE, "series": SERIES})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@feature("M9", "M34")
def test_g283_each_month_is_within_3_2_percent_of_the_events(counted: Counted) -> None:
    periods = counted.answer["periods"]
    assert [each["start"] for each in periods] == [each.isoformat() for each in MONTHS]
    for each in periods:
        month = date.fromisoformat(each["start"])
        truth = {kind: counted.rows[month, kind] for kind in ("call", "payment")}
        total = each["total"]
        assert sum(truth.values()) > 6_000
        assert total["count"] == pytest.approx(sum(truth.values()), rel=GOAL), month
        assert total["count"] == sum(one["count"] for one in each["categories"])
        assert [one["category"] for one in each["categories"]] == [*truth]
        assert (total["bar"], each["categories"][0]["bar"]) == (170, 120)
        assert each["at_most"] == 7
    assert any("beyond `at_most`" in each for each in counted.answer["not_counted"])


@feature("M34")
def test_g284_whoever_objects_is_left_out_and_their_page_says_so(counted: Counted) -> None:
    assert f"{SERVICE} may not count" in counted.refused
    objector = counted.site.customer(counted.objector)
    page = objector.page(f"/customer/scenes/{SCENE}").html
    assert "You object" in objector.page("/customer").html
    assert "From the next totals on, your calls and payments are not counted any more" in page
    assert "your events by month: at most 7 of them count in each month" in page
    assert "counted into totals" not in objector.page("/customer/reads").html
    other = counted.site.customer(counted.other).page("/customer/reads").html
    assert "counted into totals" in other
    assert "Contact statistics" in other
    assert "Calls and payments by month" in other, "the page says that events were counted"


@feature("M34")
def test_g285_the_release_shows_the_series_to_anybody(counted: Counted) -> None:
    visitor = counted.site.visitor()
    page = visitor.page(f"/regulator/releases/{SCENE}").html
    assert "Calls and payments by month" in page
    assert "at most 7 of one customer’s events are counted" in page
    assert len(re.findall(r'class="error-bar"', page)) == 3 * len(MONTHS)
    assert page.count("± 170") == len(MONTHS)
    record = visitor.client.get(f"/releases/{SCENE}.json").json()
    months = [each["start"] for each in record["series"]]
    assert months == [each.isoformat() for each in MONTHS]
    assert {(each["scale"], each["sensitivity"]) for each in record["series"]} == {("60/1", 7)}
    assert record["statement"]["events"] == 7
    spent = Fraction(record["statement"]["rho"])
    assert 12 * Fraction(49, 7200) < spent <= Fraction(record["account"]["spent"]["rho"])


def test_g286_another_service_and_another_series_are_refused(counted: Counted) -> None:
    ask = counted.site.ask
    other = ask("network-planners", "/v1/series", {"scene": SCENE, "series": SERIES})
    assert other.status_code == 403
    unknown = ask(SERVICE, "/v1/series", {"scene": SCENE, "series": "visits"})
    assert unknown.status_code == 403
    assert "series of contact-statistics: contacts" in unknown.text
    wrong = ask(SERVICE, "/v1/series", {"scene": SCENE, "name": SERIES})
    assert wrong.status_code == 400


@feature("M24")
def test_a_note_of_customer_care_leaves_masked(counted: Counted) -> None:
    """Nothing of what the customer is known by is in the answer."""
    seen = set()
    with duckdb.connect(counted.company / "customers.duckdb", read_only=True) as source:
        wanted = "SELECT subscriber, name, email, phone FROM contact ORDER BY ALL LIMIT 12"
        people = source.execute(wanted).fetchall()
    for subject, *values in people:
        answer = counted.site.read("customer-care", "line-and-internet", subject, "last_note")
        note = str(answer["fields"]["last_note"]["value"])
        assert not any(value in note for value in (*values, "4111 1111"))
        seen |= {*re.findall(r"\[[a-z-]+\]", note)}
        assert "2025-05-14" in note or "2025" not in note, "what is no personal value stays"
    assert {"[name]", "[phone]", "[e-mail]", "[card]"} <= seen
