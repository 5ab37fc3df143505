"""Scenes and histories of a test as the model of specs/model takes them."""

import json
from collections.abc import Mapping, Sequence

from gate.contracts.scene import ENDLESS, Scene
from ledger.events import envelope
from ledger.events.envelope import Event
from specs.model.consent import History
from specs.model.contract import Condition, Contract, Field, version


def contracts(scenes: Mapping[str, Scene]) -> dict[str, Contract]:
    return {name: contract(scene) for name, scene in scenes.items()}


def contract(scene: Scene) -> Contract:
    return Contract(
        id=scene.id,
        version=version(scene.version),
        basis=scene.legal_basis.value,
        purpose=scene.purpose,
        fallback=scene.fallback.value,
        services={each.id: each.partner for each in scene.services},
        fields={
            name: Field(each.fallback.value, each.generalised_by, each.since)
            for name, each in scene.fields.items()
        },
        longest_days=None if scene.longest == ENDLESS else scene.longest.days,
        consent_since=scene.consent_since,
        shapes=frozenset(each.value for each in scene.shapes),
        surrogates=scene.surrogates.value if scene.surrogates else "none",
        conditions=[
            Condition(
                each.template.value,
                each.signal,
                each.source,
                int(each.fresh.total_seconds() // 60),
            )
            for each in scene.triggers
        ],
    )


def history(events: Sequence[Event]) -> History:
    """The events as a log has them. Everybody has a key, and nobody was erased."""
    return History([json.loads(envelope.encode(each)) for each in events])
