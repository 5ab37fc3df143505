"""specs/receipt.md, sections 2 to 5: each MUST has a shape, which refuses what breaks it."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyshacl
import pytest
from rdflib import Graph

from ledger.service import Ledger
from tests.ledger.worlds import opened, say
from tests.steward.receipts import ACTS, ME, broken, graph, looked_at, made, musts, shapes

RECORD = ("dpv:hasRecordOfActivity",)
PROCESS = (*RECORD, "dpv:hasProcess")
ENTITY = (*RECORD, "dpv:hasEntity")
EVENT = (*RECORD, "dpv:hasConsentStatus")
STORED = (*PROCESS, "dpv:hasStorageCondition")
ELSEWHERE = {"@id": "https://example.com/other"}
LATER = {"@type": "xsd:dateTime", "@value": "2026-11-21T12:00:00+08:00"}
TEXT = "something else"

# number of the MUST -> where the statement stands, and wrong values of it
MUSTS: dict[str, tuple[tuple[str, ...], list[Any]]] = {
    "T1": (("dct:conformsTo",), [{"@id": "dpv-27560:record"}, ELSEWHERE]),
    "T2": (("dpv:hasIdentifier",), [""]),
    "T3": (RECORD, [{"@type": "dpv:ConsentNotice"}]),
    "T4": (("dct:created",), [TEXT, {"@type": "xsd:dateTime", "@value": "yesterday"}]),
    "T5": (("@type",), ["dpv:ConsentNotice"]),
    "R1": ((*RECORD, "dct:conformsTo"), [{"@id": "dpv-27560:receipt"}, ELSEWHERE]),
    "R2": ((*RECORD, "dct:identifier"), [""]),
    "R3": ((*RECORD, "dpv:hasDataSubject"), [{"@type": "dpv:Purpose"}, ELSEWHERE]),
    "R4": ((*RECORD, "dpv:hasNotice"), []),
    "R5": ((*RECORD, "dpv:hasNotice", "@type"), ["dpv:PrivacyNotice"]),
    "R6": ((*RECORD, "dpv:hasNotice", "dct:language"), ["", "the English one"]),
    "R7": (PROCESS, [{"@type": "dpv:Purpose"}]),
    "R8": (ENTITY, [{"@type": "dpv:ThirdParty"}]),
    "R9": (EVENT, ["given"]),
    "P1": ((*PROCESS, "dpv:hasPurpose"), [TEXT, {"@type": "dpv:Process"}]),
    "P2": ((*PROCESS, "dpv:hasPersonalData"), [TEXT, {"@type": "dpv:Purpose"}]),
    "P3": ((*PROCESS, "dpv:hasPersonalData", "skos:broader"), [TEXT, ELSEWHERE]),
    "P4": ((*STORED, "dpv:hasLocation"), [TEXT]),
    "P5": ((*STORED, "dpv:hasDuration"), [TEXT]),
    "P6": ((*PROCESS, "dpv:hasDataController"), [TEXT, ELSEWHERE]),
    "P7": ((*PROCESS, "dpv:hasRecipient"), [TEXT]),
    "P8": ((*PROCESS, "dpv:hasConsentControl"), [{"@type": "dpv:ProvideConsent"}, TEXT]),
    "P9": ((*PROCESS, "dpv:hasJurisdiction"), [TEXT]),
    "P10": ((*PROCESS, "dpv:hasRight"), [{"@type": "dpv:Purpose"}]),
    "P11": ((*PROCESS, "dpv:hasRight", "dpv:isExercisedAt"), [TEXT]),
    "E1": ((*ENTITY, "dpv:hasName"), [""]),
    "E2": ((*ENTITY, "dpv:hasIdentifier"), [""]),
    "E3": ((*ENTITY, "@type"), ["dpv:Entity"]),
    "E4": ((*ENTITY, "schema:contactPoint"), [TEXT]),
    "E5": ((*ENTITY, "schema:address"), [TEXT, {"@type": "schema:PostalAddress"}]),
    "V1": ((*EVENT, "dpv:hasLegalBasis"), [{"@id": "dpv:Contract"}, TEXT]),
    "V2": ((*EVENT, "@type"), ["dpv:Consent", ["dpv:ConsentGiven", "dpv:ConsentWithdrawn"]]),
    "V3": ((*EVENT, "dpv:isIndicatedAtTime"), [TEXT, LATER]),
    "V4": ((*EVENT, "dpv:hasDuration"), [TEXT, {"@type": "dpv:StorageDuration"}]),
    "V5": ((*EVENT, "dpv:isIndicatedBy"), ["the customer"]),
}
GONE = object()
MUTANTS = {
    f"{number} {'gone' if value is GONE else f'wrong {n}'}": (number, path, value)
    for number, (path, wrong) in MUSTS.items()
    for n, value in enumerate([GONE, *wrong])
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = opened(tmp_path_factory.mktemp("dpv"))
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def documents(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """A document of every act on a scene."""
    said = say(ledger, ME, *ACTS.values())
    return {
        name: made(ledger.receipt(each.index, ME)) for name, each in zip(ACTS, said, strict=True)
    }


def holders(node: Any, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every object that the path leads to."""
    if isinstance(node, list):
        for each in node:
            yield from holders(each, path)
    elif isinstance(node, dict) and not path:
        yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from holders(node[path[0]], path[1:])


