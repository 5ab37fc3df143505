"""Clauses P30 to P33 of specs/portability.md: the state of consent for the company's warehouse."""

import csv
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.features.catalogue import feature
from tests.features.conftest import EXPIRED
from tests.features.postgres import values
from tests.features.served import Site, done, sovereign

COLUMNS = ["scene", "status", "since", "version", "pseudonym"]
WHY = ("--by", "warehouse team", "--reason", "monthly figures")
ME = "c00318"


def exported(home: Path, file: Path, form: str = "parquet") -> list[dict[str, object]]:
    done("export-consent", file, "--format", form, *WHY, "--data-dir", home)
    assert file.stat().st_mode & 0o777 == 0o600
    if form == "parquet":
        return list(parquet.read_table(file).to_pylist())
    if form == "arrow":
        with pa.ipc.open_file(str(file)) as opened:
            return list(opened.read_all().to_pylist())
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@feature("M15")
def test_the_warehouse_gets_what_holds_and_nobodys_name(site: Site, tmp_path: Path) -> None:
    """P30: while it is served, in three forms that say the same."""
    before = exported(site.home, tmp_path / "before.parquet")
    customer = site.customer(ME)
    customer.switch("segmentation", "allow")
    customer.switch_item("segmentation", "age", "withdraw")
    customer.switch("direct-marketing", "withdraw")
    forms = {each: exported(site.home, tmp_path / f"o.{each}", each) for each in FORMS}
    rows = forms["parquet"]
    assert [*rows[0]] == COLUMNS
    assert forms["arrow"] == rows
    assert [each["pseudonym"] for each in forms["csv"]] == [each["pseudonym"] for each in rows]
    written = [f"{each['since']:%Y-%m-%d %H:%M:%SZ}" for each in rows]
    assert [each["since"] for each in forms["csv"]] == written
    known = {each["pseudonym"] for each in before}
    mine = [each for each in rows if each["pseudonym"] not in known]
    assert {each["scene"]: each["status"] for each in mine} == {"segmentation": "partly-allowed"}
    assert len({each["pseudonym"] for each in mine}) == 1
    assert all(each["version"] for each in mine)
    raw = (tmp_path / "o.csv").read_text("utf-8")
    assert ME not in raw
    assert EXPIRED not in raw
    assert {"allowed", "expired"} <= Counter(each["status"] for each in rows).keys()
    assert exported(site.home, tmp_path / "again.parquet") == rows, "pseudonyms stay the same"


FORMS = ("parquet", "arrow", "csv")


def test_each_export_is_in_the_register(site: Site, tmp_path: Path) -> None:
    """P31: before anything is written, with who and what for."""
    exported(site.home, tmp_path / "o.parquet")
    with closing(sqlite3.connect(site.home / "register.sqlite")) as database:
        shown = [each[0] for each in database.execute("SELECT open FROM entry").fetchall()]
    assert any('"monthly figures"' in each and '"warehouse team"' in each for each in shown)
    for words in ((), ("--by", " ", "--reason", "x")):
        refused = sovereign("export-consent", tmp_path / "p", *words, "--data-dir", site.home)
        assert refused.returncode == 2
    assert not (tmp_path / "p").exists()


@feature("M15")
def test_an_erasure_ends_the_pseudonym(unserved: Path, tmp_path: Path) -> None:
    """P32: the rows go at once, and who comes back has another pseudonym."""
    home = shutil.copytree(unserved, tmp_path / "data")
    done("export-consent", "--format", "view", *WHY, "--data-dir", home)
    with closing(sqlite3.connect(home / "warehouse.sqlite")) as database:
        columns = [each[0] for each in database.execute("SELECT * FROM consent").description]
        assert columns == COLUMNS
        before = {*database.execute("SELECT pseudonym, scene FROM consent")}
    done("erase", EXPIRED, "--data-dir", home)
    with closing(sqlite3.connect(home / "warehouse.sqlite")) as database:
        after = {*database.execute("SELECT pseudonym, scene FROM consent")}
    (gone,) = {pseudonym for pseudonym, _ in before - after}
    assert not {each for each in after if each[0] == gone}
    rows = exported(home, tmp_path / "o.parquet")
    assert {(each["pseudonym"], each["scene"]) for each in rows} == after


@pytest.mark.parametrize("words", [("FILE", "--format", "view"), ("--format", "csv")])
def test_a_view_has_no_file_and_a_file_has_one(site: Site, words: tuple[str, ...]) -> None:
    refused = sovereign("export-consent", *words, *WHY, "--data-dir", site.home)
    assert refused.returncode == 2
    assert "want a FILE, or --format view and none" in refused.stderr
    assert not Path("FILE").exists()


@feature("M15")
def test_a_warehouse_reads_a_view_of_postgresql(site_on_postgres: Site) -> None:
    """P33: the command finds the database of the data directory, which the portal serves."""
    site_on_postgres.customer(ME).switch("segmentation", "allow")
    done("export-consent", "--format", "view", *WHY, "--data-dir", site_on_postgres.home)
    database = site_on_postgres.settings["SOVEREIGN_DATABASE"]
    mine = "SELECT count(*) FROM warehouse.consent WHERE scene = 'segmentation'"
    assert values(database, mine) != [0]
    names = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'warehouse'"
    shown = values(database, f"{names} AND table_name = 'consent' ORDER BY ordinal_position")
    assert shown == COLUMNS
