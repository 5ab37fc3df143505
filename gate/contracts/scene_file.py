"""Reads a scene's data contract: ODCS v3.1 YAML parsed into a `Scene`.

A scene contract (`scenes/*.odcs.yaml` of a company's folder) is extended only through
`customProperties`. It says for which purpose the items of a source may be used, by which services
and for how long, what the customer loses without it, and what services get instead. Where the items
come from stands in the source contract: see gate.contracts.source.

A complete example: `examples/bank/scenes/segmentation.odcs.yaml`. Normative clauses:
`specs/portal.md`, "Contracts".
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from gate.contracts import odcs, series, sla, versions
from gate.contracts.odcs import ContractError
from gate.contracts.scene import (
    ENDLESS,
    USUAL_SHAPES,
    ContractChange,
    Fallback,
    LegalBasis,
    Population,
    ReadShape,
    Scene,
    SceneField,
    Service,
    Surrogates,
)
from gate.contracts.sla import Level
from gate.contracts.source import Item, SourceContract
from gate.contracts.strict_yaml import Entry
from gate.contracts.triggers import MAX_TRIGGERS, Template, Trigger
from synthetic.completion.mode import Mode

MAX_FIELDS = 532  # what the consent bits have room for: gate.state.consent_bits
MAX_NAMES = 25_000  # characters of all names: a read-log entry names each twice in 64 kB
COMPLETIONS = (
    Mode.RELEASE_ANCHORED,
    Mode.NAIVE,
)  # of tables: gate.reads.completion
LEVELS = frozenset({Level.LATENCY, Level.RETENTION})
CUSTOM = frozenset(
    {"alternative", "change", "completion", "consentSince", "consequence", "fallback"}
    | {"legalBasis", "longestConsentDays", "minimumGroup", "order", "population", "predicts"}
    | {"purpose", "reminderDays", "series", "services", "shapes", "summary", "surrogates", "title"}
    | {"trends", "triggers", "workload"}
)
FIELD_CUSTOM = frozenset({"fallback", "since", "substitute", "use"})
SERVICE_KEYS = frozenset({"id", "partner", "title"})
TRIGGER_KEYS = frozenset({"freshMinutes", "signal", "source", "template", "threshold", "title"})
FIELD_KEYS = odcs.DOCUMENTED | {"customProperties", "logicalType", "name"}
PURPOSE = re.compile(r"([a-z]+:)?[A-Z][A-Za-z]+")  # a DPV term, prefixed if from an extension


def load_scene(path: Path, source: SourceContract) -> Scene:
    """Read a scene contract over `source`. Raises ContractError."""
    data, digest = odcs.read(path)
    with odcs.reporting(path):
        extra = odcs.custom(data, CUSTOM)
        fallback = odcs.within(extra, "fallback", _fallback)
        fields = _fields(odcs.table(data)["properties"], source, fallback)
        minimum_group = odcs.within(extra, "minimumGroup", partial(_group_size, fields=fields), 0)
        scene = Scene(
            id=odcs.slug(data["id"]),
            version=versions.text(data["version"]),
            digest=digest,
            order=odcs.positive(extra["order"], "order"),
            title=odcs.within(extra, "title", odcs.text),
            summary=odcs.within(extra, "summary", odcs.text),
            consequence=odcs.within(extra, "consequence", odcs.text),
            alternative=odcs.within(extra, "alternative", odcs.text),
            purpose=odcs.within(extra, "purpose", _purpose),
            legal_basis=odcs.within(extra, "legalBasis", _legal_basis),
            longest=_consent_length(extra),
            fallback=fallback,
            services=odcs.within(extra, "services", _services),
            fields=fields,
            workload=odcs.within(extra, "workload", partial(_groups, fields=fields), []),
            trends=odcs.within(extra, "trends", partial(_group, fields=fields), []),
            predicts=odcs.within(extra, "predicts", partial(_group, fields=fields), []),
            triggers=odcs.within(extra, "triggers", _triggers, []),
            shapes=odcs.within(extra, "shapes", _shapes, [*USUAL_SHAPES]),
            population=odcs.within(extra, "population", _population, Population.CONSENTING),
            series=odcs.within(extra, "series", series.declared, []),
            minimum_group=minimum_group or None,
            surrogates=odcs.within(extra, "surrogates", Surrogates)
            if "surrogates" in extra
            else None,
            change=odcs.within(extra, "change", _change, {}),
            consent_since=versions.since(extra.get("consentSince"), data["version"]),
            retention=sla.retention(data, LEVELS),
            latency=sla.by_field(data, Level.LATENCY, fields, LEVELS),
            reminder=timedelta(days=odcs.positive(extra.get("reminderDays", 365), "reminderDays")),
            completion=odcs.within(
                extra, "completion", partial(_completion, fields=fields), {"mode": Mode.NAIVE}
            ),
        )
        _require_counting(scene)
        with odcs.at(data.lines.get("roles", 0)):
            odcs.want(
                not (scene.counts_everybody and "roles" in data),
                "roles are those who may read rows, and of a scene for statistics nobody may: "
                "remove roles, and name in `services` who counts",
            )
        return scene


def load_scenes(folder: Path, source: SourceContract) -> dict[str, Scene]:
    """All scenes of a folder, by id, in the order in which customers see them.

    Raises ContractError.
    """
    return in_order(
        folder, [load_scene(path, source) for path in sorted(folder.glob("*.odcs.yaml"))]
    )


def in_order(folder: Path, scenes: Sequence[Scene]) -> dict[str, Scene]:
    """Scenes of a folder by id, in their order. Raises ContractError if two are not distinct."""
    if len({scene.id for scene in scenes}) != len(scenes) or not scenes:
        raise ContractError(f"{folder}: want one contract per scene, found {len(scenes)} files")
    if len({scene.order for scene in scenes}) != len(scenes):
        raise ContractError(f"{folder}: two scenes have the same order, want distinct numbers")
    _require_counted(folder, scenes)
    return {scene.id: scene for scene in sorted(scenes, key=lambda scene: scene.order)}


def _require_counting(scene: Scene) -> None:
    """Raise ContractError if a scene for statistics alone could be more, or counts nothing."""
    if scene.population is Population.NOT_OBJECTING:
        odcs.want(
            scene.completion is Mode.RELEASE_ANCHORED,
            f"population is {scene.population}, which only tables completed in mode "
            f"{Mode.RELEASE_ANCHORED} use: set completion to it",
        )
    if not scene.counts_everybody:
        odcs.want(
            not scene.series,
            "series count everybody who does not object: declare them in the contract with the "
            "shape statistics",
        )
        return
    odcs.want(
        scene.shapes == {ReadShape.STATISTICS},
        f"shapes is {sorted(map(str, scene.shapes))}, want statistics alone: make two scenes of it",
    )
    odcs.want(
        scene.objectable,
        f"a scene for statistics counts all who do not object: legalBasis is "
        f"{scene.legal_basis}, want {LegalBasis.INTEREST}",
    )
    uncounted = sorted(name for name, each in scene.fields.items() if each.item.domain is None)
    odcs.want(not uncounted, f"{uncounted} have no public domain to be counted in: remove them")
    odcs.want(
        scene.fallback is Fallback.WITHHOLD and scene.surrogates is None and not scene.triggers,
        "a scene for statistics answers about nobody: set fallback to withhold, and remove "
        "surrogates and triggers",
    )


def _require_counted(folder: Path, scenes: Sequence[Scene]) -> None:
    """Raise ContractError if tables rest on counts that no scene, or more than one, makes."""
    counting = [scene for scene in scenes if scene.counts_everybody]
    if len(counting) > 1:
        names = sorted(scene.id for scene in counting)
        raise ContractError(f"{folder}: {names} have the shape statistics, want one scene with it")
    for scene in scenes:
        if scene.population is Population.CONSENTING:
            continue
        if not counting:
            raise ContractError(
                f"{folder}: the population of {scene.id} is {scene.population}, and no scene has "
                "the shape statistics: add one, or remove population"
            )
        if missing := sorted(scene.domain.columns.keys() - counting[0].fields.keys()):
            raise ContractError(
                f"{folder}: the tables of {scene.id} rest on counts of {counting[0].id}, which has "
                f"no {missing}: add the fields there, or remove population"
            )


def _fields(
    properties: list[dict[str, Any]], source: SourceContract, fallback: Fallback
) -> dict[str, SceneField]:
    odcs.want(
        0 < len(properties) <= MAX_FIELDS, f"{len(properties)} fields, want 1 to {MAX_FIELDS}"
    )
    names = [str(each["name"]) for each in properties]
    size = sum(map(len, names))
    odcs.want(size <= MAX_NAMES, f"names of {size} characters, want at most {MAX_NAMES} in all")
    for place, declared in enumerate(properties):
        with odcs.at(odcs.line(declared)):
            odcs.require_known([names[place]], source.items, "item")
            odcs.want(
                names[place] not in names[:place],
                f"the field {names[place]} is declared twice: remove one",
            )
    coarser = {source.items[name].generalises: name for name in names}
    fields = {}
    for name, declared in zip(names, properties, strict=True):
        item = source.items[name]
        with odcs.at(odcs.line(declared)):
            odcs.require_keys(declared, FIELD_KEYS, "a field of a scene")
            kind = declared.get("logicalType")
            odcs.want(
                item.type == kind,
                f"{name} is {kind!r} here and {item.type!r} in the source: want the same",
            )
            extra = odcs.custom(declared, FIELD_CUSTOM)
            fields[name] = _field(item, extra, fallback, coarser.get(name))
    others = {each.substitute for each in fields.values()} - {None}
    odcs.want(others <= fields.keys(), f"substitutes {others - fields.keys()} are not in the scene")
    return fields


def _field(
    item: Item, extra: dict[str, Any], fallback: Fallback, coarser: str | None
) -> SceneField:
    chosen = _fallback(extra.get("fallback", fallback))
    if chosen is Fallback.SYNTHETIC and item.domain is None:
        chosen = Fallback.WITHHOLD  # identifiers and free text are never synthesised
    generalised = coarser if chosen is Fallback.GENERALISE else None
    odcs.want(
        chosen is not Fallback.GENERALISE or coarser is not None,
        f"{item.name} falls back to a coarser item, but the scene has none",
    )
    substitute = odcs.string(extra["substitute"], "substitute") if "substitute" in extra else None
    odcs.want(substitute != item.name, f"{item.name} is its own substitute")
    since = versions.since(extra.get("since"))
    return SceneField(item, odcs.text(extra["use"]), chosen, generalised, since, substitute)


def _services(declared: list[dict[str, Any]]) -> tuple[Service, ...]:
    services = tuple(_service(each) for each in declared)
    odcs.want(len(services) > 0, "no service, want at least one")
    odcs.want(len({each.id for each in services}) == len(services), "a service is declared twice")
    return services


def _service(declared: dict[str, Any]) -> Service:
    odcs.require_keys(declared, SERVICE_KEYS, "a service")
    partner = declared["partner"]
    odcs.want(isinstance(partner, bool), f"partner is {partner!r}, want true or false")
    return Service(odcs.slug(declared["id"]), odcs.text(declared["title"]), partner)


def _groups(
    declared: list[list[str]], fields: Mapping[str, SceneField]
) -> tuple[tuple[str, ...], ...]:
    return tuple(_group(each, fields) for each in odcs.sequence(declared, "workload"))


def _group(names: list[str], fields: Mapping[str, SceneField]) -> tuple[str, ...]:
    """The fields of one group-by; each must have a public domain to be counted."""
    known = {name for name, field in fields.items() if field.item.domain}
    odcs.want(isinstance(names, list), f"a group-by is {names!r}, want a list of fields")
    odcs.want(
        set(names) <= known, f"cannot group by {sorted(set(names) - known)}, have {sorted(known)}"
    )
    odcs.want(len(set(names)) == len(names), f"a field is listed twice in {names}")
    return tuple(names)


def _completion(declared: dict[str, Any], fields: Mapping[str, SceneField]) -> Mode:
    odcs.want(declared.keys() == {"mode"}, f"completion is {declared!r}, want its mode alone")
    mode, known = declared["mode"], [each.value for each in COMPLETIONS]
    odcs.want(mode in known, f"tables are completed in mode {mode!r}, want one of {known}")
    synthesised = any(each.fallback is Fallback.SYNTHETIC for each in fields.values())
    odcs.want(synthesised or mode == Mode.NAIVE, f"{mode} needs at least one synthetic field")
    return Mode(mode)


def _shapes(declared: list[str]) -> frozenset[ReadShape]:
    """The shapes that a contract allows; one that names none allows all."""
    named = odcs.strings(declared, "shapes")
    shapes = frozenset(odcs.one_of(ReadShape, each, "shapes") for each in named)
    odcs.want(len(shapes) > 0, "shapes names none, want at least one")
    return shapes


def _population(value: object) -> Population:
    return odcs.one_of(Population, value, "population")


def _group_size(size: int, fields: Mapping[str, SceneField]) -> int:
    if size == 0 and type(size) is int:
        return 0
    odcs.want(odcs.positive(size, "minimumGroup") > 1, "minimumGroup is 1, want 2 or more")
    without = sorted(name for name, each in fields.items() if each.item.domain is None)
    odcs.want(not without, f"minimumGroup: {without} have no public domain to coarsen them to")
    return size


def _fallback(value: object) -> Fallback:
    return odcs.one_of(Fallback, value, "fallback")


def _legal_basis(value: object) -> LegalBasis:
    return odcs.one_of(LegalBasis, value, "legalBasis")


def _consent_length(extra: Entry) -> timedelta:
    with odcs.at(extra.lines.get("longestConsentDays", 0)):
        return _longest(extra)


def _longest(extra: Mapping[str, Any]) -> timedelta:
    if extra["legalBasis"] in {LegalBasis.INTEREST, LegalBasis.OBLIGATION}:
        odcs.want(
            "longestConsentDays" not in extra,
            f"longestConsentDays of a scene whose legal basis is {extra['legalBasis']}: no consent "
            "begins or ends there, remove it",
        )
        return ENDLESS
    return timedelta(days=odcs.positive(extra["longestConsentDays"], "longestConsentDays"))


def _purpose(term: str) -> str:
    odcs.want(PURPOSE.fullmatch(term) is not None, f"purpose is {term!r}, want a DPV term")
    return term


def _triggers(declared: list[dict[str, Any]]) -> tuple[Trigger, ...]:
    odcs.want(
        len(declared) <= MAX_TRIGGERS, f"{len(declared)} triggers, want at most {MAX_TRIGGERS}"
    )
    for each in declared:
        odcs.require_keys(each, TRIGGER_KEYS, "a trigger")
    triggers = tuple(
        Trigger(
            template=Template(each["template"]),
            signal=odcs.slug(each["signal"]),
            source=odcs.slug(each["source"]),
            fresh=timedelta(minutes=odcs.positive(each["freshMinutes"], "freshMinutes")),
            threshold=_threshold(each["threshold"]),
            title=odcs.text(each["title"]),
        )
        for each in declared
    )
    odcs.want(
        len({(t.template, t.signal) for t in triggers}) == len(triggers),
        "duplicate trigger",
    )
    return triggers


def _threshold(number: object) -> int:
    if type(number) is not int:
        raise ContractError(f"threshold is {number!r}, want whole ten-thousandths")
    return number


def _change(declared: dict[str, Any]) -> ContractChange:
    """The contract's change rules; what it leaves out has defaults."""
    usual = ContractChange()
    known = {"window_minutes", "review_days", "escalate_days", "responsible"}
    odcs.want(
        declared.keys() <= known,
        f"change: keys {sorted(declared)}, want some of {sorted(known)}",
    )
    responsible = declared.get("responsible", [*usual.responsible])
    odcs.want(
        isinstance(responsible, list) and bool(responsible),
        "responsible: want a list of roles",
    )
    return ContractChange(
        _span(declared, "window_minutes", usual.window),
        _span(declared, "review_days", usual.review),
        _span(declared, "escalate_days", usual.escalate),
        tuple(odcs.slug(each) for each in responsible),
    )


def _span(declared: dict[str, Any], name: str, usual: timedelta) -> timedelta:
    """A duration; its unit is the last word of the property's name."""
    if name not in declared:
        return usual
    return timedelta(**{name.rpartition("_")[2]: odcs.positive(declared[name], name)})
