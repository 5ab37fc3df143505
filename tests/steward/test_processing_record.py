"""Section 6 of specs/receipt.md: records of uses on another basis than consent, and objections."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyshacl
import pytest
from rdflib import Graph, Literal, URIRef
from rdflib.namespace import DCTERMS, RDF, SH
from rdflib.term import Node

from gate.contracts.scene import LegalBasis, Scene
from ledger.events.envelope import SceneAct
from ledger.service import Ledger
from steward.dpv.consent_receipt import document
from steward.dpv.processing_record import of_scene
from steward.dpv.term import CONTEXT
from tests.ledger.events import NOON
from tests.ledger.worlds import opened, say
from tests.steward.receipts import ACTS, DPV, MADE, ME, OURS, graph, scenes
from tests.steward.test_dpv_shapes import GONE, mutant
from tests.steward.test_dpv_terms import iris, missing

SHAPES = Path("specs/shapes/processing.ttl")
GDPR = CONTEXT["eu-gdpr"]
ARTICLES = {
    LegalBasis.CONTRACT: ("Contract", "A6-1-b", {"A15", "A17", "A20"}),
    LegalBasis.OBLIGATION: ("LegalObligation", "A6-1-c", {"A15"}),
    LegalBasis.INTEREST: ("LegitimateInterest", "A6-1-f", {"A15", "A17", "A21"}),
}
STATES = {"withdrawn": "LegitimateInterestObjected"} | dict.fromkeys(
    ("granted", "imported"), "LegitimateInterestNotObjected"
)


def resting_on(basis: LegalBasis, name: str = "segmentation") -> Scene:
    return replace(scenes()[name], legal_basis=basis)


def every_interest() -> dict[str, Scene]:
    """The demonstration's scenes as they would be under legitimate interest."""
    return {name: resting_on(LegalBasis.INTEREST, name) for name in scenes()}


def shapes() -> Graph:
    return Graph().parse(SHAPES, format="turtle")


def broken(data: Graph) -> set[str]:
    law = shapes()
    _, report, _ = pyshacl.validate(data, shacl_graph=law, meta_shacl=False, advanced=False)
    found = report.objects(None, SH.sourceShape)
    return {str(n) for each in found for n in law.objects(each, DCTERMS.identifier)}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = opened(tmp_path_factory.mktemp("records"))
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def proofs(ledger: Ledger) -> dict[str, str]:
    """The receipt of every act on a scene."""
    said = say(ledger, ME, *ACTS.values())
    return {name: ledger.receipt(each.index, ME) for name, each in zip(ACTS, said, strict=True)}


def record(proof: str, place: str = "EU") -> dict[str, Any]:
    return document(proof, every_interest(), replace(OURS, jurisdiction=place), MADE)


@pytest.mark.parametrize("name", ACTS)
def test_a_record_says_exactly_what_the_act_says(proofs: Mapping[str, str], name: str) -> None:
    act, proof = ACTS[name], proofs[name]
    assert isinstance(act, SceneAct)
    data = graph(record(proof))
    assert broken(data) == set()
    assert missing(iris(data)) == set()
    (status,) = data.objects(None, DPV.hasStatus)
    tag = str(act.__struct_config__.tag)
    wanted = STATES.get(tag, "LegitimateInterestStatus")
    assert DPV[wanted] in {*data.objects(status, RDF.type)}
    assert [*data.objects(status, DCTERMS.type)] == [URIRef(f"urn:sovereign:act:{tag}")]
    (at,) = data.objects(status, DPV.isIndicatedAtTime)
    assert isinstance(at, Literal)
    assert at.toPython() == NOON
    (use,) = data.objects(None, DPV.hasProcess)
    items = {str(n) for i in data.objects(use, DPV.hasPersonalData) for n in ids(data, i)}
    named = getattr(act, "fields", None) or scenes()[act.scene].fields
    assert items == {*named}
    (told,) = data.subjects(DPV.hasStatus)
    (source,) = data.objects(told, DCTERMS.source)
    assert str(source).endswith(sha256(proof.encode()).hexdigest())
    assert ME not in json.dumps(record(proof))


def ids(data: Graph, node: Node) -> Iterator[Node]:
    return data.objects(node, DCTERMS.identifier)


def test_an_objection_is_the_exercise_of_the_right_to_object(proofs: Mapping[str, str]) -> None:
    for name, wanted in {"withdrawn": 1, "withdrawn in part": 1, "granted": 0}.items():
        data = graph(record(proofs[name]))
        assert len([*data.subjects(RDF.type, DPV.RightExerciseActivity)]) == wanted
        (status,) = data.objects(None, DPV.hasStatus)
        rights = [*data.objects(status, DPV.hasRight)]
        assert len(rights) == wanted
        for each in rights:
            assert URIRef(f"{GDPR}A21") in {*data.objects(each, RDF.type)}


def test_nothing_of_it_is_a_consent(proofs: Mapping[str, str]) -> None:
    """Nor does it claim the profile of consent records."""
    for proof in proofs.values():
        named = {each.rpartition("#")[2] for each in iris(graph(record(proof)))}
        assert not {each for each in named if "onsent" in each}
        assert "conformsTo" not in record(proof)


