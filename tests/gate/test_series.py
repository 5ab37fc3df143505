"""Series over events: what a contract may declare, and what is counted of one customer."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from math import sqrt
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from gate.contracts.odcs import ContractError
from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scene
from gate.contracts.series import EventSeries
from gate.contracts.source import load_source
from gate.reads.bulk import series
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from portal.commands import app
from steward.contracts.widening import DifferenceKind, differences
from synthetic.model import measure
from synthetic.model.series import Every, Period, PeriodCounts, SeriesTerms
from synthetic.privacy.mechanisms import OperatingSystemNoise
from tests.features.postgres import running

TELCO = Path(__file__).parents[2] / "examples" / "telco"
CONTRACT = TELCO / "scenes" / "contact-statistics.odcs.yaml"
TEXT = CONTRACT.read_text("utf-8")
WRONG = {
    "an unknown key": (
        "at_most: 7",
        "atmost: 7",
        "unknown key in a series: 'atmost', want at_most",
    ),
    "a missing key": ("        sigma: 60\n", "", r"lacks \['sigma'\]"),
    "no bound": ("at_most: 7", "at_most: 0", "want a whole number above 0"),
    "no noise": ("sigma: 60", "sigma: 0", "want a whole number above 0"),
    "noise that is no number": ("sigma: 60", "sigma: true", "want a whole number above 0"),
    "too much noise": ("sigma: 60", "sigma: 99999999", "want at most"),
    "another period": ("every: month", "every: day", "unknown every: 'day', want"),
    "a place that is no zone": ("zone: UTC", "zone: Mars/Olympus", "want one such as UTC or"),
    "a path as a zone": ("zone: UTC", "zone: ../UTC", "want one such as UTC or"),
    "a day in a month": ('"2025-01-01"', '"2025-01-02"', "want the first of a month"),
    "a day that is none": ('"2025-01-01"', '"2025-13-01"', "want a day such as"),
    "an end before the beginning": ('"2026-01-01"', '"2024-01-01"', "want a day after 2025-01-01"),
    "a category twice": ("[call, payment]", "[call, call]", "names something twice"),
    "no category": ("[call, payment]", "[]", "0 values of a category"),
    "a category without a column": ("{column: kind, values", "{values", "wants its column"),
    "a name with a space": ("name: contacts", "name: my contacts", "is not an ASCII slug"),
}


def contract(folder: Path, old: str = "", new: str = "") -> Scene:
    assert old in TEXT
    place = folder / "scene.odcs.yaml"
    place.write_text(TEXT.replace(old, new, 1), "utf-8")
    return load_scene(place, load_source(TELCO / "sources" / "subscriber.odcs.yaml"))


def test_g280_a_series_is_read_as_it_is_declared(tmp_path: Path) -> None:
    (found,) = contract(tmp_path).series
    assert found.terms == SeriesTerms("contacts", Every.MONTH, "UTC", 7, 60, ("call", "payment"))
    assert (found.table, found.customer, found.time) == ("event", "customerid", "happened_at")
    assert (found.since, found.until, found.a_year) == (date(2025, 1, 1), date(2026, 1, 1), 12)


@pytest.mark.parametrize("why", WRONG)
def test_g280_what_is_not_understood_is_refused_with_its_line(why: str, tmp_path: Path) -> None:
    old, new, message = WRONG[why]
    with pytest.raises(ContractError, match=message) as caught:
        contract(tmp_path, old, new)
    assert "scene.odcs.yaml: line " in str(caught.value)


def test_g280_two_series_of_one_name_and_a_series_elsewhere_are_refused(tmp_path: Path) -> None:
    declared = TEXT[TEXT.index("      - name: contacts") :]
    with pytest.raises(ContractError, match="two series have one name"):
        contract(tmp_path, declared, declared + declared)
    with pytest.raises(ContractError, match="in the contract with the shape statistics"):
        contract(tmp_path, "value: [statistics]", "value: [table]")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("table: event", "table: visits", "table visits: the source has no such table"),
        ("time: happened_at", "time: happened", "unknown column: 'happened', want happened_at"),
        ("time: happened_at", "time: minutes", "minutes is integer, want a date or timestamp"),
    ],
)
def test_g280_check_finds_what_the_source_lacks(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    company = tmp_path / "telco"
    copytree(TELCO, company, ignore=ignore_patterns("*.duckdb*"))
    with duckdb.connect(company / "customers.duckdb") as made:
        made.execute("CREATE TABLE event (customerid TEXT, happened_at TIMESTAMP, minutes BIGINT)")
        made.execute("ALTER TABLE event ADD COLUMN kind TEXT")
        made.execute("CREATE TABLE subscriber (customerid TEXT)")
        made.execute("CREATE TABLE contact (subscriber TEXT)")
        made.execute("CREATE TABLE care (subscriber TEXT)")
        made.execute("CREATE TABLE engagement (subscriber TEXT)")
    scene = company / "scenes" / CONTRACT.name
    scene.write_text(TEXT.replace(old, new, 1), "utf-8")
    done = CliRunner().invoke(app, ["check", str(company)])
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert fault in said


def test_g281_another_series_or_more_of_a_customer_widens_the_contract(tmp_path: Path) -> None:
    before = contract(tmp_path)
    for old, new in (("at_most: 7", "at_most: 8"), ("column: kind", "column: late")):
        (found,) = differences(before, contract(tmp_path, old, new))
        assert (found.kind, found.what) == (DifferenceKind.WIDENED, "series contacts")
    assert differences(before, contract(tmp_path, "values: [call, payment]", "values: [call]"))
    assert not differences(before, before)
    assert differences(replace(before, series=()), before)
    assert not differences(before, replace(before, series=()))


def declared(**changes: Any) -> EventSeries:
    terms = SeriesTerms("contacts", Every.MONTH, "Europe/Berlin", 3, 10, ("call", "visit"))
    made = EventSeries(
        terms, {"en": "x"}, "event", "customer", "happened", "kind", date(2026, 1, 1), None, 12
    )
    return replace(made, **changes)


MAY = Period(date(2026, 5, 1), date(2026, 6, 1))
INSIDE, BEFORE, AFTER = "2026-04-30 22:00:00", "2026-04-30 21:59:59", "2026-05-31 22:00:00"
ROWS = [  # customer, time without an offset (UTC), kind
    (1, INSIDE, "call"),
    (1, BEFORE, "call"),
    (1, AFTER, "call"),
    (2, "2026-05-02 08:00:00", "visit"),
    (2, "2026-05-03 08:00:00", "call"),
    (2, "2026-05-04 08:00:00", "call"),
    (2, "2026-05-05 08:00:00", "call"),  # the fourth: more than are counted
    (2, "2026-05-06 08:00:00", "visit"),
    (3, "2026-05-02 08:00:00", "other"),  # of no declared category
    (4, "2026-05-02 08:00:00", "call"),  # objects
    (None, "2026-05-02 08:00:00", "call"),
    (1, None, "call"),
]


def source(folder: Path, rows: list[Any], kind: str = "TIMESTAMP") -> DuckDBSource:
    place = folder / f"{len([*folder.iterdir()])}.duckdb"
    with duckdb.connect(place) as made:
        made.execute("CREATE TABLE customer AS SELECT unnest([1, 2, 3, 4]) AS id")
        made.execute(f"CREATE TABLE event (customer BIGINT, happened {kind}, kind VARCHAR)")
        made.executemany("INSERT INTO event VALUES (?, ?, ?)", rows)
    return DuckDBSource(place)


PEOPLE = pa.array(["1", "2", "3"])


def test_g282_events_are_counted_by_zone_category_and_at_most_so_many_of_each(
    tmp_path: Path,
) -> None:
    tables = source(tmp_path, ROWS)
    assert series.clipped(tables, declared(), MAY, PEOPLE).values.tolist() == [3, 1]
    alone = declared(category=None, terms=replace(declared().terms, categories=(), at_most=4))
    # Without a category the event of another kind counts, and one more of customer 2.
    assert series.clipped(tables, alone, MAY, PEOPLE).values.tolist() == [6]


def test_g282_a_date_is_one_of_the_zone_and_a_time_with_offset_is_itself(tmp_path: Path) -> None:
    days = [(1, "2026-04-30", "call"), (1, "2026-05-01", "call"), (1, "2026-05-31", "call")]
    dated = source(tmp_path, [*days, (1, "2026-06-01", "call")], "DATE")
    assert series.clipped(dated, declared(), MAY, PEOPLE).values.tolist() == [2, 0]
    instants = [
        (1, "2026-05-01 00:00:00+02", "call"),
        (2, "2026-04-30 23:59:59+02", "call"),
        (3, "2026-06-01 00:00:00+02", "call"),
    ]
    aware = source(tmp_path, instants, "TIMESTAMPTZ")
    assert series.clipped(aware, declared(), MAY, PEOPLE).values.tolist() == [1, 0]


def test_g282_a_table_or_column_that_is_missing_or_no_time_is_named(tmp_path: Path) -> None:
    tables = source(tmp_path, ROWS)
    for wrong, message in (
        (declared(table="visits"), "no table 'visits'"),
        (declared(time="hour"), "no column hour"),
        (declared(time="kind", category=None), "want a date or a time"),
    ):
        with pytest.raises(SourceUnavailableError, match=message):
            series.clipped(tables, wrong, MAY, PEOPLE)


def test_g282_postgresql_counts_the_same(tmp_path: Path) -> None:
    import psycopg

    from gate.reads.sources.postgres import PostgresSource

    with running() as server:
        address = server.create()
        with psycopg.connect(address) as made:
            made.execute("CREATE TABLE customer AS SELECT generate_series(1, 4) AS id")
            made.execute("CREATE TABLE event (customer bigint, happened timestamp, kind text)")
            with made.cursor() as cursor:
                cursor.executemany("INSERT INTO event VALUES (%s, %s, %s)", ROWS)
        tables = PostgresSource(address)
        try:
            found = series.clipped(tables, declared(), MAY, PEOPLE)
        finally:
            tables.close()
    assert found.values.tolist() == [3, 1]


def test_g282_it_is_what_a_count_by_hand_gives(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    days = [datetime(2026, 5, 1, 12, tzinfo=UTC).replace(day=d) for d in range(1, 32)]
    rows = [
        (int(random.integers(1, 5)), days[random.integers(31)].isoformat()[:19], kind)
        for kind in random.choice(["call", "visit"], 60).tolist()
    ]
    kept: dict[int, int] = Counter()
    wanted: dict[str, int] = Counter()
    for who, _, kind in sorted(rows, key=lambda row: (row[0], row[1], row[2])):
        if str(who) in PEOPLE.to_pylist() and kept[who] < 3:
            kept[who] += 1
            wanted[kind] += 1
    found = series.clipped(source(tmp_path, rows), declared(), MAY, PEOPLE).values.tolist()
    assert found == [wanted["call"], wanted["visit"]]


TRIALS, CONFIDENCE = 4_000, 3.29
MANY = [(4, f"2026-05-02 08:00:{n:02d}", "call") for n in range(40)]  # one customer's events
Measured = Callable[[DuckDBSource, Any], PeriodCounts]


def by_product(tables: DuckDBSource, people: Any) -> PeriodCounts:
    return series.clipped(tables, declared(), MAY, people)


def halved_noise(tables: DuckDBSource, people: Any) -> PeriodCounts:
    found = by_product(tables, people)
    return replace(found, terms=replace(found.terms, sigma=found.terms.sigma // 2))


def skipped_clamp(tables: DuckDBSource, people: Any) -> PeriodCounts:
    loose = declared(terms=replace(declared().terms, at_most=10**6))
    return series.clipped(tables, loose, MAY, people)


def doubled_contribution(tables: DuckDBSource, people: Any) -> PeriodCounts:
    loose = declared(terms=replace(declared().terms, at_most=6))
    return series.clipped(tables, loose, MAY, people)


def least_mu(folder: Path, counting: Measured) -> float:
    """A lower bound, with 99.9 % confidence, of how well one customer's presence shows."""
    noise, worlds = OperatingSystemNoise(), []
    for rows in (ROWS[:4], ROWS[:4] + MANY):
        found = counting(source(folder, rows), pa.array(["1", "2", "3", "4"]))
        many = measure.events(replace(found, values=np.tile(found.values, TRIALS)), noise)
        worlds.append(many.values.reshape(TRIALS, -1)[:, 0].astype(float))
    absent, present = worlds
    spread = sqrt((absent.var(ddof=1) + present.var(ddof=1)) / 2)
    empirical = (present.mean() - absent.mean()) / spread
    return float(empirical - CONFIDENCE * sqrt(2 / TRIALS + empirical**2 / (4 * TRIALS)))


def test_s80_neighbouring_tables_are_hidden_as_the_series_claims(tmp_path: Path) -> None:
    claimed = sqrt(2 * declared().terms.loss.rho)
    assert least_mu(tmp_path, by_product) <= claimed


@pytest.mark.parametrize("mutant", [halved_noise, skipped_clamp, doubled_contribution])
def test_s80_the_audit_finds(mutant: Measured, tmp_path: Path) -> None:
    claimed = sqrt(2 * declared().terms.loss.rho)
    assert least_mu(tmp_path, mutant) > claimed
