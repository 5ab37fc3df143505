"""What a replay rests on: the contracts and the policies that were ever in force."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gate.contracts import versions
from gate.contracts.scene import ContractError, Scene, specs_folder
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy, CedarPolicyError
from gate.replay.history import ReplayGrounds
from portal.operations.wiring import contracts
from steward.contracts.archive import ContractArchive

Warn = Callable[[str], object]


def grounds(home: Path, policies: Sequence[Path], warn: Warn) -> ReplayGrounds:
    """Those of a data directory. `policies`: folders, the one in force first; none: the shipped
    one, and those that the directory keeps. What cannot be read there is left out, and `warn` is
    told. Raises PolicyError."""
    first, *others = [cedar.load(each) for each in policies or [specs_folder() / "policy"]]
    known = {each.digest for each in (first, *others)}
    kept = [] if policies else _kept(home, known, warn)
    return ReplayGrounds(contracts()[1], first, _archived(home, warn), [*others, *kept])


def _kept(home: Path, known: set[str], warn: Warn) -> list[CedarPolicy]:
    """Every other policy that was ever in force; each lies under its digest."""
    found = []
    for place in sorted((home / "policies").glob("*")):
        if place.name in known:
            continue
        try:
            rules = cedar.load(place)
        except CedarPolicyError as error:
            warn(f"left out: {error}")
            continue
        if rules.digest == place.name:
            found.append(rules)
        else:
            warn(f"left out: {place} holds policy {rules.digest}, not the one it is named for")
    return found


def _archived(home: Path, warn: Warn) -> list[Scene]:
    """Every contract in the archive, the newest version first."""
    archive, found = ContractArchive(home / "contracts"), []
    for place in sorted((home / "contracts").glob("*")):
        try:
            found.append(archive.read(place.name))
        except ContractError as error:
            warn(f"left out: {error}")
    return sorted(found, key=lambda each: versions.parse(each.version), reverse=True)
