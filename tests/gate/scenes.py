"""Small scenes for tests of the gate: one of each kind of fallback, and one that is locked."""

from collections.abc import Mapping
from datetime import timedelta

from gate.contracts.scene import (
    ENDLESS,
    Fallback,
    LegalBasis,
    Scene,
    SceneField,
    Service,
    Surrogates,
)
from gate.contracts.source import Item
from gate.contracts.triggers import Template, Trigger
from synthetic.model.domain import Categories, Column, Numbers

WORDS = {"en": "words", "zh-CN": "词语"}
DOMAINS: dict[str, Column] = {
    "age": Numbers(18, 96, (30, 45, 60)),
    "job": Categories(("admin", "retired", "other"), "other"),
    "housing": Categories(("no", "yes"), "no"),
}


def item(name: str, generalises: str | None = None) -> Item:
    return Item(
        name=name,
        title=WORDS,
        type="string",
        system="core",
        producer="branch",
        update="daily",
        legal_basis="consent",
        domain=DOMAINS.get(name),
        generalises=generalises,
    )


def scene(
    name: str,
    fields: Mapping[str, Fallback],
    *,
    fallback: Fallback,
    basis: LegalBasis = LegalBasis.CONSENT,
    coarser: Mapping[str, str] | None = None,
    longest: timedelta = timedelta(days=365),
    triggers: tuple[Trigger, ...] = (),
) -> Scene:
    finer = {c: f for f, c in (coarser or {}).items()}
    return Scene(
        id=name,
        version="1.0.0",
        digest=name.encode().hex().ljust(64, "0"),
        order=1,
        title=WORDS,
        summary=WORDS,
        consequence=WORDS,
        alternative=WORDS,
        purpose="ServiceUsageAnalytics",
        legal_basis=basis,
        longest=longest,
        fallback=fallback,
        services=(Service("analytics", WORDS, partner=False), Service("crm", WORDS, partner=False)),
        fields={
            each: SceneField(item(each, finer.get(each)), WORDS, kind, (coarser or {}).get(each))
            for each, kind in fields.items()
        },
        workload=(),
        trends=(),
        triggers=triggers,
        surrogates=Surrogates.INDEPENDENT,
    )


def trigger(template: Template, signal: str) -> Trigger:
    return Trigger(template, signal, "monitor", timedelta(days=7), 9200, WORDS)


SEGMENTATION = scene(
    "segmentation",
    dict.fromkeys(DOMAINS, Fallback.SYNTHETIC),
    fallback=Fallback.SYNTHETIC,
    triggers=(
        trigger(Template.METRIC_BELOW, "accuracy"),
        trigger(Template.COUNT_OVER, "complaints"),
        trigger(Template.INCIDENT_OPEN, "incident"),
    ),
)
NEAREST_BRANCH = scene(
    "nearest-branch",
    {"location": Fallback.GENERALISE, "postcode_area": Fallback.WITHHOLD},
    fallback=Fallback.GENERALISE,
    coarser={"location": "postcode_area"},
)
MARKETING = scene(
    "direct-marketing",
    {"name": Fallback.WITHHOLD, "email": Fallback.WITHHOLD},
    fallback=Fallback.WITHHOLD,
    longest=timedelta(days=30),
)
SERVICE = scene(
    "contract-service",
    {"name": Fallback.WITHHOLD},
    fallback=Fallback.WITHHOLD,
    basis=LegalBasis.CONTRACT,
)
NEWS = scene(
    "service-news",
    {"name": Fallback.WITHHOLD, "email": Fallback.WITHHOLD},
    fallback=Fallback.WITHHOLD,
    basis=LegalBasis.INTEREST,
    longest=ENDLESS,
    triggers=(trigger(Template.COUNT_OVER, "complaints"),),
)
SCENES = {each.id: each for each in (SERVICE, MARKETING, NEAREST_BRANCH, SEGMENTATION)}
