"""The synthetic releases in use, as a regulator sees them: what was promised, and the record."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from gate.contract import Scene, Text
from gate.read import Gate
from synthetic.release import Release


@dataclass(frozen=True, slots=True)
class Row:
    scene: str
    title: Text
    id: str
    fitted_at: datetime
    mechanism: str
    epsilon: float
    delta: float
    rho: float  # zero-concentrated differential privacy
    measurements: int


def in_use(gate: Gate, scenes: Mapping[str, Scene]) -> Iterator[Row]:
    """One row for each scene that is answered from a release now."""
    for scene in scenes.values():
        if (release := of(gate, scene.id)) is not None:
            promise = release.statement
            yield Row(
                scene.id,
                scene.title,
                release.id,
                release.fitted_at,
                release.mechanism,
                float(promise.epsilon),
                float(promise.delta),
                float(promise.rho.rho),
                len(release.measurements),
            )


def of(gate: Gate, scene: str) -> Release | None:
    found = gate.release(scene)
    return found if isinstance(found, Release) else None