@pytest.mark.parametrize("basis", ARTICLES)
@pytest.mark.parametrize("place", ["EU", "CN"])
def test_the_record_of_a_use_names_its_basis_and_the_rights_it_gives(
    basis: LegalBasis, place: str
) -> None:
    term, article, rights = ARTICLES[basis]
    data = graph(of_scene(resting_on(basis), replace(OURS, jurisdiction=place), MADE, {}))
    assert broken(data) == set()
    assert missing(iris(data)) == set()
    (use,) = data.objects(None, DPV.hasProcess)
    wanted = {DPV[term]} | ({URIRef(GDPR + article)} if place == "EU" else set())
    assert {*data.objects(use, DPV.hasLegalBasis)} == wanted
    named = {str(t) for r in data.objects(use, DPV.hasRight) for t in data.objects(r, RDF.type)}
    assert {each.removeprefix(GDPR) for each in named if each.startswith(GDPR)} == (
        rights if place == "EU" else set()
    )
    assert len([*data.objects(use, DPV.hasRight)]) == len(rights)
    necessary = {*data.objects(None, DPV.hasNecessity)}
    assert necessary == {DPV.Optional if basis is LegalBasis.INTEREST else DPV.Required}
    assert [*data.objects(None, DPV.hasStatus)] == [], "nobody gave an instruction"


def test_the_basis_of_a_consent_stays_what_it_was(proofs: Mapping[str, str]) -> None:
    data = graph(document(proofs["granted"], scenes(), OURS, MADE))
    (use,) = data.objects(None, DPV.hasProcess)
    assert [*data.objects(use, DPV.hasLegalBasis)] == [DPV.Consent]


PROCESS, STATUS = ("dpv:hasProcess",), ("dpv:hasStatus",)
OTHER, TEXT = {"@id": "https://example.com/other"}, "something else"
CONSENT_BASIS = [{"@id": "dpv:Consent"}]
MIXED = [{"@id": "dpv:LegitimateInterest"}, {"@id": "eu-gdpr:A6-1-b"}]
WITHDRAWAL = {"@type": ["dpv:DataSubjectRight", "eu-gdpr:A7-3"], "dpv:isExercisedAt": OTHER}
# number of the MUST -> where a statement stands, and wrong values of it
MUSTS: dict[str, list[tuple[tuple[str, ...], list[Any]]]] = {
    "L1": [(("@type",), [GONE, "dpv:ConsentReceipt", ["dpv:DataProcessingRecord", "dpv:Record"]])],
    "L2": [(("dpv:hasIdentifier",), [GONE, ""]), (("dct:created",), [GONE, TEXT])],
    "L3": [((*PROCESS, "dpv:hasLegalBasis"), [GONE, CONSENT_BASIS, MIXED, TEXT])],
    "L4": [
        ((*PROCESS, f"dpv:{name}"), [GONE, TEXT])
        for name in (
            "hasPurpose",
            "hasPersonalData",
            "hasStorageCondition",
            "hasDataController",
            "hasRecipient",
            "hasJurisdiction",
            "hasRight",
        )
    ],
    "L5": [((*PROCESS, "dpv:hasRight", "dpv:isExercisedAt"), [GONE, TEXT])],
    "L6": [((*PROCESS, "dpv:hasRight"), [WITHDRAWAL])],
    "L7": [
        ((*STATUS, "@type"), [GONE, "dpv:ConsentWithdrawn", "dpv:LegitimateInterestObjected"]),
        ((*STATUS, "dpv:isIndicatedAtTime"), [GONE, TEXT]),
        ((*STATUS, "dpv:isIndicatedBy"), [GONE, TEXT]),
        ((*STATUS, "dpv:hasLegalBasis"), [GONE, CONSENT_BASIS]),
    ],
    "L8": [
        (("dct:source",), [GONE, TEXT]),
        (("dpv:hasNotice",), [GONE, {"@type": "dpv:ConsentNotice"}]),
        (("dpv:hasDataSubject",), [GONE, {"@type": "dpv:Purpose"}]),
    ],
}
MUTANTS = {
    f"{number} {path[-1]} {n}": (number, path, value)
    for number, places in MUSTS.items()
    for path, values in places
    for n, value in enumerate(values)
}


@pytest.mark.parametrize("why", MUTANTS)
def test_a_record_that_breaks_a_must_is_refused_under_its_number(
    proofs: Mapping[str, str], why: str
) -> None:
    number, path, value = MUTANTS[why]
    assert number in broken(graph(mutant(record(proofs["withdrawn"]), path, value)))


def test_every_must_has_a_number_a_shape_and_a_mutant() -> None:
    law = Path("specs/receipt.md").read_text("utf-8")
    numbered = {*re.findall(r"^\| (L\d+) \|", law, re.MULTILINE)}
    assert numbered == {str(each) for each in shapes().objects(None, DCTERMS.identifier)}
    assert numbered == {*MUSTS}
    conforms, _, text = pyshacl.validate(Graph(), shacl_graph=shapes(), meta_shacl=True)
    assert conforms, text
