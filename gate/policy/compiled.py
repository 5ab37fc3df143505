"""Plans: policy and contract for one service in one scene, compiled to bit masks.

A plan changes when the policy, the contract or the current synthetic release changes, never with a
customer's consent. Its digest is in every read-log entry that rests on it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

from gate.contracts.scene import Fallback, Scene
from gate.state import consent_bits


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: plans key caches
class Plan:
    service: str
    scene: Scene
    offered: int  # bits of the fields that policy and contract let this service request
    release: str | None  # id of the release that answers in place of personal data
    bits: Mapping[str, int]  # field -> its consent bit
    always: int  # bits of the fields of a locked scene: no grant needed
    digest: str
    anchor: str | None = None  # id of the release to whose counts tables are completed
    suspended: bool = False  # if so, nothing is offered
    lacking: Collection[str] = ()  # fields that the release has not, so that nothing is drawn

    def mask(self, fields: tuple[str, ...]) -> int | None:
        """The bits of `fields`, or None if one of them is not in the scene."""
        bits = 0
        for field in fields:
            bit = self.bits.get(field)
            if bit is None:
                return None
            bits |= bit
        return bits


def compile_plan(
    service: str,
    scene: Scene,
    *,
    offered: Collection[str],
    release: str | None,
    anchor: str | None = None,
    policy: str = "",
    lacking: Collection[str] = (),
) -> Plan:
    """Compile a plan. `policy`: digest of the policy, which lets the service read `offered`."""
    named = scene.fields.keys() & offered if scene.admits(service) else set()
    bits = {name: consent_bits.field(place) for place, name in enumerate(scene.fields)}
    grounds = [policy, scene.digest, service, str(release), *([anchor] if anchor else [])]
    return Plan(
        service=service,
        scene=scene,
        offered=sum(bits[name] for name in named),
        release=release,
        bits=bits,
        always=consent_bits.ALL_FIELDS if scene.locked else 0,
        digest=sha256("\n".join(grounds).encode()).hexdigest(),
        anchor=anchor,
        lacking=lacking,
    )


def synthesises(plan: Plan, field: str) -> bool:
    """Whether tables have synthetic values of this field."""
    drawn = plan.anchor is not None or draws(plan, field)
    return drawn and plan.scene.fields[field].fallback is Fallback.SYNTHETIC


def draws(plan: Plan, field: str) -> bool:
    """Whether an answer about one customer can have a synthetic value of this field.

    The counts of all who do not object complete tables, and nothing else.
    """
    return plan.release is not None and field not in plan.lacking
