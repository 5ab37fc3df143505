"""A contract says in which form its data may be read, and the gate holds to it (G129, G130)."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.features.numbers import CUSTOMERS
from tests.features.served import Site, sovereign

SCENE, SERVICE = "segmentation", "analytics"
NDJSON = "application/x-ndjson"
GROUP = 10  # as the contract says
NARROW = ("loan",)  # few customers: groups of more need few fields


@pytest.fixture(scope="module")
def site(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bank of its own: customers withdraw whom other tests use."""
    folder = tmp_path_factory.mktemp("shapes")
    with Site(shutil.copytree(unserved, folder / "data"), folder / "log").serving() as site:
        yield site


def personal(site: Site) -> Counter[tuple[Any, ...]]:
    body = {"scene": SCENE, "fields": [*NARROW]}
    answer = site.ask(SERVICE, "/v1/table", body, accept=NDJSON)
    assert answer.status_code == 200, answer.text
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == CUSTOMERS
    given = [row for row in rows if row[f"{NARROW[0]}.view"] == "personal"]
    return Counter(tuple(row[name] for name in NARROW) for row in given)


def test_rows_name_nobody_where_the_contract_allows_tables_only(site: Site) -> None:
    refused = site.ask(SERVICE, "/v1/rows", {"scene": SCENE, "fields": ["age"]}, accept=NDJSON)
    assert (refused.status_code, refused.json()["reason"]) == (403, "shape-outside-scene")
    body = {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "resource": {"type": "customer"},
        "context": {"scene": SCENE, "fields": ["age"]},
    }
    found = site.ask(SERVICE, "/access/v1/search/resource", body)
    assert found.json()["results"] == []
    named = site.ask(
        "recommender", "/v1/rows", {"scene": "recommendation", "fields": ["age"]}, NDJSON
    )
    assert named.status_code == 200, "another contract allows rows"
    log = refused.json()["read_log"].rsplit("/", 1)[-1]
    replayed = sovereign("replay", log, "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout


def test_a_service_searches_in_its_own_name_only(site: Site) -> None:
    body = {
        "subject": {"type": "service", "id": "recommender"},
        "action": {"name": "read"},
        "resource": {"type": "customer"},
        "context": {"scene": "recommendation", "fields": ["age"]},
    }
    found = {
        who: len(site.ask(who, "/access/v1/search/resource", body).json()["results"])
        for who in ("recommender", "sales-desk")
    }
    assert found["recommender"] > 0
    assert found["sales-desk"] == 0


def test_personal_rows_of_a_table_are_coarsened_and_leave_in_groups(site: Site) -> None:
    before = personal(site)
    assert before
    assert {size % GROUP for size in before.values()} == {0}
    people = iter(f"c{number:05d}" for number in range(20, 200))
    granted = [who for who, _ in zip(_granting(site, people), range(3), strict=False)]
    for who in granted:
        site.customer(who).switch(SCENE, "withdraw")
        after = personal(site)
        assert {abs(before[each] - after[each]) for each in before | after} <= {0, GROUP}
        before = after
    log = site.read(SERVICE, SCENE, "c00001", "age")["read_log"].rsplit("/", 1)[-1]
    replayed = sovereign("replay", log, "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout


def _granting(site: Site, people: Any) -> Any:
    for who in people:
        if site.read(SERVICE, SCENE, who, *NARROW)["reason"] == "granted":
            yield who


def test_the_contract_says_so() -> None:
    contract = load_scenes(SCENES_FOLDER, load_source(SOURCE_CONTRACT))[SCENE]
    assert ("rows" in contract.shapes, contract.minimum_group) == (False, GROUP)
