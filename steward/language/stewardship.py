"""Words of stewardship in a language that a company adds: locales/<language>/stewardship.yaml.

    reminder: >-
      Votre autorisation pour « {scene} » a pris fin le {day}. … {address} …
    refused:                     # words that no reminder may contain: steward.agreements
      incentive: [remise*, cadeau*]
      preselection: [par défaut]
      pressure: [dernière chance]
    review:                      # words of high-risk operations: steward.oversight.risk
      refund: [rembours*]

The product's own languages are in specs/stewardship.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gate.contracts import odcs, strict_yaml
from gate.contracts.company import Company
from gate.contracts.specs import specs_folder
from steward.language.catalogue import FOLDER, LanguageError, place, shipped

FILE = "stewardship.yaml"
KEYS = ("reminder", "refused", "review")

Words = Mapping[str, tuple[str, ...]]  # by kind


@dataclass(frozen=True, slots=True)
class StewardshipWords:
    """One language. `refused`: by kind of pressure. `review`: by operation."""

    reminder: str
    refused: Words
    review: Words


def load(company: Company) -> dict[str, StewardshipWords]:
    """The languages that the company adds, by tag. Raises LanguageError."""
    own = [tag for tag in company.languages if tag not in shipped(FOLDER)]
    return {tag: read(place(company.locales, tag).parents[1] / FILE) for tag in own}


def read(path: Path) -> StewardshipWords:
    """Raises LanguageError, with the file and what is missing."""
    try:
        declared = strict_yaml.load(path.read_bytes())
        odcs.require_keys(declared, KEYS, FILE)
        reminder = odcs.string(declared["reminder"], "reminder")
        refused = _words(declared["refused"], _kinds("reminder", "refused"))
        return StewardshipWords(reminder, refused, _words(declared["review"], _kinds("review")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LanguageError(f"{path}: want {', '.join(KEYS)}: {error}") from error


def _kinds(file: str, *keys: str) -> list[str]:
    """The kinds of words of the product's file."""
    declared = strict_yaml.load((specs_folder() / "stewardship" / f"{file}.yaml").read_bytes())
    for key in keys:
        declared = declared[key]
    return [*declared]


def _words(declared: object, kinds: list[str]) -> Words:
    odcs.require_keys(declared, kinds, "words")
    assert isinstance(declared, Mapping)  # noqa: S101 - or else the line above has raised
    read = {kind: odcs.strings(declared[kind], kind) for kind in kinds}
    odcs.want(all(read.values()), "a kind without words, want at least one of each")
    return read
