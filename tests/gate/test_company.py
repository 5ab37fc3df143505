"""Clauses C2, C3, C5, C6 and C16 of specs/company.md."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from shutil import copy, copytree

import duckdb
import psycopg
import pytest
from typer.testing import CliRunner

from gate.contracts import brand, company, services
from gate.contracts.odcs import ContractError
from gate.decision.quota import Quota
from portal.commands import app
from portal.operations import company_folder
from portal.operations.settings import Settings
from portal.web import pages
from synthetic.model.domain import Categories
from tests.bank import BANK
from tests.postgres import fresh

TELCO = BANK.parent / "telco"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copytree(BANK, tmp_path / "company")


def edited(path: str, before: str, after: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        text = (folder / path).read_text("utf-8")
        assert before in text
        (folder / path).write_text(text.replace(before, after, 1), "utf-8")

    return edit


def branded(line: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        with (folder / TOML).open("a", encoding="utf-8") as file:
            file.write(f"\n[brand]\n{line}\n")

    return edit


def with_logo(content: bytes) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        (folder / "logo.svg").write_bytes(content)
        branded('logo = "logo.svg"')(folder)

    return edit


def drawing(inside: bytes) -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg">' + inside + b"</svg>"


def linked_logo(folder: Path) -> None:
    outside = folder.parent / "outside.svg"
    outside.write_bytes(drawing(b""))
    (folder / "logo.svg").symlink_to(outside)
    branded('logo = "logo.svg"')(folder)


def removed(path: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).unlink()


TOML, RULES = "company.toml", "policy/organisation.cedar"
SCENE = "scenes/segmentation.odcs.yaml"
REGISTER = "services.toml"
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an unknown setting of the brand": (branded('color = "#1f5c56"'), "'color'.*want colour"),
    "a brand that is no table": (
        edited(TOML, "origin", 'brand = "blue"\norigin'),
        "brand is 'blue', want a table",
    ),
    "a colour in words": (branded('colour = "teal"'), "colour is 'teal': want a colour such as"),
    "a colour that nobody can read": (
        branded('colour = "#9fd8d0"'),
        r"it has 1\.\d to 1 with the background #f2efe8, want at least 4.5",
    ),
    "a dark colour on dark pages": (
        branded('dark_colour = "#1f5c56"'),
        r"dark_colour is '#1f5c56': it has 1\.\d to 1 with the background #",
    ),
    "a logo that does not exist": (branded('logo = "logo.svg"'), "logo.svg cannot be read"),
    "a logo of another kind": (branded('logo = "company.toml"'), "want a file that ends in .png"),
    "a logo with a script": (
        with_logo(b"<svg><script>alert(1)</script></svg>"),
        "logo.svg has the element 'svg'",  # of no namespace
    ),
    "a logo with a script of a drawing": (
        with_logo(drawing(b"<script>alert(1)</script>")),
        "logo.svg has the element 'script'",
    ),
    "a logo that loads something": (
        with_logo(drawing(b'<image href="https://t.example/a.png"/>')),
        "the element 'image'",
    ),
    "a logo that acts": (
        with_logo(drawing(b'<path onload="alert(1)"/>')),
        "logo.svg has the attribute 'onload'",
    ),
    "a logo that refers outside": (
        with_logo(drawing(b'<path fill="url(https://t.example/a)"/>')),
        "logo.svg has the attribute 'fill'",
    ),
    "a logo of another folder": (branded('logo = "../logo.svg"'), "want a file of this folder"),
    "a logo behind a link": (linked_logo, "want a file of this folder"),
    "a title with a character that turns the text": (
        branded('title = "a\\u202eb"'),
        "title: want at most 60 characters, all of which can be seen",
    ),
    "a long title": (branded(f'title = "{"t" * 61}"'), "want at most 60 characters"),
    "a logo with an entity": (with_logo(b'<!DOCTYPE svg [<!ENTITY a "b">]><svg/>'), "declaration"),
    "a logo that is no picture": (with_logo(b"\x89PNG"), "logo.svg is no SVG file in UTF-8"),
    "a logo that is cut off": (with_logo(drawing(b"<path")), "logo.svg is no SVG file in UTF-8"),
    "a logo that is too large": (with_logo(b"<svg/>" + b" " * 100_000), "want at most 100,000"),
    "an unknown setting": (
        edited(TOML, "jurisdiction", "jurisdicton"),
        r"company.toml: line 16: unknown setting: 'jurisdicton', want jurisdiction",
    ),
    "an unknown role": (
        edited(TOML, "letters =", "leters ="),
        r"company.toml: line 23: unknown role: 'leters', want letters",
    ),
    "a role of a scene that does not exist": (
        edited(TOML, '"contract-service"', '"contract-servis"'),
        r"line 22: greeting: unknown scene: 'contract-servis', want contract-service",
    ),
    "a role of a service that the scene has not": (
        edited(TOML, '"customer-care"', '"customer-car"'),
        r"line 24: desk: unknown service: 'customer-car', want customer-care",
    ),
    "a role for an item that the scene has not": (
        edited(TOML, '"email" }', '"e-mail" }'),
        r"line 23: letters: unknown item: 'e-mail', want email",
    ),
    "a role that is no table": (edited(TOML, "desk = {", "desk = 1 # {"), "desk is 1, want"),
    "a role without an item": (edited(TOML, ', item = "name"', ""), "greeting is .*, want"),
    "a signal that would withdraw a contract": (
        edited(TOML, '"third-party-sharing"', '"contract-service"'),
        r"line 27: scene 'contract-service' rests on contract: a signal cannot withdraw it",
    ),
    "a signal for an unknown scene": (
        edited(TOML, '"ads-device-id"]', '"ads"]'),
        "line 27: global_privacy_control: unknown scene: 'ads', want",
    ),
    "signals that are no list": (edited(TOML, '["third', '"x" #["third'), "is 'x', want a list"),
    "training in an unknown scene": (
        edited(TOML, '= "ai-training"', '= "ai-trainin"'),
        "line 30: ai_training: unknown scene: 'ai-trainin', want ai-training",
    ),
    "no origin": (edited(TOML, "origin =", "# origin ="), "line 1: origin is None, want a text"),
    "an origin with a space": (edited(TOML, "demo.sov", "demo sov"), "line 5: origin is 'demo sov"),
    "an origin without a name": (edited(TOML, "/consent", ""), "line 5: origin is 'demo.sovereign"),
    "an empty name": (edited(TOML, '"Demonstration company', '" " # "'), "line 12: name is ' '"),
    "a number as a name": (edited(TOML, 'jurisdiction = "EU"', "jurisdiction = 1"), "is 1, want"),
    "a key twice": (edited(TOML, 'email = "', 'email = "a"\nemail = "'), "cannot be read as TOML"),
    "no company.toml": (removed(TOML), "company.toml: cannot be read as TOML"),
    "a scene under another's name": (
        lambda folder: (folder / SCENE).rename(folder / "scenes/segments.odcs.yaml"),
        "segments.odcs.yaml: its id is 'segmentation', want the name segmentation.odcs.yaml",
    ),
    "a scene with another ending": (
        lambda folder: (folder / SCENE).rename(folder / "scenes/segmentation.yaml"),
        "segmentation.yaml: want scene contracts only",
    ),
    "two sources": (
        lambda folder: copy(folder / "sources/customer.odcs.yaml", folder / "sources/b.odcs.yaml"),
        "found 2 source contracts",
    ),
    "no source": (removed("sources/customer.odcs.yaml"), "found 0 source contracts"),
    "a scene's service that is unknown": (
        edited(SCENE, "id: analytics,", "id: analitics,"),
        r"segmentation.odcs.yaml: line \d+: unknown service of .*: \'analitics\', want analytics",
    ),
    "a scene that its service may not ask for": (
        edited(REGISTER, 'scenes = ["segmentation"]', 'scenes = ["segmentation", "lead-scoring"]'),
        r"services.toml: line \d+: analytics: may ask for 'lead-scoring', whose contract does not",
    ),
    "a scene that its service does not list": (
        edited(REGISTER, 'scenes = ["recommendation"]', 'scenes = ["segmentation"]'),
        r"recommendation.odcs.yaml: line \d+: service 'recommender' is named here, and not",
    ),
    "another title of a service": (
        edited(REGISTER, '"Recommendation engine"', '"Engine"'),
        r"recommendation.odcs.yaml: line \d+: title of service 'recommender' .*Engine",
    ),
    "a partner that is none in the contract": (
        edited(
            REGISTER,
            'partner = false\nscenes = ["recommendation"]',
            'partner = true\nscenes = ["recommendation"]',
        ),
        "partner of service 'recommender' is False here and True in services.toml",
    ),
    "an unknown key of a service": (
        edited(REGISTER, "[recommender]\n", "[recommender]\nquotta = {}\n"),
        r"services.toml: line \d+: recommender: unknown key of a service: 'quotta', want quota",
    ),
    "a title in an unknown language": (
        edited(REGISTER, '{ en = "Recommendation', '{ fr = "x", en = "Recommendation'),
        "title of service 'recommender' is .*'fr': 'x'.* in services.toml: want the same",
    ),
    "an unknown limit": (
        edited(REGISTER, "[recommender]\n", "[recommender]\nquota = { rows_a_day = 3 }\n"),
        "recommender: unknown limit in quota: 'rows_a_day', want rows_per_day",
    ),
    "a limit that is no number": (
        edited(REGISTER, "[recommender]\n", '[recommender]\nquota = { rows_per_day = "3" }\n'),
        "recommender: quota.rows_per_day is '3', want a whole number",
    ),
    "a quota in a scene that the service may not ask for": (
        edited(REGISTER, "[recommender]\n", "[recommender]\nquotas = { segmentation = {} }\n"),
        "recommender: unknown scene in quotas: 'segmentation', want recommendation",
    ),
    "an agent that may ask for more than its principal": (
        edited(REGISTER, "[recommender]\n", '[recommender]\non_behalf_of = ["analytics"]\n'),
        "recommender: acts on behalf of 'analytics' and may ask for more than that: recommend",
    ),
    "an agent of nobody known": (
        edited(REGISTER, "[recommender]\n", '[recommender]\non_behalf_of = ["analytic"]\n'),
        "recommender: unknown service in on_behalf_of: 'analytic', want analytics",
    ),
    "an address of a service that is no partner": (
        edited(REGISTER, "[recommender]\n", '[recommender]\nentity = { id = "x" }\n'),
        "recommender: entity of a service of the company itself",
    ),
    "a service that is no table": (
        edited(REGISTER, "\n[customer-care]", "\nx = 1\n[customer-care]"),
        r"services.toml: line \d+: x: is 1, want a table",
    ),
    "a category that DPV does not have": (
        edited(
            "sources/customer.odcs.yaml", "category, value: EmailAddress", "category, value: Mail"
        ),
        r"customer.odcs.yaml: line \d+: unknown category of personal data: 'Mail', want",
    ),
    "roles of a scene for statistics": (
        edited(
            "scenes/anonymous-statistics.odcs.yaml",
            "slaProperties:\n",
            "roles:\n  - {role: analyst, access: read}\nslaProperties:\n",
        ),
        r"statistics.odcs.yaml: line \d+: roles are those who may read rows.*remove roles",
    ),
    "a role of the company that is read from a scene for statistics": (
        edited(
            "company.toml",
            'desk = { scene = "contract-service", service = "customer-care", item = "name" }',
            'desk = { scene = "anonymous-statistics", service = "statistics-office", item = "y" }',
        ),
        r"company.toml: line \d+: desk reads an item of one customer.*name a scene that is read",
    ),
    "a scene's fault": (
        edited(SCENE, "legalBasis, value: consent", "legalBasis, value: consnet"),
        "segmentation.odcs.yaml: .*consnet",
    ),
}


@pytest.mark.parametrize("why", FAULTS)
def test_c2_a_fault_is_refused_with_its_place(why: str, folder: Path) -> None:
    spoil, message = FAULTS[why]
    spoil(folder)
    with pytest.raises(ContractError, match=message):
        company.load(folder)
    assert any(company.faults(folder))


def check(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", str(folder)])
    return done.exit_code, done.output


def test_c6_every_fault_is_listed_at_once(folder: Path) -> None:
    checked = CliRunner().invoke(app, ["check", str(folder)]).stdout.splitlines()
    assert checked[0].startswith("note: releases in a year, at most: ")
    assert checked[1:] == [f"{folder}: no fault"]
    for why in ("a scene's fault", "no origin", "an empty name"):
        FAULTS[why][0](folder)
    edited(RULES, "permit (", "permit ((")(folder)
    status, printed = check(folder)
    assert status == 1
    found = [line for line in printed.splitlines() if line.startswith(f"{folder}/")]
    assert [line.rpartition("/")[2].partition(":")[0] for line in found] == [
        "segmentation.odcs.yaml",
        "company.toml",
        "company.toml",
        "organisation.cedar",
    ]
    assert found[-1].endswith("strict validation: Policy parse error: unexpected token `(`")


NAMES = {
    'Scene::"third-party-sharing"': (
        'Scene::"third-party-sharin"',
        "unknown scene: 'third-party-sharin', want third-party-sharing",
    ),
    "principal.partner": (
        'principal == Service::"analytic"',
        "unknown service: 'analytic', want analytics",
    ),
}


@pytest.mark.parametrize("before", NAMES)
def test_c6_a_rule_about_nothing_is_a_fault(before: str, folder: Path) -> None:
    after, message = NAMES[before]
    edited(RULES, before, after)(folder)
    status, printed = check(folder)
    assert (status, message in printed) == (1, True), printed
    assert "organisation.cedar: line" in printed


def test_c6_no_folder_is_a_mistake(tmp_path: Path) -> None:
    assert check(tmp_path / "nowhere")[0] == 2


SOURCES = {
    "a column that the table has not": (
        "name: tenure",
        "name: tenur",
        "unknown column: 'tenur', want tenure",
    ),
    "another type": (
        "logicalType: integer",
        "logicalType: string",
        "seniorcitizen is string here and integer in the table",
    ),
    "another key": ("name: customerid", "name: customer", "unknown column: 'customer', want"),
    "another table's file": ("customers.csv", "customer.csv", "no file"),
}


@pytest.mark.parametrize("why", SOURCES)
def test_c6_a_contract_that_its_table_does_not_keep_is_a_fault(why: str, tmp_path: Path) -> None:
    before, after, message = SOURCES[why]
    folder, rows = tmp_path / "telco", TELCO / "customers.csv"
    words = ["init", str(folder), "--from", str(rows), "--origin", "t.example/consent"]
    made = CliRunner().invoke(app, words)
    assert made.exit_code == 0, made.output
    for path in [folder / TOML, *folder.rglob("*.odcs.yaml")]:
        path.write_text(path.read_text("utf-8").replace(before, after, 1), "utf-8")
    status, printed = check(folder)
    assert (status, message in printed) == (1, True), printed


REFUSED = {
    "no such file": (["--from", "nowhere.csv"], "no file nowhere.csv"),
    "no such key": (["--key", "id"], "no column 'id': want one of customerid"),
    "a codebook that is none": (["--codebook", str(TELCO / "README.md")], "want a JSON object"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_c7_what_cannot_be_proposed_writes_nothing(why: str, tmp_path: Path) -> None:
    words, message = REFUSED[why]
    origin = ["--origin", "t.example/consent", "--from", str(TELCO / "customers.csv")]
    done = CliRunner().invoke(app, ["init", str(tmp_path / "new"), *origin, *words])
    assert (done.exit_code, message in done.output) == (2, True), done.output
    assert not (tmp_path / "new").exists()


def test_c7_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    words = ["--origin", "t.example/consent", "--from", str(TELCO / "customers.csv")]
    done = CliRunner().invoke(app, ["init", str(tmp_path), *words])
    assert (done.exit_code, "is not empty" in done.output) == (2, True)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_c7_a_codebook_for_columns_that_do_not_exist_is_refused(tmp_path: Path) -> None:
    book = tmp_path / "book.json"
    book.write_text('{"tenur": {"kind": "categories", "values": ["a"], "other": "a"}}')
    words = ["--origin", "t.example/consent", "--from", str(TELCO / "customers.csv")]
    done = CliRunner().invoke(app, ["init", str(tmp_path / "new"), *words, "--codebook", str(book)])
    assert (done.exit_code, "the codebook has tenur" in done.output) == (2, True), done.output


def test_c7_a_database_says_its_key_and_its_enumerations(tmp_path: Path) -> None:
    place = tmp_path / "people.duckdb"
    with duckdb.connect(place) as connection:
        connection.execute("CREATE TYPE plan AS ENUM ('basic', 'gold')")
        connection.execute(
            "CREATE TABLE person (number INTEGER PRIMARY KEY, plan plan NOT NULL, paid BOOLEAN)"
        )
        connection.execute("INSERT INTO person VALUES (1, 'basic', true)")
    words = ["--origin", "t.example/consent", "--from", str(place), "--table", "person"]
    done = CliRunner().invoke(app, ["init", str(tmp_path / "new"), *words])
    assert done.exit_code == 0, done.output
    read = company.load(tmp_path / "new")
    assert (read.source.table, read.source.key) == ("person", "number")
    assert read.source.items["plan"].domain == Categories(("basic", "gold"), "gold")
    status, printed = check(tmp_path / "new")
    assert (status, printed.endswith(f"{tmp_path / 'new'}: no fault\n")) == (0, True)


def test_c7_postgresql_says_the_same(tmp_path: Path, address: str) -> None:
    place = fresh(address)
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("CREATE TYPE plan AS ENUM ('basic', 'gold')")
        connection.execute(
            "CREATE TABLE person (number integer PRIMARY KEY, plan plan NOT NULL, paid boolean)"
        )
        connection.execute("INSERT INTO person VALUES (1, 'basic', true)")
    words = ["--origin", "t.example/consent", "--from", place, "--table", "person"]
    done = CliRunner().invoke(app, ["init", str(tmp_path / "new"), *words])
    assert done.exit_code == 0, done.output
    read = company.load(tmp_path / "new")
    assert (read.source.table, read.source.key) == ("person", "number")
    assert read.source.items["plan"].domain == Categories(("basic", "gold"), "gold")
    assert check(tmp_path / "new")[0] == 0


def test_c13_what_a_service_may_use_and_where_a_partner_is_stand_in_one_file(folder: Path) -> None:
    edited(REGISTER, "[recommender]\n", "[recommender]\nquota = { points_per_minute = 5 }\n")(
        folder
    )
    partner = (
        'entity = { id = "urn:b", name = "Broker", address = "1 Street", email = "b@b.example" }'
    )
    ours = next(each for each in company.load(folder).services.values() if each.partner)
    edited(REGISTER, f"[{ours.id}]\n", f"[{ours.id}]\n{partner}\n")(folder)
    settings, _ = company_folder.configured(Settings(company=str(folder)))
    assert settings.quota["recommender/recommendation"].points_per_minute == 5
    assert settings.partners[ours.id].name == "Broker"
    chosen = {"recommender/recommendation": {"points_per_minute": 9}}
    stated = Settings(company=str(folder), quota=chosen)
    found, _ = company_folder.configured(stated)
    assert found.quota["recommender/recommendation"].points_per_minute == 9, "settings come first"


def test_c13_every_limit_of_a_quota_can_be_set() -> None:
    assert {each.name for each in fields(Quota)} == services.WHOLE | services.SHARES


def test_c14_a_folder_without_the_file_has_the_services_of_its_contracts(folder: Path) -> None:
    (folder / REGISTER).unlink()
    assert company.load(folder).services == {}
    assert not [*company.faults(folder)]


def test_c16_colours_are_compared_with_the_backgrounds_that_pages_have() -> None:
    style = (Path(pages.STATIC) / "style.css").read_text("utf-8")
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    for text, backgrounds in ((light, brand.LIGHT), (dark.partition("*,")[0], brand.DARK)):
        names = ("paper", "surface", "sunk", "warm-paper")
        found = [re.findall(rf"--{each}: (#[0-9a-f]{{6}});", text)[0] for each in names]
        assert tuple(found) == backgrounds
    (ours,) = re.findall(r"--brand: (#[0-9a-f]{6});", light)
    (dark_ours,) = re.findall(r"--brand: (#[0-9a-f]{6});", dark)
    assert brand.wrong_colour(ours, brand.LIGHT) is None
    assert brand.wrong_colour(dark_ours, brand.DARK) is None
    assert round(brand.contrast_of("#000000", "#ffffff"), 2) == 21.0
    assert round(brand.contrast_of("#777777", "#ffffff"), 2) == 4.48  # WCAG's well-known example