def mutant(document: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The same without what stands at the path, or with another value there."""
    changed = copy.deepcopy(document)
    found = [each for each in holders(changed, path[:-1]) if path[-1] in each]
    assert found, f"nothing stands at {path}"
    for each in found:
        if value is GONE:
            del each[path[-1]]
        else:
            each[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", ACTS)
def test_a_receipt_of_every_act_states_all_that_it_must(
    documents: dict[str, dict[str, Any]], name: str
) -> None:
    data = graph(documents[name])
    assert broken(data) == set()
    counts = looked_at(data)
    assert {shape: n for shape, n in counts.items() if n == 0} == {}
    assert len(counts) == 9


def test_every_must_of_the_guide_has_a_number_a_shape_and_a_mutant() -> None:
    law = Path("specs/receipt.md").read_text("utf-8")
    numbered = re.findall(r"^\| ([TRPEV]\d+) \|", law, re.MULTILINE)
    assert sorted(numbered) == sorted(musts())
    assert musts().keys() == MUSTS.keys()


@pytest.mark.parametrize("why", MUTANTS)
def test_a_receipt_that_breaks_a_must_is_refused_under_its_number(
    documents: dict[str, dict[str, Any]], why: str
) -> None:
    number, path, value = MUTANTS[why]
    assert number in broken(graph(mutant(documents["granted"], path, value)))


def test_a_party_without_contact_is_refused_but_a_data_subject_is_not(
    documents: dict[str, dict[str, Any]],
) -> None:
    changed = copy.deepcopy(documents["granted"])
    person = {"@id": "urn:x:1", "@type": "dpv:DataSubject"}
    person |= {"dpv:hasName": "–", "dpv:hasIdentifier": "urn:x:1"}
    changed["dpv:hasRecordOfActivity"]["dpv:hasEntity"].append(person)
    assert broken(graph(changed)) == set()
    person["@type"] = "dpv:ThirdParty"
    assert broken(graph(changed)) == {"E4", "E5"}


def test_the_shapes_are_shapes() -> None:
    conforms, _, text = pyshacl.validate(Graph(), shacl_graph=shapes(), meta_shacl=True)
    assert conforms, text


def test_a_document_without_a_receipt_is_looked_at_by_nobody() -> None:
    nothing = graph({"@context": {"dct": "http://purl.org/dc/terms/"}, "dct:title": "a letter"})
    assert broken(nothing) == set()
    assert set(looked_at(nothing).values()) == {0}
