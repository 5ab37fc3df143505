"""Publishes contracts: compares each with the active version, archives it, then announces it.

After a crash between archiving and announcing, the contract is in the archive only; the next start
announces it. An announced contract can always be read back from the archive.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

from gate.contracts import versions
from gate.contracts.company import Company
from gate.contracts.scene import Scene
from ledger.events.envelope import ScenePublished
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from steward.contracts import widening
from steward.contracts.archive import ContractArchive, MissingContractError


class AnnouncingLog(Protocol):
    """A consent log whose public acts can be read: its writer's, or a follower."""

    def announced(self, since: int = 0) -> Iterator[RecordedEvent]: ...


def publish(ledger: Ledger, company: Company, archive: ContractArchive, at: datetime) -> list[str]:
    """Announce every contract that differs from the active one; returns their scenes.

    Raises as `unpublished` does, and then announces nothing.
    """
    new = unpublished(ledger, company, archive)
    for scene in company.scenes.values():
        archive.keep(company.scene_file(scene.id), company.source_file, scene.digest)
    if new:
        ledger.announce([ScenePublished(s.id, s.version, s.digest, at) for s in new])
    return [each.id for each in new]


def unpublished(log: AnnouncingLog, company: Company, archive: ContractArchive) -> list[Scene]:
    """The contracts that differ from the active ones; they may be published.

    Raises UndeclaredChangeError or MissingContractError: one contract with an undeclared breaking
    or widening change stops all.
    """
    known = active_contracts(log)
    new = [each for each in company.scenes.values() if _digest(known, each.id) != each.digest]
    for scene in new:
        if (last := known.get(scene.id)) is not None:
            _require_declared(last, scene, archive)
    return new


def active_contracts(log: AnnouncingLog) -> dict[str, ScenePublished]:
    """The last published contract of each scene."""
    events = (entry.event for entry in log.announced())
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
    """Whether it is a new major version that accepts no earlier consent: no comparison needed.

    A locked scene needs one: the earlier version may have been one that customers could refuse.
    """
    own = versions.parse(scene.version)
    return (
        not scene.locked
        and own[0] > versions.published(last.version)[0]
        and scene.consent_since == own
    )
