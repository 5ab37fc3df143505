"""Vocabulary names as written in documents.

A name is a prefix and a local part: `dpv:Consent`. tests/steward/test_dpv_terms.py checks that
every DPV name used here is in specs/dpv/terms.csv.
"""

from typing import Any

from gate.contracts.odcs import Text

Node = dict[str, Any]  # an object of JSON-LD

CONTEXT = {
    "ai": "https://w3id.org/dpv/ai#",
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "dpv-27560": "https://w3id.org/dpv/schema/dpv-27560#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "loc": "https://w3id.org/dpv/loc#",
    "pd": "https://w3id.org/dpv/pd#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "schema": "https://schema.org/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
UNKNOWN = "dpv:PersonalData"  # the category of items whose contract names none


def prefixed(purpose: str) -> str:
    """A contract's term with its prefix; a term without one is from the core vocabulary."""
    return purpose if ":" in purpose else f"dpv:{purpose}"


def ref(name: str) -> Node:
    """A reference by IRI or prefixed name."""
    return {"@id": name}


def words(languages: Text) -> list[Node]:
    """A text in every language."""
    return [{"@language": locale, "@value": text} for locale, text in sorted(languages.items())]


def typed(value: str, kind: str) -> Node:
    """A value of a type of XML Schema: `typed("P180D", "duration")`."""
    return {"@type": f"xsd:{kind}", "@value": value}


def checksum(digest: str) -> Node:
    """A SHA-256 in hex."""
    return {"spdx:algorithm": "sha256", "spdx:checksumValue": digest}
