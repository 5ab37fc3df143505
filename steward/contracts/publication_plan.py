"""What a start would publish, and which consents end by it. Reads only.

Each contract of the company's folder is compared with its active version in the log. Customers are
counted twice, as the gate counts them: under the active contracts, and under those of the folder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gate.contracts import versions
from gate.contracts.company import Company
from gate.contracts.odcs import ContractError
from gate.contracts.scene import LegalBasis, Population, Scene
from gate.state import bit_arrays, consent_bits, snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.consent_rows import NEVER
from gate.state.followed import ErasureLog
from gate.state.snapshot import Rooted
from ledger.events.envelope import PolicyPublished, ScenePublished
from steward.contracts import publication, widening
from steward.contracts.archive import ContractArchive, MissingContractError
from steward.contracts.publication import AnnouncingLog
from steward.contracts.widening import FOR_EVER, ContractDifference, DifferenceKind

MISSING = "the published contract is not in the archive"


COUNTED = "its tables rest on counts of everybody who does not object"


class PlannedChange(StrEnum):
    """What a start does with a scene. Only RETIRED and UNCHANGED publish nothing."""

    NEW = "new"
    UNCHANGED = "unchanged"
    REWORDED = "reworded"  # no field, purpose or service comes or leaves
    NARROWED = "narrowed"
    WIDENED = "widened"
    RETIRED = "retired"  # the log has it, the folder does not: nothing is read under it


@dataclass(frozen=True, slots=True)
class PlannedScene:
    """One scene. `version`: of the folder; `before`: of the log. Empty: there is none.

    `allowing`: customers with a live grant; None: they cannot be counted, because the published
    contract is missing. `ending`: those of them whose grant is not valid under the new contract.
    """

    scene: str
    change: PlannedChange
    version: str
    before: str
    came: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    allowing: int | None = 0
    ending: int = 0
    unasked: str = ""  # the basis that the start gives the scene, if it is read without consent
    interest: bool = False  # under the folder's contract silence allows reads
    objecting: int = 0  # customers who do not allow it, and have said so


@dataclass(frozen=True, slots=True)
class ChangedSetting:
    """A setting that customers notice, as the last start had it and as the next one has it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PublicationPlan:
    """`digest`: of all contracts, policies and settings that are compared; customers' choices are
    not in it.

    `policy`: NEW, UNCHANGED or REWORDED. `decisions`: of the company's policy about its own
    resources, or RETIRED; None: there is none, and was none.
    """

    digest: str
    scenes: tuple[PlannedScene, ...]
    policy: PlannedChange
    settings: tuple[ChangedSetting, ...] = ()
    decisions: PlannedChange | None = None

    @property
    def publishes(self) -> bool:
        """Whether a start would announce a contract or a policy, or change such a setting."""
        silent = {PlannedChange.UNCHANGED, PlannedChange.RETIRED}
        return (
            bool(self.settings)
            or self.decisions not in {None, PlannedChange.UNCHANGED}
            or not {self.policy, *(each.change for each in self.scenes)} <= silent
        )


class PlannedLog(ErasureLog, Rooted, AnnouncingLog, Protocol):
    """A consent log that can be read, by its writer or a follower."""

    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Compared:
    """A scene of the log: its active version, that contract if it can be read, and the new one."""

    last: ScenePublished
    old: Scene | None
    new: Scene | None


def make(  # noqa: PLR0913 - each is compared
    log: PlannedLog | None,
    company: Company,
    policy: str,
    archive: ContractArchive,
    snapshot_file: Path,
    at: datetime,
    settings: tuple[ChangedSetting, ...] = (),
    *,
    decisions: tuple[str, str] = ("", ""),
) -> PublicationPlan:
    """The plan of a start with this company and the policy of this digest. None: a new log.

    `settings`: those that change. `decisions`: the digests of the active policy about the company's
    own resources and of the folder's; empty: there is none.

    Raises UndeclaredChangeError or MissingContractError if the start would be refused.
    """
    active: dict[str, ScenePublished] = {}
    rules = ""
    if log is not None:
        publication.unpublished(log, company, archive)
        active, rules = publication.active_contracts(log), _active_policy(log)
    compared = {
        name: _Compared(last, _published(last, company, archive), company.scenes.get(name))
        for name, last in active.items()
    }
    counts = _counts(log, compared, snapshot_file, at) if log is not None else {}
    scenes = [
        _planned(compared[each.id], counts[each.id])
        if each.id in compared
        else _new(each, first=not active)
        for each in company.scenes.values()
    ]
    retired = [
        PlannedScene(
            name, PlannedChange.RETIRED, "", each.last.version, allowing=counts[name].allowing
        )
        for name, each in compared.items()
        if each.new is None
    ]
    return PublicationPlan(
        _digest(company, active, (rules, policy, *decisions), settings),
        (*scenes, *retired),
        _policy(rules, policy),
        settings,
        _decisions(*decisions),
    )


def _active_policy(log: AnnouncingLog) -> str:
    """The digest of the last published policy; empty if none was."""
    events = (entry.event for entry in log.announced())
    digests = [each.digest for each in events if isinstance(each, PolicyPublished)]
    return digests[-1] if digests else ""


def _policy(before: str, after: str) -> PlannedChange:
    if not before:
        return PlannedChange.NEW
    return PlannedChange.UNCHANGED if before == after else PlannedChange.REWORDED


def _decisions(before: str, after: str) -> PlannedChange | None:
    if not after:
        return PlannedChange.RETIRED if before else None
    return _policy(before, after)


