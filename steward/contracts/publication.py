"""How a contract takes effect: held against the one in force, kept, announced. In this order.

Crash after `keep`: the contract lies in the archive and nobody has heard of it; the next start
announces it. What is announced can always be read back from the archive.
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
    """Announce every contract that is not in force in exactly this form; the scenes announced.

    Raises UndeclaredChangeError or MissingContractError, and then announces nothing: a contract
    that breaks or widens without saying so takes effect nowhere.
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
        if not _starts_anew(last, scene):
            raise


def _starts_anew(last: ScenePublished, scene: Scene) -> bool:
    """A new major version that counts no consent of before needs nothing to be held against."""
    own = versions.parse(scene.version)
    return own[0] > versions.published(last.version)[0] and scene.consent_since == own
