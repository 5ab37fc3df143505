"""JSON Schemas (draft 7) with which editors complete and check a company's files.

They are made from the same sets of names that the parsers read, so a key that a schema knows is one
that is read. They see one file at a time: what refers to another file is for `sovereign check`.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from gate.contracts import company, odcs, quality, scene_file, series, sla, source
from gate.contracts.company import ItemUse, LegalEntity, Roles
from gate.contracts.quality import Metric, Unit
from gate.contracts.scene import Fallback, LegalBasis, Population, ReadShape, Surrogates
from gate.contracts.sla import Level
from gate.contracts.triggers import Template
from synthetic.model.series import Every

Schema = dict[str, Any]
FOLDER = ".schemas"  # of a company's folder
DRAFT = "http://json-schema.org/draft-07/schema#"
TEXT: Schema = {"type": "string", "pattern": r"\S"}
TRUTH: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
SLUG: Schema = {"type": "string", "pattern": "^[a-z0-9-]*[a-z0-9][a-z0-9-]*$"}
VERSION: Schema = {"type": "string", "pattern": r"^(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){2}$"}
ORIGIN: Schema = {"type": "string", "pattern": "^[a-z0-9.-]+(/[A-Za-z0-9._-]+)+$"}
COLOUR: Schema = {"type": "string", "pattern": "^#[0-9a-f]{6}$"}
LANGUAGE: Schema = {"type": "string", "pattern": f"^{odcs.LANGUAGE.pattern}$"}
WORDS: Schema = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": LANGUAGE,
    "additionalProperties": TEXT,
}
_LISTED: Schema = {"type": "array", "uniqueItems": True}
_NAMES: Schema = {**_LISTED, "items": TEXT}


def files() -> dict[str, str]:
    """The schemas as files of a company's folder, by path."""
    return {
        place(kind): json.dumps(schema, ensure_ascii=False, indent=1) + "\n"
        for kind, schema in every().items()
    }


def place(kind: str) -> str:
    """Where the schema of a kind of file lies in a company's folder."""
    return f"{FOLDER}/{kind}.schema.json"


def every() -> dict[str, Schema]:
    """The schemas by the kind of file: company, source, scene."""
    return {"company": company_file(), "source": source_contract(), "scene": scene_contract()}


def company_file() -> Schema:
    """company.toml."""
    use = _object({each.name: SLUG for each in fields(ItemUse)}, every_key=True)
    use["properties"]["item"] = TEXT
    uses = {each.name: use for each in fields(Roles) if "ItemUse" in str(each.type)}
    roles = _object({**uses, "global_privacy_control": _NAMES, "ai_training": TEXT})
    entity = {each.name: TEXT for each in fields(LegalEntity)}
    brand = _object({"title": TEXT, "logo": TEXT, "colour": COLOUR, "dark_colour": COLOUR})
    languages = {**_LISTED, "items": LANGUAGE, "minItems": 1}
    known = {"origin": ORIGIN, "source": TEXT, "roles": roles, "brand": brand, **entity}
    known |= {"languages": languages}
    known |= {name: {} for name in company.SETTINGS - known.keys()}
    return _titled("A company: company.toml", {**_object(known), "required": ["origin"]})


def source_contract() -> Schema:
    """sources/*.odcs.yaml."""
    custom = _custom(
        {
            "deliveries": SLUG,
            "systems": {"type": "object", "additionalProperties": WORDS},
        },
        source.CUSTOM,
        {"systems"},
    )
    item_custom = _custom(
        {
            "title": WORDS,
            "system": TEXT,
            "producer": TEXT,
            "update": TEXT,
            "legalBasis": {"enum": [*source.BASES]},
            "generalises": TEXT,
            "conflict": _NAMES,
            "freeText": TRUTH,
            "provided": TRUTH,
            "domain": _domain(),
        },
        source.ITEM_CUSTOM,
        {"title", "system", "producer", "update", "legalBasis"},
    )
    item = _keys(source.ITEM_KEYS, customProperties=item_custom, required=TRUTH, **_NAMED)
    item["properties"] |= {"quality": {"type": "array", "items": _quality()}}
    item["properties"] |= {"transformSourceObjects": _NAMES}
    item["required"] = ["name", "logicalType", "customProperties"]
    key = _keys(source.KEY_KEYS, primaryKey={"const": True}, **_NAMED)
    key["required"] = ["name", "primaryKey"]
    either = {"if": {"required": ["primaryKey"]}, "then": key, "else": item}
    return _contract("Where personal rows lie", either, custom, {Level.FREQUENCY}, tables=None)


