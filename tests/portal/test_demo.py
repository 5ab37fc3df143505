"""Clauses 2.1 to 2.6 of specs/portal.md."""

import gzip
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import duckdb
import pytest

from gate.contracts import scene_file as contract
from gate.contracts import source as source_contract
from portal.demo import load
from portal.demo.sources import customers, grants
from portal.operations.wiring import Product
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.portal.conftest import LAST

ROWS = 45_211


@pytest.fixture(scope="module")
def bank() -> Iterator[Any]:
    with duckdb.connect() as connection:
        assert customers.load(connection) == ROWS
        yield connection


@pytest.fixture(scope="module")
def granted() -> list[grants.Grant]:
    return [*grants.initial_grants()]


def test_the_published_columns_are_unchanged_and_in_order(bank: Any) -> None:
    with customers.bundled() as path, gzip.open(path, "rt") as lines:
        published = [tuple(line.rstrip("\n").split(",")) for line in lines]
    names = ", ".join(f'"{name}"' for name in published[0])
    rows = bank.execute(f"SELECT {names} FROM customer ORDER BY id").fetchall()
    assert [tuple(map(str, row)) for row in rows] == published[1:]


def test_every_declared_item_is_a_column(bank: Any) -> None:
    source = source_contract.load_source(SOURCE_CONTRACT)
    columns = [row[0] for row in bank.execute("DESCRIBE customer").fetchall()]
    held = [name for name, item in source.items.items() if not item.provided]
    assert columns == ["id", *held]
    nothing = " + ".join(f'count(*) FILTER ("{name}" IS NULL)' for name in columns)
    assert bank.execute(f"SELECT {nothing} FROM customer").fetchall() == [(0,)]


def test_generated_items_belong_to_nobody(bank: Any) -> None:
    rows = bank.execute("SELECT email, phone, ip_range FROM customer").fetchall()
    for email, phone, network in rows:
        assert email.endswith((".example", "@example.org", "@example.net"))
        assert phone.startswith(("+44 7700 900", "+1 202 555 01"))
        assert network.startswith(("192.0.2.", "198.51.100.", "203.0.113."))


def test_names_are_chinese_and_english(bank: Any) -> None:
    names = [row[0] for row in bank.execute("SELECT name FROM customer").fetchall()]
    assert 0.35 < sum(not name.isascii() for name in names) / len(names) < 0.45


def test_the_same_seed_makes_the_same_customers_and_another_seed_others(bank: Any) -> None:
    first = bank.execute("SELECT name, email, device_id FROM customer LIMIT 100").fetchall()
    for seed, same in ((customers.SEED, True), (7, False)):
        with duckdb.connect() as connection:
            customers.load(connection, seed=seed)
            again = connection.execute("SELECT name, email, device_id FROM customer LIMIT 100")
            assert (again.fetchall() == first) is same


def test_the_same_seed_makes_the_same_grants_and_another_seed_others(
    granted: list[grants.Grant],
) -> None:
    assert [*islice(grants.initial_grants(), 1000)] == granted[:1000]
    assert [*islice(grants.initial_grants(7), 1000)] != granted[:1000]


def test_a_customer_allows_five_to_seven_scenes_on_average(granted: list[grants.Grant]) -> None:
    assert 5 <= len(granted) / ROWS <= 7
    assert len({(customer, scene) for customer, scene, _ in granted}) == len(granted)


def test_the_contract_scene_is_never_granted_and_every_other_is(
    granted: list[grants.Grant],
) -> None:
    source = source_contract.load_source(SOURCE_CONTRACT)
    scenes = contract.load_scenes(SCENES_FOLDER, source)
    asked = {each.id for each in scenes.values() if each.needs_consent}
    assert {scene for _, scene, _ in granted} == asked
    for _, scene, fields in granted:
        missing = [name for name in scenes[scene].fields if name not in fields]
        assert fields
        assert len(missing) <= 1


def test_grants_depend_on_age_and_job(bank: Any, granted: list[grants.Grant]) -> None:
    people = dict(bank.execute("SELECT id, age FROM customer").fetchall())
    jobs = dict(bank.execute("SELECT id, job FROM customer").fetchall())
    allowed = {customer for customer, scene, _ in granted if scene == "segmentation"}
    young = [each for each, age in people.items() if age < 30]
    old = [each for each, age in people.items() if age >= 60]
    assert _share(young, allowed) > _share(old, allowed) + 0.2
    fortyish = [each for each, age in people.items() if 35 <= age < 45]
    managers = [each for each in fortyish if jobs[each] == "management"]
    workers = [each for each in fortyish if jobs[each] == "blue-collar"]
    assert _share(managers, allowed) > _share(workers, allowed) + 0.05


def test_one_grant_in_six_leaves_out_one_field(granted: list[grants.Grant]) -> None:
    sizes = Counter(len(fields) for _, scene, fields in granted if scene == "ai-training")
    assert sizes.keys() == {16, 17}
    assert abs(sizes[16] / sizes.total() - 1 / 6) < 0.02


def test_only_customers_of_the_table_have_grants(
    product: Product, granted: list[grants.Grant]
) -> None:
    theirs = [each for each in granted if each[0] <= LAST]
    assert load.grants(product, lambda _done, _of: None) == len(theirs)
    assert {*product.gate.subjects()} == {customer for customer, _, _ in theirs}


def _share(people: list[str], allowed: set[str]) -> float:
    return sum(each in allowed for each in people) / len(people)
