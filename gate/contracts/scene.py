"""What a scene's data contract says, parsed: see gate.contracts.scene_file for the file.

A scene is a purpose for which items of a source may be used, by which services and for how long,
with what the customer loses without it, and what services get instead. Where the items come from
stands in the source contract: see gate.contracts.source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from gate.contracts import versions
from gate.contracts.odcs import Text
from gate.contracts.series import EventSeries
from gate.contracts.source import Item
from gate.contracts.triggers import Trigger
from gate.contracts.versions import NONE, Version
from synthetic.completion.mode import Mode
from synthetic.model.domain import Domain


class Fallback(StrEnum):
    """What a service gets for a field that may not be read as personal data."""

    WITHHOLD = "withhold"
    SYNTHETIC = "synthetic"
    GENERALISE = "generalise"


class ReadShape(StrEnum):
    """How a service may read. `rows` names customers, in rows and in searches.

    Under `statistics`, alone in its contract, nothing leaves but noisy counts: see `Population`.
    """

    EVALUATE = "evaluate"
    POINT = "point"
    ROWS = "rows"
    STATISTICS = "statistics"
    TABLE = "table"


USUAL_SHAPES = frozenset(ReadShape) - {ReadShape.STATISTICS}  # of a contract that names none


class Population(StrEnum):
    """Whose counts complete a scene's tables."""

    CONSENTING = "consenting"  # of those who granted the scene, from its own releases
    NOT_OBJECTING = "not-objecting"  # of all but objectors, from the releases for statistics


class Surrogates(StrEnum):
    """What a read of one customer has for a field that is only synthetic."""

    NONE = "none"  # the field is withheld
    INDEPENDENT = "independent"  # a draw that depends on nothing of the customer but their id
    CONDITIONAL = "conditional"  # given the customer's other fields: a prediction about them


class LegalBasis(StrEnum):
    """On what the use rests (GDPR, Art. 6)."""

    CONSENT = "consent"  # off until the customer allows it
    CONTRACT = "contract"  # shown to the customer, locked, not switchable
    OBLIGATION = "legal-obligation"  # shown and locked, too
    INTEREST = "legitimate-interest"  # on until the customer objects: the switch is the objection


LOCKED = frozenset({LegalBasis.CONTRACT, LegalBasis.OBLIGATION})
ENDLESS = timedelta(days=365_000)  # where no consent begins or ends


@dataclass(frozen=True, slots=True)
class SceneField:
    item: Item
    use: Text
    fallback: Fallback
    generalised_by: str | None  # the coarser field of the scene, which has its own grant
    since: Version = NONE  # grants under earlier versions do not cover the field
    substitute: str | None = None  # proposed on missed deliveries; a field with its own grant


@dataclass(frozen=True, slots=True)
class Service:
    """A service that may read in a scene. A `partner` is a third party, named to the customer."""

    id: str
    title: Text
    partner: bool


@dataclass(frozen=True, slots=True)
class ContractChange:
    """How the company handles shrinking consent in the scene: see specs/steward.md, "Change"."""

    window: timedelta = timedelta(hours=1)  # changes within it form one case
    review: timedelta = timedelta(days=3)  # time for review by the first responsible role
    escalate: timedelta = timedelta(days=1)  # time for each following role
    responsible: tuple[str, ...] = ("account-manager", "data-protection-officer")


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
    longest: timedelta  # maximum duration of a grant
    fallback: Fallback
    services: tuple[Service, ...]
    fields: Mapping[str, SceneField]  # in bit order
    workload: tuple[tuple[str, ...], ...]  # group-bys that the synthesiser is fitted for
    trends: tuple[str, ...]  # measures followed month by month
    triggers: tuple[Trigger, ...] = ()  # conditions that customers may attach to a grant
    change: ContractChange = ContractChange()
    consent_since: Version = NONE  # grants under earlier versions are superseded
    retention: timedelta | None = None  # how long services may keep data read for the scene
    latency: Mapping[str, timedelta] = field(default_factory=dict)  # field -> promised limit
    reminder: timedelta = timedelta(days=365)  # minimum time between reminders
    completion: Mode = Mode.NAIVE  # how tables are completed with synthetic rows
    predicts: tuple[str, ...] = ()  # fields that the scene's models predict from the others
    shapes: frozenset[ReadShape] = USUAL_SHAPES
    surrogates: Surrogates | None = None  # None: the contract says nothing, which means NONE
    minimum_group: int | None = None  # statistics only: see gate.reads.bulk.groups
    population: Population = Population.CONSENTING
    series: tuple[EventSeries, ...] = ()  # counted beside the fields of a scene for statistics

    @property
    def counts_everybody(self) -> bool:
        """Whether its releases count all who do not object, and complete other scenes' tables."""
        return ReadShape.STATISTICS in self.shapes

    @property
    def group_bys(self) -> tuple[tuple[str, ...], ...]:
        """What its tables are promised for: the workload, and each trend by itself."""
        return (*self.workload, *((trend,) for trend in self.trends))

    @property
    def releases(self) -> bool:
        """Whether synthetic releases are made for it."""
        return self.fallback is Fallback.SYNTHETIC or self.counts_everybody

    @property
    def locked(self) -> bool:
        return self.legal_basis in LOCKED

    @property
    def needs_consent(self) -> bool:
        return self.legal_basis is LegalBasis.CONSENT

    @property
    def objectable(self) -> bool:
        return self.legal_basis is LegalBasis.INTEREST

    @property
    def unsaid(self) -> tuple[str, ...]:
        """The fields that may be read of a customer who has said nothing about the scene.

        Only under legitimate interest, and only what the contract has had since its first version.
        `consent_since` is set by every change of basis, purpose or service: from then on silence,
        which meant something else before, allows nothing.
        """
        if not self.objectable or self.consent_since != NONE:
            return ()
        return tuple(name for name, each in self.fields.items() if each.since == NONE)

    @property
    def domain(self) -> Domain:
        """The public domain of the fields that can be synthesised."""
        return Domain({n: f.item.domain for n, f in self.fields.items() if f.item.domain})

    def holds(self, version: Version) -> bool:
        """Whether a grant given while version `held` was active is valid under this contract."""
        return versions.covers(version, self.consent_since, versions.parse(self.version))

    def agreed(self, version: Version) -> tuple[str, ...]:
        """The fields that a grant given while version `held` was active can cover."""
        return tuple(name for name, each in self.fields.items() if version >= each.since)

    def admits(self, service: str) -> bool:
        return any(service == known.id for known in self.services)


def statistics(scenes: Mapping[str, Scene]) -> Scene | None:
    """The scene whose releases count all who do not object, if the company has one."""
    return next((scene for scene in scenes.values() if scene.counts_everybody), None)
