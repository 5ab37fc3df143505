"""Finds the version of a scene's contract that a customer decided on: the one they saw.

An instruction contains the digest of the wording, which can be recomputed from each version of a
contract (portal.consent.wording). If no version matches, as for imported consents or a browser's
signal, the active version is used.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from gate.contracts.odcs import ContractError
from gate.contracts.scene import Scene
from ledger.events.envelope import Instruction
from portal.consent import wording
from portal.web.i18n import Words
from steward.contracts.archive import ContractArchive


def contracts(
    instruction: object, scenes: Mapping[str, Scene], home: Path, words: Mapping[str, Words]
) -> Mapping[str, Scene]:
    """`scenes`, with the scene of the instruction in the version that was shown.

    `home`: the data directory, which has every version that was ever active.
    """
    present = scenes.get(instruction.scene or "") if isinstance(instruction, Instruction) else None
    if (
        present is None
        or not isinstance(instruction, Instruction)
        or _shows(present, instruction, words)
    ):
        return scenes
    earlier = (
        each
        for each in archived(home)
        if each.id == present.id and _shows(each, instruction, words)
    )
    return {**scenes, present.id: next(earlier, present)}


def _shows(scene: Scene, instruction: Instruction, words: Mapping[str, Words]) -> bool:
    spoken = words.get(instruction.wording.locale)
    return spoken is not None and wording.wording(scene, spoken) == instruction.wording


def archived(home: Path, without: Collection[str] = ()) -> Iterator[Scene]:
    """Every archived contract that can still be read, but those `without`, by digest."""
    archive = ContractArchive(home / "contracts")
    for place in sorted((home / "contracts").glob("*")):
        if place.name in without:
            continue
        try:
            yield archive.read(place.name)
        except ContractError:  # of an older format, or damaged: it cannot match
            continue
