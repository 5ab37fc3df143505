"""A scene's data contract: ODCS v3.1 YAML parsed into a `Scene`.

Two kinds of contract, both ODCS, extended only through `customProperties`:

- a *source* contract (`specs/sources/*.odcs.yaml`) says of every item who produces it, in which
  system, how often, and over which public domain it may be synthesised;
- a *scene* contract (`specs/scenes/*.odcs.yaml`) says for what the items may be used, by which
  services, for how long, what the customer loses without it, and what is answered instead.

One complete example of each: `specs/sources/customer.odcs.yaml`, `specs/scenes/segmentation.odcs.yaml`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from synthetic.domain import Column, Domain, column

Text = Mapping[str, str]  # locale -> words

LOCALES = ("en", "zh-CN")
API_VERSION = "v3.1.0"
MOST_FIELDS = 28  # the field bits of a packed consent word: specs/gate.md


class ContractError(ValueError):
    """A data contract cannot be used. The message names the file, what was wanted and what was found."""


class Fallback(StrEnum):
    """What is answered for a field that may not be read as personal data."""

    WITHHOLD = "withhold"
    SYNTHETIC = "synthetic"
    GENERALISE = "generalise"


class LegalBasis(StrEnum):
    CONSENT = "consent"
    CONTRACT = "contract"  # shown to the customer, locked, not switchable


@dataclass(frozen=True, slots=True)
class Item:
    """A column of the source: where it comes from, and how it may be synthesised (if at all)."""

    name: str
    title: Text
    type: str  # ODCS logicalType
    system: str
    producer: str
    update: str
    legal_basis: str
    domain: Column | None  # None: identifiers and free text are never synthesised
    generalises: str | None  # the item of which this one is a coarser form


@dataclass(frozen=True, slots=True)
class Source:
    id: str
    version: str
    digest: str  # SHA-256 of the file, hex
    systems: Mapping[str, Text]
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class SceneField:
    item: Item
    use: Text
    fallback: Fallback
    generalised_by: str | None  # another field of the same scene, with a grant of its own


@dataclass(frozen=True, slots=True)
class Service:
    """Who may ask in a scene; a `partner` is outside the company and is named to the customer."""

    id: str
    title: Text
    partner: bool


@dataclass(frozen=True, slots=True)
class Scene:
    id: str
    version: str
    digest: str  # SHA-256 of the file, hex
    order: int
    title: Text
    summary: Text
    consequence: Text
    alternative: Text
    purpose: str  # W3C DPV term
    legal_basis: LegalBasis
    longest: timedelta  # no consent outlives this
    fallback: Fallback
    services: tuple[Service, ...]
    fields: Mapping[str, SceneField]  # in the order of their bits
    workload: tuple[tuple[str, ...], ...]  # the group-bys the synthesiser must serve well
    trends: tuple[str, ...]

    @property
    def locked(self) -> bool:
        return self.legal_basis is LegalBasis.CONTRACT

    @property
    def domain(self) -> Domain:
        """The public domain of those fields that can be synthesised."""
        return Domain({n: f.item.domain for n, f in self.fields.items() if f.item.domain})

    def admits(self, service: str) -> bool:
        return any(service == known.id for known in self.services)


def load_source(path: Path) -> Source:
    """Read a source contract. Raises ContractError."""
    data, digest = _read(path)
    with _reporting(path):
        extra = _custom(data)
        items = [_item(each) for each in data["schema"][0]["properties"]]
        systems = {str(k): _text(v) for k, v in extra["systems"].items()}
        _want({i.system for i in items} <= systems.keys(), f"undeclared systems, have {[*systems]}")
        return Source(
            data["id"], data["version"], digest, systems, {item.name: item for item in items}
        )


def load_scene(path: Path, source: Source) -> Scene:
    """Read a scene contract over `source`. Raises ContractError."""
    data, digest = _read(path)
    with _reporting(path):
        extra = _custom(data)
        fallback = Fallback(extra["fallback"])
        fields = _fields(data["schema"][0]["properties"], source, fallback)
        workload = tuple(tuple(map(str, group)) for group in extra.get("workload", []))
        trends = tuple(map(str, extra.get("trends", [])))
        _want(
            {*trends, *(f for g in workload for f in g)} <= fields.keys(),
            "workload over unknown fields",
        )
        return Scene(
            id=_slug(data["id"]),
            version=str(data["version"]),
            digest=digest,
            order=int(extra["order"]),
            title=_text(extra["title"]),
            summary=_text(extra["summary"]),
            consequence=_text(extra["consequence"]),
            alternative=_text(extra["alternative"]),
            purpose=str(extra["purpose"]),
            legal_basis=LegalBasis(extra["legalBasis"]),
            longest=timedelta(days=int(extra["longestConsentDays"])),
            fallback=fallback,
            services=tuple(_service(each) for each in extra["services"]),
            fields=fields,
            workload=workload,
            trends=trends,
        )


def load_scenes(folder: Path, source: Source) -> dict[str, Scene]:
    """All scenes of a folder, by id, in the order in which customers see them."""
    scenes = [load_scene(path, source) for path in sorted(folder.glob("*.odcs.yaml"))]
    if len({scene.id for scene in scenes}) != len(scenes) or not scenes:
        raise ContractError(f"{folder}: want one contract per scene, found {len(scenes)} files")
    return {scene.id: scene for scene in sorted(scenes, key=lambda scene: scene.order)}


def _fields(
    properties: list[dict[str, Any]], source: Source, fallback: Fallback
) -> dict[str, SceneField]:
    _want(0 < len(properties) <= MOST_FIELDS, f"{len(properties)} fields, want 1 to {MOST_FIELDS}")
    names = [str(each["name"]) for each in properties]
    _want(len(set(names)) == len(names), "a field is declared twice")
    _want(set(names) <= source.items.keys(), f"no such items: {set(names) - source.items.keys()}")
    coarser = {source.items[name].generalises: name for name in names}
    fields = {}
    for name, declared in zip(names, properties, strict=True):
        extra = _custom(declared)
        chosen = Fallback(extra.get("fallback", fallback))
        if chosen is Fallback.SYNTHETIC and source.items[name].domain is None:
            chosen = Fallback.WITHHOLD  # identifiers and free text are never synthesised
        fields[name] = SceneField(
            source.items[name], _text(extra["use"]), chosen, coarser.get(name)
        )
    return fields


def _item(declared: dict[str, Any]) -> Item:
    extra = _custom(declared)
    domain = extra.get("domain")
    return Item(
        name=_slug(declared["name"].replace("_", "-")).replace("-", "_"),
        title=_text(extra["title"]),
        type=str(declared["logicalType"]),
        system=str(extra["system"]),
        producer=str(extra["producer"]),
        update=str(extra["update"]),
        legal_basis=str(extra["legalBasis"]),
        domain=column(domain) if domain else None,
        generalises=extra.get("generalises"),
    )


def _service(declared: dict[str, Any]) -> Service:
    return Service(_slug(declared["id"]), _text(declared["title"]), bool(declared["partner"]))


def _custom(declared: dict[str, Any]) -> dict[str, Any]:
    return {each["property"]: each["value"] for each in declared["customProperties"]}


def _text(words: Mapping[str, Any]) -> Text:
    missing = [locale for locale in LOCALES if not str(words.get(locale, "")).strip()]
    _want(not missing, f"words missing in {missing}: {words!r}")
    return {locale: str(words[locale]) for locale in LOCALES}


def _slug(text: str) -> str:
    ok = text.isascii() and text.replace("-", "").isalnum() and text == text.lower()
    _want(ok, f"{text!r} is not an ASCII slug")
    return text


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        raw = path.read_bytes()
        data = yaml.safe_load(raw)
    except (OSError, yaml.YAMLError) as error:
        raise ContractError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict) or data.get("apiVersion") != API_VERSION:
        raise ContractError(f"{path}: want an ODCS contract with apiVersion {API_VERSION}")
    return data, sha256(raw).hexdigest()


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ContractError(otherwise)


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """Every way a contract can be wrong leaves as a ContractError that names the file."""
    try:
        yield
    except KeyError as error:
        raise ContractError(f"{path}: missing {error}") from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise ContractError(f"{path}: {error}") from error