def scene_contract() -> Schema:
    """scenes/*.odcs.yaml."""
    service = _object({"id": SLUG, "title": WORDS, "partner": TRUTH}, every_key=True)
    group = {**_NAMES, "minItems": 1}
    custom = _custom(
        {
            **dict.fromkeys(("title", "summary", "consequence", "alternative"), WORDS),
            "purpose": {"type": "string", "pattern": f"^{scene_file.PURPOSE.pattern}$"},
            "legalBasis": {"enum": [*map(str, LegalBasis)]},
            "fallback": {"enum": [*map(str, Fallback)]},
            "surrogates": {"enum": [*map(str, Surrogates)]},
            "shapes": {**_LISTED, "items": {"enum": [*map(str, ReadShape)]}, "minItems": 1},
            "services": {"type": "array", "items": service, "minItems": 1},
            "workload": {"type": "array", "items": group},
            "trends": _NAMES,
            "predicts": _NAMES,
            "triggers": {"type": "array", "items": _trigger()},
            "change": _object(
                {"window_minutes": COUNT, "review_days": COUNT, "escalate_days": COUNT}
                | {"responsible": {**_LISTED, "items": SLUG, "minItems": 1}}
            ),
            "series": {"type": "array", "items": _event_series()},
            "completion": _object(
                {"mode": {"enum": [*map(str, scene_file.COMPLETIONS)]}}, every_key=True
            ),
            "consentSince": VERSION,
            "minimumGroup": {"type": "integer", "minimum": 0, "not": {"const": 1}},
            "population": {"enum": [*map(str, Population)]},
            **dict.fromkeys(("order", "longestConsentDays", "reminderDays"), COUNT),
        },
        scene_file.CUSTOM,
        {"title", "summary", "consequence", "alternative", "purpose", "legalBasis", "fallback"}
        | {"services", "order"},
    )
    endless = {"enum": [str(LegalBasis.INTEREST), str(LegalBasis.OBLIGATION)]}
    length = _containing("longestConsentDays")
    custom["allOf"].append(
        {"if": _containing("legalBasis", endless), "then": {"not": length}, "else": length}
    )
    field_custom = _custom(
        {
            "use": WORDS,
            "fallback": {"enum": [*map(str, Fallback)]},
            "since": VERSION,
            "substitute": TEXT,
        },
        scene_file.FIELD_CUSTOM,
        {"use"},
    )
    field = _keys(scene_file.FIELD_KEYS, customProperties=field_custom, **_NAMED)
    field["required"] = ["name", "logicalType", "customProperties"]
    return _contract("A scene of use", field, custom, scene_file.LEVELS, tables=1)


_NAMED: Mapping[str, Schema] = {"name": TEXT, "logicalType": TEXT}


def _contract(
    title: str, field: Schema, custom: Schema, levels: Collection[Level], tables: int | None
) -> Schema:
    table = _keys(odcs.TABLE_KEYS, name=TEXT, logicalType=TEXT)
    table["properties"]["properties"] = {"type": "array", "items": field, "minItems": 1}
    table["required"] = ["name", "properties"]
    schema: Schema = {"type": "array", "items": table, "minItems": 1}
    schema |= {"maxItems": tables} if tables else {}
    constants = {name: {"const": value} for name, value in odcs.STATED.items()}
    made = _keys(
        odcs.TOP,
        apiVersion={"const": odcs.API_VERSION},
        id=SLUG,
        version=VERSION,
        schema=schema,
        customProperties=custom,
        description=_keys(odcs.DESCRIPTION),
        slaProperties={"type": "array", "items": _level(levels)},
        **constants,
    )
    wanted = ["apiVersion", "id", "version", "schema", "customProperties", *odcs.STATED]
    return _titled(title, {**made, "required": wanted})


