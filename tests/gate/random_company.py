"""Random companies: contracts and services as YAML and TOML, and the customers' rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from tests.bank import BANK

NOTES = (  # free texts, with and without what is masked
    "Ada asked twice; Flo was told",
    "flo writes from LX05, mail flo.b@mail.example",
    "call +44 770 090 0417 or 13912345678",
    "card 4111 1111 1111 1111, not 4111 1111 1111 1112",
    "id 11010519491231002X, not 110105194912310021",
)

Row = Mapping[str, Any]
ITEMS = ("age", "job", "housing", "name", "location", "postcode_area", "note")
ROWS: dict[str, Row] = {
    name: dict(zip(ITEMS, row, strict=True))
    for name, row in {
        "c1": (31, "admin", "yes", "Ada", "38.7,-9.1", "LX01", NOTES[0]),
        "c2": (44, "other", "no", "Bo", "38.8,-9.2", "LX02", NOTES[2]),
        "c3": (67, "retired", "no", "Cy", "38.9,-9.3", "LX03", NOTES[3]),
        "c4": (31, "admin", "no", "Di", "38.7,-9.1", "LX01", None),
        "c5": (58, None, "yes", "Ed", "38.7,-9.4", "LX04", NOTES[4]),
        "c6": (44, "admin", "yes", "Flo", "38.7,-9.5", "LX05", NOTES[1]),
    }.items()
}
SERVICES = ("analytics", "crm", "broker")  # the last one is a partner
SHARING = "third-party-sharing"  # one of two scenes that the bank's policy has for partners
SCENES = ("alpha", "beta", "gamma", SHARING)
CONDITIONS = (
    ("metric_below", "accuracy"),
    ("count_over", "complaints"),
    ("stale_over", "delay"),
    ("incident_open", "incident"),
)
INTEREST = "legitimate-interest"
BASES = ("consent",) * 5 + (INTEREST,) * 3 + ("contract", "legal-obligation")
PURPOSES = ("ServiceUsageAnalytics", "DirectMarketing", "FraudPreventionAndDetection")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")
DOMAINS: dict[str, Any] = {
    "age": {"kind": "numbers", "lower": 18, "upper": 96, "edges": [30, 45, 60], "integer": True},
    "job": {"kind": "categories", "values": ["admin", "retired", "other"], "other": "other"},
    "housing": {"kind": "categories", "values": ["no", "yes"], "other": "no"},
}
COARSER = {"postcode_area": "location"}  # what generalises what
TEXTS = {"en": "words", "zh-CN": "词语"}


class _WithoutAliases(yaml.SafeDumper):
    """Contracts may have none."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's name
        return True


def write(folder: Path, chance: Random) -> None:
    """A folder that the product reads, and the model too."""
    (folder / "policy").mkdir(parents=True)
    for each in (BANK / "policy").iterdir():
        (folder / "policy" / each.name).write_bytes(each.read_bytes())
    (folder / "company.toml").write_text('origin = "test.example/consent"\n', "utf-8")
    scenes = {name: _scene(chance, name, order) for order, name in enumerate(SCENES, 1)}
    _dump(folder / "sources" / "customer.odcs.yaml", _source())
    for name, made in scenes.items():
        _dump(folder / "scenes" / f"{name}.odcs.yaml", made)
    (folder / "services.toml").write_text(_services(chance, scenes), "utf-8")


def people(path: Path) -> Path:
    with duckdb.connect(path) as connection:
        columns = {"id": [*ROWS]} | {n: [row[n] for row in ROWS.values()] for n in ROWS["c1"]}
        connection.register("people", pa.table(columns))
        connection.execute("CREATE TABLE customer AS SELECT * FROM people")
    return path


def _dump(path: Path, document: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    text = yaml.dump(document, Dumper=_WithoutAliases, allow_unicode=True, sort_keys=False)
    path.write_text(text, "utf-8")


def _contract(name: str, version: str, properties: Sequence[Any], extra: Row) -> dict[str, Any]:
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": name,
        "version": version,
        "status": "active",
        "schema": [{"name": "customer", "logicalType": "object", "properties": [*properties]}],
        "customProperties": _custom(extra),
    }


def _custom(extra: Row) -> list[Any]:
    return [{"property": name, "value": value} for name, value in extra.items()]


