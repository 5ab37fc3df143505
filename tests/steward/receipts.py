"""Receipts of every act on a scene, from a real ledger, and what reads them: rdflib and pyshacl."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyshacl
from rdflib import Graph, Namespace, URIRef
from rdflib.namespace import DCTERMS, RDF, SH

from gate.contracts.scene import Scene
from ledger.events.acts import Limited
from ledger.events.envelope import Act, Granted, Imported, TriggerCleared, TriggerSet, Withdrawn
from portal.operations.company_folder import configured, organisation
from portal.operations.settings import Settings
from steward.dpv.consent_receipt import document
from steward.dpv.party import Organisation
from tests.bank import contracts

DPV = Namespace("https://w3id.org/dpv#")
SHAPES = Path("specs/shapes/receipt.ttl")
MADE = datetime(2026, 11, 21, 12, tzinfo=UTC)
ME = "c00007"
OURS: Organisation = organisation(configured(Settings(demo=True))[0])
ACTS: Mapping[str, Act] = {
    "granted": Granted("segmentation", ("age", "job"), None),
    "granted until a day": Granted("segmentation", ("age",), datetime(2026, 6, 1, tzinfo=UTC)),
    "granted to partners": Granted("third-party-sharing", ("name",), None),
    "withdrawn": Withdrawn("segmentation"),
    "withdrawn in part": Withdrawn("segmentation", ("age",)),
    "trigger set": TriggerSet("anomaly-detection", "metric_below", "model-accuracy", 9200),
    "trigger cleared": TriggerCleared("anomaly-detection", "metric_below", "model-accuracy"),
    "imported": Imported("direct-marketing", ("email",), None, "crm-2019.csv line 7"),
    "limited": Limited("segmentation", ("age",), None),
    "limited until a day": Limited("segmentation", ("age",), datetime(2026, 6, 1, tzinfo=UTC)),
}


@cache
def scenes() -> Mapping[str, Scene]:
    return contracts()[1]


@cache
def shapes() -> Graph:
    return Graph().parse(SHAPES, format="turtle")


def made(proof: str, ours: Organisation = OURS) -> dict[str, Any]:
    return document(proof, scenes(), ours, MADE)


def graph(document: Mapping[str, Any]) -> Graph:
    return Graph().parse(data=json.dumps(document), format="json-ld")


def musts() -> dict[str, URIRef]:
    """Every MUST by its number, as the shapes know them."""
    return {
        str(number): shape
        for shape, number in shapes().subject_objects(DCTERMS.identifier)
        if isinstance(shape, URIRef)
    }


def broken(data: Graph) -> set[str]:
    """The numbers of the MUSTs that the graph breaks."""
    _, report, _ = pyshacl.validate(data, shacl_graph=shapes(), meta_shacl=False, advanced=False)
    names = {shape: number for number, shape in musts().items()}
    found = report.objects(None, SH.sourceShape)
    return {names[each] for each in found}


def looked_at(data: Graph) -> dict[str, int]:
    """How many nodes of the graph each shape looks at."""
    found: dict[str, set[Any]] = {}
    for shape, target in shapes().subject_objects(SH.targetClass):
        found.setdefault(str(shape), set()).update(data.subjects(RDF.type, target))
    for shape, target in shapes().subject_objects(SH.targetObjectsOf):
        found.setdefault(str(shape), set()).update(data.objects(None, target))
    for shape, target in shapes().subject_objects(SH.targetSubjectsOf):
        found.setdefault(str(shape), set()).update(data.subjects(target, None))
    return {shape: len(nodes) for shape, nodes in found.items()}
