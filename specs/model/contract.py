"""Contracts and services of a company's folder, read with PyYAML and tomllib alone.

Scalars are taken as they are written (PyYAML's BaseLoader): `no` is a word, `1.0` no number. What a
contract may not say is refused by the product (specs/company.md); here it is assumed to be sound.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Version = tuple[int, int, int]
BEGINNING: Version = (0, 0, 0)  # before any contract was published
SHAPES = frozenset({"point", "rows", "table", "evaluate"})
LOCKED = frozenset({"contract", "legal-obligation"})
INTEREST = "legitimate-interest"
Limits = Mapping[tuple[str, str], Mapping[str, int]]  # (service, scene) -> its limits


@dataclass(frozen=True)
class Field:
    fallback: str  # withhold, synthetic or generalise
    coarser: str | None = None  # the field of the scene that generalises this one
    since: Version = BEGINNING
    domain: Mapping[str, Any] | None = None  # as it is written
    free_text: bool = False


@dataclass(frozen=True)
class Condition:
    """A trigger that the contract offers."""

    template: str
    signal: str
    source: str
    fresh_minutes: int


@dataclass(frozen=True)
class Contract:
    id: str
    version: Version
    basis: str
    purpose: str
    fallback: str
    services: Mapping[str, bool]  # service -> whether it is a partner
    fields: Mapping[str, Field]
    longest_days: int | None = None  # None: no grant begins or ends by itself
    consent_since: Version = BEGINNING
    shapes: frozenset[str] = SHAPES
    surrogates: str = "none"
    conditions: Sequence[Condition] = ()
    minimum_group: int | None = None
    known_by: Sequence[str] = ()  # items by which a free text can name a customer

    @property
    def locked(self) -> bool:
        return self.basis in LOCKED


def version(text: str) -> Version:
    """Three plain numbers (specs/health.md, V1); anything else is older than all."""
    if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", text) is None:
        return BEGINNING
    major, minor, patch = map(int, text.split("."))
    return major, minor, patch


def company(folder: Path) -> dict[str, Contract]:
    """The contracts of a company's folder, by scene."""
    (source,) = (folder / "sources").glob("*.odcs.yaml")
    items = _items(source)
    found = (scene(path, items) for path in sorted((folder / "scenes").glob("*.odcs.yaml")))
    return {each.id: each for each in found}


def limits(folder: Path) -> Limits:
    """The quotas of services.toml: those of `quotas` before those of `quota` (company.md, C13)."""
    data = tomllib.loads((folder / "services.toml").read_text("utf-8"))
    return {
        (service, name): each.get("quota", {}) | each.get("quotas", {}).get(name, {})
        for service, each in data.items()
        for name in each["scenes"]
    }


def scene(path: Path, items: Mapping[str, Any]) -> Contract:
    """One contract, over the items of the company's source."""
    data = _document(path)
    extra = _custom(data)
    named = [each["name"] for each in _properties(data)]
    coarser = {_custom(items[name]).get("generalises"): name for name in named}
    return Contract(
        id=data["id"],
        version=version(data["version"]),
        basis=extra["legalBasis"],
        purpose=extra["purpose"],
        fallback=extra["fallback"],
        services={each["id"]: each["partner"] == "true" for each in extra["services"]},
        fields={
            each["name"]: _field(each, items[each["name"]], extra["fallback"], coarser)
            for each in _properties(data)
        },
        longest_days=int(extra["longestConsentDays"]) if "longestConsentDays" in extra else None,
        consent_since=version(extra.get("consentSince", "")),
        shapes=frozenset(extra.get("shapes", SHAPES)),
        surrogates=extra.get("surrogates", "none"),
        conditions=[
            Condition(each["template"], each["signal"], each["source"], int(each["freshMinutes"]))
            for each in extra.get("triggers", [])
        ],
        minimum_group=int(extra.get("minimumGroup", 0)) or None,
        known_by=[name for name, each in items.items() if _names(each)],
    )


def _names(item: Any) -> bool:
    """G29: a text of the source without a public domain."""
    return item["logicalType"] == "string" and not {"domain", "freeText"} & _custom(item).keys()


def _field(declared: Any, item: Any, fallback: str, coarser: Mapping[str | None, str]) -> Field:
    """What has no public domain is never synthesised."""
    extra = _custom(declared)
    chosen = extra.get("fallback", fallback)
    told = _custom(item)
    if chosen == "synthetic" and "domain" not in told:
        chosen = "withhold"
    generalised = coarser.get(declared["name"]) if chosen == "generalise" else None
    since, free = version(extra.get("since", "")), told.get("freeText") == "true"
    return Field(chosen, generalised, since, told.get("domain"), free)


def _items(source: Path) -> dict[str, Any]:
    tables = _document(source)["schema"]
    return {each["name"]: each for table in tables for each in table["properties"]}


def _document(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 - makes text only


def _properties(data: Any) -> Any:
    return data["schema"][0]["properties"]


def _custom(data: Any) -> dict[str, Any]:
    return {each["property"]: each["value"] for each in data.get("customProperties", [])}
