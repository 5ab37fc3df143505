"""Clauses C1, C4 and C16 of specs/company.md: another company, served."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

from tests.bank import BANK
from tests.features.catalogue import feature
from tests.features.conftest import _run, prepared
from tests.features.served import Site, pause, sovereign, views

SCENES = {"recommendation": "offers", "contract-service": "supply"}
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M4 0 8 8H0z"/></svg>'
SERVICE, FIELD, ORIGIN = "recommender", "age", "water.example/consent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with names of its own, and no role."""
    made = tmp_path_factory.mktemp("water") / "company"
    copytree(BANK / "sources", made / "sources")
    (made / "scenes").mkdir()
    for theirs, ours in SCENES.items():
        text = (BANK / "scenes" / f"{theirs}.odcs.yaml").read_text("utf-8")
        text = re.sub(r"^id: .*", f"id: {ours}", text, count=1, flags=re.MULTILINE)
        text = re.sub(r".*property: population.*\n", "", text)  # of consent alone
        (made / "scenes" / f"{ours}.odcs.yaml").write_text(text, "utf-8")
    (made / "policy").mkdir()
    rules = 'permit (principal, action == Action::"read", resource);\n'
    (made / "policy" / "organisation.cedar").write_text(rules)
    brand = '[brand]\ntitle = "Blue Water"\nlogo = "drop.svg"\ncolour = "#0b4f8a"\n'
    (made / "company.toml").write_text(
        f'origin = "{ORIGIN}"\nlanguages = ["en", "zh-CN", "de"]\nname = "Water"\n{brand}'
    )
    (made / "drop.svg").write_text(LOGO)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the customers' rows and nothing else."""
    made = tmp_path_factory.mktemp("company") / "data"
    made.mkdir()
    copy(prepared(_run(tmp_path_factory)) / "customers.duckdb", made)
    return made


@pytest.fixture(scope="module")
def site(home: Path, folder: Path) -> Iterator[Site]:
    settings = {"SOVEREIGN_COMPANY": str(folder)}
    with Site(home, home.parent / "server.log", settings=settings).serving() as served:
        yield served


@feature("M32")
def test_c4_a_customer_signs_in_decides_and_is_obeyed_without_any_role(site: Site) -> None:
    person = site.customer("c00007")
    person.switch("offers", "allow")
    assert views(site.read(SERVICE, "offers", "c00007", FIELD)) == {FIELD: "personal"}
    person.switch("offers", "withdraw")
    assert views(site.read(SERVICE, "offers", "c00007", FIELD)) != {FIELD: "personal"}


def test_c4_a_browsers_signal_stops_nobodys_page(site: Site) -> None:
    person = site.customer("c00008")
    person.client.headers["Sec-GPC"] = "1"
    for path in ("/customer", "/customer/history", "/customer/reads", "/customer/map"):
        assert person.page(path).status == 200
    assert person.receipts() == [], "the company names no scene that the signal withdraws"


@feature("M32")
def test_c16_pages_look_as_the_company_says(site: Site) -> None:
    person = site.customer("c00009")
    page = person.page("/customer").html
    assert "<span>Blue Water</span>" in page
    assert "· Blue Water</title>" in page
    (style,) = re.findall(r'href="(/brand/colours\.css[^"]*)"', page)
    (logo,) = re.findall(r'<img src="(/brand/logo[^"]*)"', page)
    colours = person.client.get(style)
    assert colours.headers["content-type"].startswith("text/css")
    assert "--brand: #0b4f8a; --brand-ink: #ffffff;" in colours.text
    assert "prefers-color-scheme: light" in colours.text, "no dark colour is given"
    drawn = person.client.get(logo)
    assert (drawn.text, drawn.headers["content-type"]) == (LOGO, "image/svg+xml")
    assert "immutable" in drawn.headers["cache-control"]


def test_c1_commands_find_the_company_by_the_data_directory(site: Site, folder: Path) -> None:
    remembered = json.loads((site.home / "company.json").read_text("utf-8"))
    assert remembered["folder"] == str(folder)
    for words in (("replay",), ("steward", "run"), ("contracts", "check")):
        done = sovereign(*words, "--data-dir", site.home)
        if "nothing was checked" in done.stderr:  # the job checked within the same second
            pause(1.5)
            done = sovereign(*words, "--data-dir", site.home)
        assert done.returncode in {0, 1}, done.stderr
    assert site.visitor().page("/contracts/offers.odcs.yaml").status == 200
    assert f"log {ORIGIN}+" in (site.home / "consent.policy").read_text()


def test_c1_a_directory_that_is_nobodys_is_refused_and_stays_empty(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    copy(home / "customers.duckdb", tmp_path / "new")
    done = sovereign("serve", "--data-dir", tmp_path / "new")
    assert done.returncode == 2
    assert "is no company's yet; set `company`" in done.stderr
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["customers.duckdb"]


def test_c1_a_folder_that_has_gone_is_named(site: Site, tmp_path: Path) -> None:
    done = sovereign("serve", "--data-dir", tmp_path, "--company", tmp_path / "gone")
    assert done.returncode == 2
    assert f"the company's folder {tmp_path / 'gone'} does not exist" in done.stderr


def test_rows_that_are_generated_are_missing_with_the_command_that_makes_them(
    tmp_path: Path,
) -> None:
    made = copytree(BANK.parent / "telco", tmp_path / "telco", ignore=ignore_patterns("*.duckdb*"))
    cure = f"run python {made / 'generate.py'}, which writes it"
    checked = sovereign("check", made)
    assert (checked.returncode, cure in checked.stderr) == (1, True), checked.stderr
    (tmp_path / "data").mkdir()
    served = sovereign("serve", "--trial", "--company", made, "--data-dir", tmp_path / "data")
    assert (served.returncode, cure in served.stderr) == (2, True), served.stderr
