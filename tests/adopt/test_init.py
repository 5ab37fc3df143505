"""Clause C7 of specs/company.md: what `sovereign init` proposes, and that it is worth keeping."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import psycopg
import pytest
from typer.testing import CliRunner

from gate.contracts import company as folders
from gate.contracts.company import Company
from gate.contracts.source import RelatedTable
from portal.adoption import labels
from portal.adoption.labels import UNTRANSLATED
from portal.commands import app
from tests.postgres import fresh

TELCO = Path(__file__).parents[2] / "examples" / "telco"
ROWS, BOOK = TELCO / "customers.csv", TELCO / "codebook.json"
TABLES = """
CREATE TABLE client (nr INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80),
    plan VARCHAR(9) CHECK (plan IN ('basic', 'gold')), shoe_size INTEGER);
CREATE TABLE contact (client INTEGER PRIMARY KEY REFERENCES client (nr), phone VARCHAR(20),
    email VARCHAR(80));
CREATE TABLE consumption (id INTEGER PRIMARY KEY, nr INTEGER NOT NULL UNIQUE,
    minutes INTEGER NOT NULL, roams BOOLEAN);
CREATE TABLE ticket (id INTEGER PRIMARY KEY, client INTEGER REFERENCES client (nr), body VARCHAR(9)
);
CREATE TABLE product (id INTEGER PRIMARY KEY, price INTEGER);
INSERT INTO client VALUES (1, 'Ada Secretly', 'a@secret.example', 'basic', 42);
INSERT INTO client VALUES (2, 'Bo Secretly', 'b@secret.example', 'gold', 43);
INSERT INTO contact VALUES (1, '+999 secret', 'c@secret.example');
INSERT INTO consumption VALUES (7, 1, 12, {true});
INSERT INTO ticket VALUES (1, 1, 'secret'), (2, 1, 'secret');
"""


def run(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, words)])
    return done.exit_code, done.output


def proposed(folder: Path, source: str | Path, *words: str | Path) -> tuple[Company, str]:
    code, printed = run("init", folder, "--from", source, "--origin", "t.example/consent", *words)
    assert code == 0, printed
    return folders.load(folder), printed


def in_sqlite(folder: Path, _: Callable[[], str]) -> str:
    place = folder / "customers.sqlite"
    with closing(sqlite3.connect(place)) as connection:
        connection.executescript(TABLES.format(true="1"))
    return str(place)


def in_duckdb(folder: Path, _: Callable[[], str]) -> str:
    place = folder / "customers.duckdb"
    with duckdb.connect(place) as connection:
        connection.execute(TABLES.format(true="true"))
    return str(place)


def in_postgresql(_: Path, made: Callable[[], str]) -> str:
    place = made()
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(TABLES.format(true="true").encode())
    return place


@pytest.mark.parametrize("made", [in_sqlite, in_duckdb, in_postgresql])
def test_c7_tables_of_one_row_a_customer_are_joined_by_keys_and_references(
    made: Callable[[Path, Callable[[], str]], str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source = made(tmp_path, lambda: fresh(request.getfixturevalue("address")))
    company, printed = proposed(tmp_path / "company", source)
    assert (company.source.table, company.source.key) == ("client", "nr")
    assert {*company.source.related} == {
        RelatedTable("contact", "client", ("phone",)),
        RelatedTable("consumption", "nr", ("minutes", "roams")),
    }
    assert "table ticket is left out: it may have several rows a customer" in printed
    assert "table contact: email is left out: another table has an item" in printed
    assert "product" not in printed
    assert {"phone", "email", "name"} <= {*company.scenes["service"].fields}
    assert "in no scene, so never read: shoe_size, minutes" in printed
    written = "".join(
        each.read_text("utf-8") for each in (tmp_path / "company").rglob("*.*") if each.is_file()
    )
    assert "ecret" not in written.replace(source, "")
    code, checked = run("check", tmp_path / "company")
    assert (code, "no fault" in checked, "outside" in checked) == (0, True, False), checked


UNDECLARED = """
CREATE TABLE person AS SELECT 1 AS customer_id, 30 AS age;
CREATE TABLE bill AS SELECT 1 AS customer_id, 3 AS owed {more};
"""


@pytest.mark.parametrize("more", ["", "UNION ALL SELECT 1, 4"])
def test_c7_what_no_constraint_says_is_proposed_and_counted_by_check(
    more: str, tmp_path: Path
) -> None:
    place = tmp_path / "customers.duckdb"
    with duckdb.connect(place) as connection:
        connection.execute(UNDECLARED.format(more=more))
    refused = run("init", tmp_path / "new", "--from", place, "--origin", "t.example/consent")
    assert (refused[0], "found bill, person: name it with --table" in refused[1]) == (2, True)
    made, printed = proposed(tmp_path / "company", place, "--table", "person")
    assert made.source.related == (RelatedTable("bill", "customer_id", ("owed",)),)
    assert "nothing says that customer_id is unique" in printed
    assert run("check", tmp_path / "company")[0] == (1 if more else 0)


def test_c7_without_permission_only_what_a_contract_needs_is_used(tmp_path: Path) -> None:
    company, _ = proposed(tmp_path / "company", ROWS, "--codebook", BOOK)
    assert {*company.scenes["service"].fields} == {
        "contract",
        "internetservice",
        "monthlycharges",
        "paperlessbilling",
        "paymentmethod",
        "phoneservice",
        "totalcharges",
    }
    counted = {*company.scenes["statistics"].fields}
    assert counted == {*company.source.items} - {"totalcharges"}
    bases = {name: each.legal_basis for name, each in company.source.items.items()}
    assert (bases["contract"], bases["seniorcitizen"]) == ("contract", "consent")


def test_c7_titles_are_those_of_the_codebook_in_every_language(tmp_path: Path) -> None:
    languages = (word for each in ("en", "zh-CN", "de") for word in ("--language", each))
    company, _ = proposed(tmp_path / "company", ROWS, "--codebook", BOOK, *languages)
    whole = folders.load(TELCO).source
    for name, item in company.source.items.items():
        assert item.title == whole.items[name].title
    code, checked = run("check", tmp_path / "company")
    assert checked.startswith("note: releases in a year, at most: ")
    assert (code, checked.splitlines()[1:]) == (0, [f"{tmp_path / 'company'}: no fault"])


def test_c7_without_a_codebook_titles_are_the_words_of_the_names(tmp_path: Path) -> None:
    company, _ = proposed(tmp_path / "company", ROWS)
    title = {name: each.title["en"] for name, each in company.source.items.items()}
    assert title["seniorcitizen"] == "Senior citizen"
    assert title["streamingtv"] == "Streaming TV"
    assert title["tenure"] == "Tenure"
    code, printed = run("check", tmp_path / "company")
    assert (code, "line 27: 17 texts wait for a translation" in printed) == (0, True), printed


def test_c7_no_text_is_half_translated(tmp_path: Path) -> None:
    """A text in Chinese is one, or is marked: no English one stands there unmarked."""
    company, _ = proposed(tmp_path / "company", ROWS)
    texts = [each.title for each in company.source.items.values()]
    texts += [*company.source.systems.values()]
    for scene in company.scenes.values():
        texts += [scene.title, scene.summary, scene.consequence, scene.alternative]
        texts += [each.use for each in scene.fields.values()]
        texts += [each.title for each in scene.services]
    for text in texts:
        chinese = text["zh-CN"]
        assert chinese.startswith(UNTRANSLATED) or not any(each.isascii() for each in chinese), text
    own = [text for scene in company.scenes.values() for text in (scene.summary, scene.consequence)]
    assert not [text for text in own if UNTRANSLATED in text["zh-CN"]]


def test_c7_a_description_and_a_comment_are_titles(tmp_path: Path) -> None:
    place = tmp_path / "customers.duckdb"
    with duckdb.connect(place) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT)")
        connection.execute("COMMENT ON COLUMN customer.a IS 'Shoe size'")
        connection.execute("COMMENT ON COLUMN customer.b IS '鞋码'")
    book = tmp_path / "book.json"
    book.write_text(json.dumps({"c": {"description": "Hat size"}}), "utf-8")
    company, _ = proposed(tmp_path / "company", place, "--codebook", book)
    title = {name: each.title for name, each in company.source.items.items()}
    assert title["a"] == {"en": "Shoe size", "zh-CN": f"{UNTRANSLATED}Shoe size"}
    assert title["b"] == {"en": "B", "zh-CN": "鞋码"}
    assert title["c"] == {"en": "Hat size", "zh-CN": f"{UNTRANSLATED}Hat size"}


SPLIT = {
    "SeniorCitizen": "senior citizen",
    "StreamingTV": "streaming TV",
    "late_payments": "late payments",
    "TVChannels2": "TV channels 2",
    "客户": "客户",
}


@pytest.mark.parametrize("name", SPLIT)
def test_a_name_is_split_into_its_words(name: str) -> None:
    assert " ".join(labels.words(name)) == SPLIT[name]


BOOKS = {
    "a title of another language": ('{"a": {"title": {"French": "x"}}}', "want texts by language"),
    "a title that is none": ('{"a": {"title": 3}}', "title is 3"),
    "a column that says nothing": ('{"a": {}}', "domain without"),
    "a column twice": ('{"a": {"title": "x"}, "a": {"title": "y"}}', "a stands twice"),
    "a description that is none": ('{"a": {"description": []}}', "description is []"),
}


@pytest.mark.parametrize("why", BOOKS)
def test_c7_a_codebook_is_read_or_refused(why: str, tmp_path: Path) -> None:
    text, message = BOOKS[why]
    book = tmp_path / "book.json"
    book.write_text(text, "utf-8")
    words = ("--from", ROWS, "--origin", "t.example/consent", "--codebook", book)
    code, printed = run("init", tmp_path / "new", *words)
    assert (code, message in printed.replace("\n", " ")) == (2, True), printed


def test_c7_a_file_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("id,town\n1,Bonn\n2,Köln\n".encode("latin-1"))
    words = ("--from", tmp_path / "rows.csv", "--origin", "t.example/consent")
    code, printed = run("init", tmp_path / "company", *words)
    assert code == 2
    assert "line 3 is not UTF-8; save the file as UTF-8" in " ".join(printed.split())
