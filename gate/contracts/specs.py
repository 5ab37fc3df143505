"""Where the product finds its specifications, and the terms of the W3C DPV in them."""

import csv
from functools import cache
from pathlib import Path

DPV = "https://w3id.org/dpv"
CATEGORIES = "pd"  # DPV's extension with categories of personal data


def specs_folder() -> Path:
    """The folder of the specifications that the product reads, in a checkout or a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


@cache
def dpv_terms(prefix: str) -> frozenset[str]:
    """The terms that contracts may use: of an extension of DPV, or of the vocabulary itself."""
    base = f"{DPV}/{prefix}#" if prefix else f"{DPV}#"
    with (specs_folder() / "dpv" / "terms.csv").open(encoding="utf-8", newline="") as file:
        iris = [row["iri"] for row in csv.DictReader(file)]
    return frozenset(iri.removeprefix(base) for iri in iris if iri.startswith(base))