def _type(item: str) -> str:
    return "integer" if item == "age" else "string"


def _source() -> dict[str, Any]:
    items = []
    for name in ROWS["c1"]:
        extra: dict[str, object] = {
            "title": TEXTS,
            "system": "core",
            "producer": "branch",
            "update": "daily",
        }
        extra |= {"legalBasis": "consent"}
        extra |= {"domain": DOMAINS[name]} if name in DOMAINS else {}
        extra |= {"generalises": COARSER[name]} if name in COARSER else {}
        extra |= {"freeText": True} if name == "note" else {}
        items.append({"name": name, "logicalType": _type(name), "customProperties": _custom(extra)})
    return _contract("customer", "1.0.0", items, {"systems": {"core": TEXTS}})


def _scene(chance: Random, name: str, order: int) -> dict[str, Any]:
    version, basis = chance.choice(VERSIONS), chance.choice(BASES)
    statistics = chance.random() < 0.25
    some = [*DOMAINS] if statistics else ITEMS
    named = chance.sample(some, chance.randint(2, min(5, len(some))))
    fallback = chance.choice(("withhold", "synthetic", "synthetic"))
    extra: dict[str, Any] = {
        "order": order,
        "legalBasis": basis,
        "purpose": chance.choice(PURPOSES),
        "fallback": fallback,
        "services": [
            {"id": each, "title": TEXTS, "partner": each == "broker"} for each in _admitted(chance)
        ],
        **dict.fromkeys(("title", "summary", "consequence", "alternative"), TEXTS),
    }
    if statistics:
        extra["minimumGroup"] = chance.choice((2, 2, 3))
    if basis not in {INTEREST, "legal-obligation"}:
        extra["longestConsentDays"] = chance.choice((7, 30, 365))
    if chance.random() < 0.25:
        extra["consentSince"] = _up_to(chance, version)
    if chance.random() < 0.3:
        shapes = ("point", "rows", "table", "evaluate")
        extra["shapes"] = chance.sample(shapes, chance.randint(1, 4))
    if chance.random() < 0.8:
        extra["surrogates"] = chance.choice(("none", "independent", "conditional"))
    if chance.random() < 0.6:
        offered = chance.sample(CONDITIONS, chance.randint(1, 3))
        extra["triggers"] = [_condition(chance, *each) for each in offered]
    return _contract(name, version, [_field(chance, each, named, version) for each in named], extra)


def _admitted(chance: Random) -> list[str]:
    return chance.sample(SERVICES, chance.choice((1, 2, 3, 3)))


def _up_to(chance: Random, version: str) -> str:
    return chance.choice([each for each in VERSIONS if each <= version])


def _field(chance: Random, name: str, named: Sequence[str], version: str) -> dict[str, Any]:
    extra: dict[str, Any] = {"use": TEXTS}
    if name == "location" and "postcode_area" in named and chance.random() < 0.7:
        extra["fallback"] = "generalise"
    if chance.random() < 0.25:
        extra["since"] = _up_to(chance, version)
    return {"name": name, "logicalType": _type(name), "customProperties": _custom(extra)}


def _condition(chance: Random, template: str, signal: str) -> dict[str, Any]:
    return {
        "template": template,
        "signal": signal,
        "source": "monitor",
        "freshMinutes": chance.choice((60, 60 * 24 * 7)),
        "threshold": 9200,
        "title": TEXTS,
    }


def _services(chance: Random, scenes: Mapping[str, Any]) -> str:
    tables = []
    for service in SERVICES:
        may = [name for name, each in scenes.items() if service in _named(each)]
        if not may:
            continue
        lines = [
            f"[{service}]",
            'title = { en = "words", zh-CN = "词语" }',
            f"partner = {str(service == 'broker').lower()}",
            f"scenes = {may!r}".replace("'", '"'),
        ]
        if chance.random() < 0.4:
            lines.append(f"quota = {{ points_per_minute = {chance.randint(1, 9)} }}")
        if chance.random() < 0.4:
            only = f'"{chance.choice(may)}" = {{ rows_per_day = {chance.randint(0, 9)} }}'
            lines.append(f"quotas = {{ {only} }}")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def _named(scene: Mapping[str, Any]) -> list[str]:
    extra = {each["property"]: each["value"] for each in scene["customProperties"]}
    return [each["id"] for each in extra["services"]]