def _digest(
    company: Company,
    active: Mapping[str, ScenePublished],
    policies: tuple[str, ...],
    settings: tuple[ChangedSetting, ...],
) -> str:
    """`policies`: those of before and of the folder, by digest."""
    before = {name: each.digest for name, each in active.items()}
    after = {each.id: each.digest for each in company.scenes.values()}
    changed = [[each.name, each.before, each.after] for each in settings]
    content = json.dumps([company.origin, before, after, *policies, changed], sort_keys=True)
    return sha256(content.encode()).hexdigest()


def _published(last: ScenePublished, company: Company, archive: ContractArchive) -> Scene | None:
    """The active contract; None if the archive does not have it.

    One that a start compares is read as strictly as the start reads it.
    """
    new = company.scenes.get(last.scene)
    if new is not None and new.digest == last.digest:
        return new
    try:
        return archive.read(last.digest)
    except MissingContractError:
        return None
    except ContractError:
        if new is not None:
            raise
        return None


def _counts(
    log: PlannedLog, compared: Mapping[str, _Compared], snapshot_file: Path, at: datetime
) -> "dict[str, _Counted]":
    """Customers by scene, as the gate counts them."""
    before = {name: scene for name, each in compared.items() if (scene := _before(each))}
    after = {
        name: each.new
        for name, each in compared.items()
        if each.new is not None and each.new.digest != each.last.digest
    }
    now = snapshot.load(snapshot_file, before, log) or ConsentIndex(before)
    now.keep_up(log)
    then = ConsentIndex(after)
    if after:
        then.keep_up(log)
    minute = consent_bits.minute(at)
    found = dict.fromkeys(compared, _Counted(None, 0, 0))
    for name in before:
        live = _live(now.all_bits(name), minute)
        ending = 0
        if name in after:
            left = {*then.subjects.of(_live(then.all_bits(name), minute))}
            ending = len({*now.subjects.of(live)} - left)
        counted = None if compared[name].old is None else int(np.count_nonzero(live))
        heard = np.count_nonzero(~live & (now.indexes(name) != NEVER))
        found[name] = _Counted(counted, ending, int(heard))
    return found


@dataclass(frozen=True, slots=True)
class _Counted:
    """`allowing`, `ending`, `objecting`: see PlannedScene."""

    allowing: int | None
    ending: int
    objecting: int


def _before(each: _Compared) -> Scene | None:
    """The contract under which grants are counted now.

    Without the published one, as many as possible: every grant of a field that is still there.
    """
    if each.old is not None or each.new is None:
        return each.old
    fields = {name: replace(field, since=versions.NONE) for name, field in each.new.fields.items()}
    return replace(each.new, consent_since=versions.NONE, fields=fields)


def _live(bits: consent_bits.BitsArray, minute: int) -> npt.NDArray[np.bool_]:
    return bit_arrays.granting(bits) & (bit_arrays.expiries(bits) > np.uint64(minute))


def _new(scene: Scene, *, first: bool) -> PlannedScene:
    """A scene that the log does not have. `first`: nor any other: nobody was told anything yet."""
    asked = scene.legal_basis is LegalBasis.CONSENT
    unasked = "" if first or asked else scene.legal_basis.value
    change, interest = PlannedChange.NEW, bool(scene.unsaid)
    return PlannedScene(scene.id, change, scene.version, "", unasked=unasked, interest=interest)


def _planned(each: _Compared, counted: _Counted) -> PlannedScene:
    """A scene that the log and the folder have."""
    old, new = each.old, each.new
    if new is None:
        raise AssertionError(f"{each.last.scene} is retired")
    came, gone = (_came(old, new), _gone(old, new)) if old is not None else ((MISSING,), ())
    change = PlannedChange.REWORDED
    if new.digest == each.last.digest:
        change = PlannedChange.UNCHANGED
    elif came:
        change = PlannedChange.WIDENED
    elif gone:
        change = PlannedChange.NARROWED
    flipped = new.objectable and (old is None or old.legal_basis is not new.legal_basis)
    unasked = change is not PlannedChange.UNCHANGED and (flipped or (new.locked and bool(came)))
    return PlannedScene(
        new.id,
        change,
        new.version,
        each.last.version,
        came,
        gone,
        counted.allowing,
        counted.ending,
        unasked=new.legal_basis.value if unasked else _counted_now(old, new),
        interest=bool(new.unsaid),
        objecting=counted.objecting,
    )


def _counted_now(old: Scene | None, new: Scene) -> str:
    """What of a scene begins without consent although its basis is the same."""
    counted = Population.NOT_OBJECTING
    if new.population is not counted or (old is not None and old.population is counted):
        return ""
    return COUNTED


def _came(old: Scene, new: Scene) -> tuple[str, ...]:
    """What no earlier grant covers: a purpose, a service, a field that is new or retyped."""
    kinds = {DifferenceKind.WIDENED, DifferenceKind.ADDED}
    changes = widening.differences(old, new)
    retyped = [each for each in changes if each.kind is DifferenceKind.BREAKING and each.new]
    return tuple(_named(each) for each in changes if each.kind in kinds or each in retyped)


def _named(change: ContractDifference) -> str:
    return f"{change.what} {change.new}" if change.what == "legal basis" else change.what


def _gone(old: Scene, new: Scene) -> tuple[str, ...]:
    """What the new contract allows no more."""
    fields = [f"field {name}" for name in old.fields if name not in new.fields]
    services = [f"service {each.id}" for each in old.services if not new.admits(each.id)]
    spans = [
        what
        for what, earlier, later in (
            ("longest consent", old.longest, new.longest),
            ("retention", old.retention or FOR_EVER, new.retention or FOR_EVER),
        )
        if later < earlier
    ]
    return (*fields, *services, *spans)
