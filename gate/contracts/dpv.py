"""The terms of the W3C Data Privacy Vocabulary that contracts may use: specs/dpv/terms.csv."""

import csv
from functools import cache

from gate.contracts.specs import specs_folder

BASE = "https://w3id.org/dpv"
CATEGORIES = "pd"  # the extension with categories of personal data


@cache
def terms(prefix: str) -> frozenset[str]:
    """The names of the listed terms: of an extension, or of the vocabulary itself."""
    base = f"{BASE}/{prefix}#" if prefix else f"{BASE}#"
    with (specs_folder() / "dpv" / "terms.csv").open(encoding="utf-8", newline="") as file:
        iris = [row["iri"] for row in csv.DictReader(file)]
    return frozenset(iri.removeprefix(base) for iri in iris if iri.startswith(base))
