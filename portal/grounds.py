"""What a replay rests on: the contracts and the policies that were ever in force."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gate import policy, version
from gate.contract import ContractError, Scene, specs_folder
from gate.past import Grounds
from gate.policy import Policy, PolicyError
from portal.product import contracts
from steward.archive import Archive

Warn = Callable[[str], object]


def grounds(home: Path, policies: Sequence[Path], warn: Warn) -> Grounds:
    """Those of a data directory. `policies`: folders, the one in force first; none: the shipped
    one, and those that the directory keeps. What cannot be read there is left out, and `warn` is
    told. Raises PolicyError."""
    first, *others = [policy.load(each) for each in policies or [specs_folder() / "policy"]]
    known = {each.digest for each in (first, *others)}
    kept = [] if policies else _kept(home, known, warn)
    return Grounds(contracts()[1], first, _archived(home, warn), [*others, *kept])


def _kept(home: Path, known: set[str], warn: Warn) -> list[Policy]:
    """Every other policy that was ever in force; each lies under its digest."""
    found = []
    for place in sorted((home / "policies").glob("*")):
        if place.name in known:
            continue
        try:
            rules = policy.load(place)
        except PolicyError as error:
            warn(f"left out: {error}")
            continue
        if rules.digest == place.name:
            found.append(rules)
        else:
            warn(f"left out: {place} holds policy {rules.digest}, not the one it is named for")
    return found


def _archived(home: Path, warn: Warn) -> list[Scene]:
    """Every contract in the archive, the newest version first."""
    archive, found = Archive(home / "contracts"), []
    for place in sorted((home / "contracts").glob("*")):
        try:
            found.append(archive.read(place.name))
        except ContractError as error:
            warn(f"left out: {error}")
    return sorted(found, key=lambda each: version.parse(each.version), reverse=True)