def _level(levels: Collection[Level]) -> Schema:
    words = [word for word, level in sla.LEVELS.items() if level in levels]
    made = _keys(
        sla.KEYS,
        property={"enum": sorted(words)},
        value=COUNT,
        unit={"enum": sorted(sla.UNITS)},
        element=TEXT,
    )
    return {**made, "required": ["property", "value", "unit"]}


def _quality() -> Schema:
    made = _keys(
        quality.KEYS,
        metric={"enum": [*map(str, Metric)]},
        rule={"enum": [*map(str, Metric)]},
        unit={"enum": [*map(str, Unit)]},
    )
    for name in quality.OPERATORS:
        number: Schema = {"type": "number", "minimum": 0}
        pair: Schema = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
        made["properties"][name] = pair if name in quality.RANGES else number
    return {**made, "anyOf": [{"required": [name]} for name in quality.OPERATORS]}


def _domain() -> Schema:
    cut: Schema = {"type": ["number", "string"]}
    cuts = {"lower": cut, "upper": cut, "edges": {"type": "array", "items": cut}, "other": cut}
    categories = {"values": _NAMES, "other": TEXT, "ordered": TRUTH}
    kinds = {"categories": categories, "numbers": {**cuts, "integer": TRUTH}, "dates": cuts}
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": [*kinds]}},
        "allOf": [
            _when("kind", kind, _object({"kind": {}, "nullable": TRUTH, **known}))
            for kind, known in kinds.items()
        ],
    }


def _trigger() -> Schema:
    return _object(
        {
            "template": {"enum": [*map(str, Template)]},
            "signal": SLUG,
            "source": SLUG,
            "freshMinutes": COUNT,
            "threshold": {"type": "integer"},
            "title": WORDS,
        },
        every_key=True,
    )


def _event_series() -> Schema:
    day: Schema = {"type": "string", "format": "date"}
    values = {**_NAMES, "minItems": 1, "maxItems": series.MAX_CATEGORIES}
    made = _keys(
        series.KEYS,
        name=SLUG,
        title=WORDS,
        every={"enum": [*map(str, Every)]},
        category=_object({"column": TEXT, "values": values}, every_key=True),
        **dict.fromkeys(("table", "customer", "time", "zone"), TEXT),
        **dict.fromkeys(("since", "until"), day),
        at_most={**COUNT, "maximum": series.MAX_SIGMA},
        sigma={**COUNT, "maximum": series.MAX_SIGMA},
        a_year={**COUNT, "maximum": series.MAX_A_YEAR},
    )
    return {**made, "required": sorted(series.KEYS - series.OPTIONAL)}


def _custom(
    values: Mapping[str, Schema], known: Collection[str], wanted: Collection[str]
) -> Schema:
    """Custom properties: a list of names and values, of which `wanted` must be there."""
    one = _keys(odcs.CUSTOM_KEYS, property={"enum": sorted(known)})
    one["required"] = ["property", "value"]
    one["allOf"] = [
        _when("property", name, {"properties": {"value": value}}) for name, value in values.items()
    ]
    there = [_containing(name) for name in sorted(wanted)]
    return {"type": "array", "items": one, "allOf": there}


def _containing(name: str, value: Schema | None = None) -> Schema:
    """A list in which the custom property `name` is, with such a value."""
    said = {"property": {"const": name}, **({"value": value} if value else {})}
    return {"contains": {"properties": said, "required": ["property"]}}


def _when(name: str, value: str, then: Schema) -> Schema:
    return {"if": {"properties": {name: {"const": value}}, "required": [name]}, "then": then}


def _keys(known: Collection[str], **schemas: Schema) -> Schema:
    """A mapping with these keys and no other; those without a schema may have any value."""
    return _object({name: schemas.get(name, {}) for name in sorted(known)})


def _object(known: Mapping[str, Schema], *, every_key: bool = False) -> Schema:
    made: Schema = {"type": "object", "additionalProperties": False, "properties": dict(known)}
    return {**made, "required": [*known]} if every_key else made


def _titled(title: str, schema: Schema) -> Schema:
    return {"$schema": DRAFT, "title": title, **schema}
