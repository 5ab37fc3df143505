"""Collects the inputs of a replay: all contracts and policies that were ever active."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gate.contracts import versions
from gate.contracts.odcs import ContractError
from gate.contracts.scene import Scene
from gate.policy import cedar, decisions
from gate.policy.cedar import CedarPolicy, CedarPolicyError
from gate.replay.history import ReplayGrounds
from portal.operations import company_folder
from steward.contracts.archive import ContractArchive

Warn = Callable[[str], object]


def grounds(home: Path, policies: Sequence[Path], warn: Warn) -> ReplayGrounds:
    """The contracts and policies of a data directory.

    `policies`: policy folders, the active one first; empty: the company's policy and those in the
    data directory. Anything there that cannot be read is left out and reported to `warn`. Raises
    CedarPolicyError.
    """
    company = company_folder.of(home)
    first, *others = [_policy(each) for each in policies] or [company_folder.policy(company)]
    known = {each.digest for each in (first, *others)}
    earlier = [] if policies else _earlier(home, known, warn)
    return ReplayGrounds(company.scenes, first, _archived(home, warn), [*others, *earlier])


def _policy(folder: Path) -> CedarPolicy:
    """The policy of a folder as it was archived, or of a company's folder of rules."""
    if (folder / "consent.cedar").exists():
        return cedar.load(folder)
    return cedar.load(cedar.law_folder(), folder)


def _earlier(home: Path, known: set[str], warn: Warn) -> list[CedarPolicy]:
    """Every other policy that was ever active; each folder is named by the policy's digest."""
    policies = []
    own = home / decisions.FOLDER  # of the company's own decisions: a replay opens what it needs
    for place in sorted((home / "policies").glob("*")):
        if place == own or place.name in known:
            continue
        try:
            rules = cedar.load(place)
        except CedarPolicyError as error:
            warn(f"left out: {error}")
            continue
        if rules.digest == place.name:
            policies.append(rules)
        else:
            warn(f"left out: {place} contains policy {rules.digest}, want the one in its name")
    return policies


def _archived(home: Path, warn: Warn) -> list[Scene]:
    """Every contract in the archive, the newest version first."""
    archive, contracts = ContractArchive(home / "contracts"), []
    for place in sorted((home / "contracts").glob("*")):
        try:
            contracts.append(archive.read(place.name))
        except ContractError as error:
            warn(f"left out: {error}")
    return sorted(contracts, key=lambda each: versions.parse(each.version), reverse=True)
