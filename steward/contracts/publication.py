"""Publishes contracts: compares each with the active version, archives it, then announces it.

After a crash between archiving and announcing, the contract is in the archive only; the next start
announces it. An announced contract can always be read back from the archive.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from gate.contracts import versions
from gate.contracts.scene import Scene
from ledger.events.envelope import ScenePublished
from ledger.service import Ledger
from steward.contracts import widening
from steward.contracts.archive import ContractArchive, MissingContractError


def publish(
    ledger: Ledger, scenes: Mapping[str, Scene], specs: Path, archive: ContractArchive, at: datetime
) -> list[str]:
    """Announce every contract that differs from the active one; returns their scenes.

    Raises UndeclaredChangeError or MissingContractError, and then announces nothing: one contract
    with an undeclared breaking or widening change stops all.
    """
    known = active_contracts(ledger)
    new = [each for each in scenes.values() if _digest(known, each.id) != each.digest]
    for scene in new:
        if (last := known.get(scene.id)) is not None:
            _require_declared(last, scene, archive)
    for scene in scenes.values():
        path = specs / "scenes" / f"{scene.id}.odcs.yaml"
        archive.keep(path, specs / "sources" / "customer.odcs.yaml", scene.digest)
    if new:
        ledger.announce([ScenePublished(s.id, s.version, s.digest, at) for s in new])
    return [each.id for each in new]


def active_contracts(ledger: Ledger) -> dict[str, ScenePublished]:
    """The last published contract of each scene."""
    events = (entry.event for entry in ledger.announced())
    return {each.scene: each for each in events if isinstance(each, ScenePublished)}


def _digest(known: Mapping[str, ScenePublished], scene: str) -> str | None:
    return known[scene].digest if scene in known else None


def _require_declared(last: ScenePublished, scene: Scene, archive: ContractArchive) -> None:
    try:
        widening.require_declared(archive.read(last.digest), scene)
    except MissingContractError:
        if not _needs_new_consent(last, scene):
            raise


def _needs_new_consent(last: ScenePublished, scene: Scene) -> bool:
    """Whether it is a new major version that accepts no earlier consent: no comparison needed."""
    own = versions.parse(scene.version)
    return own[0] > versions.published(last.version)[0] and scene.consent_since == own
