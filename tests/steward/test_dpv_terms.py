"""Clause 1.4 of specs/receipt.md: every term of DPV that is used exists."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from rdflib import Graph, URIRef

from ledger.events.envelope import Granted, Imported, TriggerCleared, TriggerSet, Withdrawn
from ledger.service import Ledger
from steward.dpv.term import CONTEXT, prefixed
from tests.bank import contracts
from tests.ledger.worlds import opened, say
from tests.steward.receipts import ME, graph, made, scenes, shapes

TERMS = Path("specs/dpv/terms.csv")
OURS = [name for name, base in CONTEXT.items() if base.startswith("https://w3id.org/dpv")]
COUNTRY = re.compile(r"https://w3id\.org/dpv/loc#[A-Z]{2}(-[A-Z0-9]{1,3})?")
WRITTEN = re.compile(rf'"(({"|".join(OURS)}):[A-Za-z][\w-]*)"')


def terms() -> dict[str, str]:
    with TERMS.open(encoding="utf-8", newline="") as file:
        return {row["iri"]: row["label"] for row in csv.DictReader(file)}


def missing(names: Iterable[str]) -> set[str]:
    """Those of DPV's namespaces that do not exist."""
    known = terms()
    of_dpv = {each for each in names if each.startswith("https://w3id.org/dpv")}
    return {each for each in of_dpv if each not in known and not COUNTRY.fullmatch(each)}


def iris(data: Graph) -> Iterator[str]:
    for triple in data:
        yield from (str(each) for each in triple if isinstance(each, URIRef))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = opened(tmp_path)
    yield ledger
    ledger.close()


def test_the_list_is_sorted_by_namespace_and_every_term_stands_in_it_once() -> None:
    found = [line.partition(",")[0] for line in TERMS.read_text("utf-8").splitlines()[1:]]
    spaces = [each.partition("#")[0] for each in found]
    assert len(set(found)) == len(found)
    assert found == sorted(found, key=lambda each: (spaces.index(each.partition("#")[0]), each))
    assert {f"{each}#" for each in spaces} == {CONTEXT[name] for name in OURS}
    assert all(terms().values())


@pytest.mark.parametrize("name", [scene.id for scene in scenes().values() if not scene.locked])
def test_every_term_in_a_receipt_about_the_scene_exists(ledger: Ledger, name: str) -> None:
    fields = tuple(scenes()[name].fields)
    trigger = (name, "metric_below", "model-accuracy")
    acts = (
        Granted(name, fields, None),
        Imported(name, fields, None, "a file"),
        TriggerSet(*trigger, 9200),
        TriggerCleared(*trigger),
        Withdrawn(name),
    )
    for each in say(ledger, ME, *acts):
        assert missing(iris(graph(made(ledger.receipt(each.index, ME))))) == set()


def test_every_term_in_the_shapes_exists() -> None:
    assert missing(iris(shapes())) == set()


def test_every_term_in_the_code_exists() -> None:
    found = {
        CONTEXT[prefix] + name.partition(":")[2]
        for path in Path("steward/dpv").glob("*.py")
        for name, prefix in WRITTEN.findall(path.read_text("utf-8"))
    }
    assert missing(found) == set()
    assert len(found) > 60


def test_the_purpose_of_every_contract_exists() -> None:
    purposes = {scene.id: prefixed(scene.purpose).split(":") for scene in scenes().values()}
    assert len(purposes) == 13
    wrong = {s: missing([CONTEXT[prefix] + name]) for s, (prefix, name) in purposes.items()}
    assert {scene for scene, found in wrong.items() if found} == set()


def test_every_item_has_a_category_of_its_own_kind() -> None:
    assert all(contracts()[0].categories.values())


MISSPELT = {
    "another spelling": "https://w3id.org/dpv#ConsentWithdrawl",
    "a property that the guide names and no release has": "https://w3id.org/dpv#hasLegalName",
    "a term of another namespace": "https://w3id.org/dpv/pd#Consent",
    "a union that does not exist": "https://w3id.org/dpv/loc#EUROPE",
    "a namespace that is not listed": "https://w3id.org/dpv/tech#Device",
}


@pytest.mark.parametrize("why", MISSPELT)
def test_a_term_that_does_not_exist_is_found(why: str) -> None:
    assert missing([MISSPELT[why]]) == {MISSPELT[why]}
