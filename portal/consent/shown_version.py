"""Which version of a scene's contract a customer decided on: the one whose words they were shown.

An instruction names the words by their digest, and a version of a contract yields them again
(portal.consent.wording). Words of no page of ours – of earlier records that were taken over, of a
browser's signal – are no contract's: then it is the version in force.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gate.contracts.scene import ContractError, Scene
from ledger.events.envelope import Instruction
from portal.consent import wording
from steward.contracts.archive import ContractArchive


def contracts(said: object, scenes: Mapping[str, Scene], home: Path) -> Mapping[str, Scene]:
    """`scenes`, but the one that was decided on in the version that was shown.

    `home`: the data directory, which keeps every version that was ever in force.
    """
    present = scenes.get(said.scene or "") if isinstance(said, Instruction) else None
    if present is None or not isinstance(said, Instruction) or _shows(present, said):
        return scenes
    earlier = (each for each in _kept(home) if each.id == present.id and _shows(each, said))
    return {**scenes, present.id: next(earlier, present)}


def _shows(scene: Scene, said: Instruction) -> bool:
    locale = said.wording.locale
    return locale in scene.title and wording.wording(scene, locale) == said.wording


def _kept(home: Path) -> Iterator[Scene]:
    """Every contract that the directory keeps and that can still be read."""
    archive = ContractArchive(home / "contracts")
    for place in sorted((home / "contracts").glob("*")):
        try:
            yield archive.read(place.name)
        except ContractError:  # of an older form, or damaged: it shows nobody anything
            continue
