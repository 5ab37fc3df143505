"""The reducer: computes a customer's state from their instructions. Pure and total.

Granted    the scene has exactly these fields, until its end
Withdrawn  the scene has no fields, or no longer these; removing the last withdraws the scene
Key…       who may sign: see ledger.events.authority

Limited    the scene has at most these fields, until then at most

SourceDeleted  every scene has no fields, named or not, and no trigger is left
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, get_args

from ledger.events import authority
from ledger.events.acts import Limited, Merged, Renamed, Split
from ledger.events.authority import EMPTY_AUTHORITY, Authority
from ledger.events.envelope import (
    FIRST,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    KeyAct,
    SourceDeleted,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
    digest,
    encode,
)
from ledger.events.instruction_signature import Signature
from ledger.vault import commitments

_UNSIGNED = (EvidenceClass.SESSION, EvidenceClass.IMPORTED)
_KEY_ACTS = frozenset(get_args(KeyAct))  # faster for each instruction than isinstance on a union


@dataclass(frozen=True, slots=True)
class SceneConsent:
    fields: frozenset[str]
    until: datetime | None
    at: datetime
    index: int  # of the entry that granted


@dataclass(frozen=True, slots=True)
class SceneWithdrawal:
    at: datetime
    index: int


@dataclass(frozen=True, slots=True)
class ActiveTrigger:
    template: str
    signal: str
    threshold: int  # ten-thousandths


@dataclass(frozen=True, slots=True)
class ConsentState:
    """One customer's current state.

    `seq` is the version of the agreement, `head` the digest of the latest instruction. `returned`:
    their id was erased before, so that silence of theirs allows nothing; no instruction says it.
    `deleted`: the company deleted the customer at its source, which withdraws the scenes not in
    `scenes`.
    """

    subject: str
    seq: int = 0
    head: bytes = FIRST
    scenes: Mapping[str, SceneConsent | SceneWithdrawal] = field(default_factory=dict)
    triggers: Mapping[str, tuple[ActiveTrigger, ...]] = field(default_factory=dict)
    authority: Authority = EMPTY_AUTHORITY
    returned: bool = False
    deleted: SceneWithdrawal | None = None

    def last(self, scene: str) -> SceneConsent | SceneWithdrawal | None:
        """What holds in a scene; None if nothing was ever said of it."""
        return self.scenes.get(scene, self.deleted)


def apply(
    state: ConsentState | None, instruction: Instruction, index: int, head: bytes | None = None
) -> ConsentState:
    """The state after one more instruction, which is entry `index` of the log.

    `head`: the instruction's digest, if the caller already has it.
    """
    state = state or ConsentState(instruction.subject)
    scenes, triggers = dict(state.scenes), dict(state.triggers)
    deleted = state.deleted
    match instruction.act:
        case Granted(scene, fields, until) | Imported(scene, fields, until):
            scenes[scene] = SceneConsent(frozenset(fields), until, instruction.at, index)
        case Withdrawn(scene, fields):
            scenes[scene] = _withdrawn(scenes.get(scene), fields, instruction.at, index)
        case Limited(scene, fields, until):
            scenes[scene] = _limited(scenes.get(scene), fields, until, instruction.at, index)
        case TriggerSet(scene, template, signal, threshold):
            others = _without(triggers, scene, template, signal)
            triggers[scene] = (*others, ActiveTrigger(template, signal, threshold))
        case TriggerCleared(scene, template, signal):
            triggers[scene] = _without(triggers, scene, template, signal)
        case SourceDeleted():
            deleted = SceneWithdrawal(instruction.at, index)
            scenes, triggers = dict.fromkeys(scenes, deleted), {}
    head = head or digest(instruction)
    signers = state.authority
    if type(instruction.act) in _KEY_ACTS:
        signers = authority.apply(signers, _document(instruction), head, index)
    seq = instruction.seq
    return ConsentState(state.subject, seq, head, scenes, triggers, signers, deleted=deleted)


def joined_at(history: Iterable[Instruction]) -> datetime | None:
    """When the company last merged, split or renamed the customer.

    No older permission says whose it was.
    """
    joins = Merged | Split | Renamed
    return max((each.at for each in history if isinstance(each.act, joins)), default=None)


def require_authorised(
    state: ConsentState, instruction: Instruction, signature: Signature | None
) -> None:
    """Raise InstructionError unless the customer's keys allow the instruction."""
    if signature is None and _plain(state, instruction):
        return
    document = _document(instruction)
    authority.require(state.authority, document, signature, narrows=_narrows(state, instruction))


def _plain(state: ConsentState, instruction: Instruction) -> bool:
    """Whether there is nothing to check: the customer has no keys and the act brings none."""
    return (
        state.authority is EMPTY_AUTHORITY
        and instruction.evidence in _UNSIGNED
        and instruction.mandate is None
        and type(instruction.act) not in _KEY_ACTS
    )


def _narrows(state: ConsentState, instruction: Instruction) -> bool:
    """Whether the act only takes permission away. Replacing a trigger may allow more."""
    match instruction.act:
        case TriggerSet(scene, template, signal, threshold):
            new = ActiveTrigger(template, signal, threshold)
            others = _without(state.triggers, scene, template, signal)
            return {*state.triggers.get(scene, ())} <= {*others, new}
        case act:
            return act.__struct_config__.tag in authority.SESSION_ACTS


def _document(instruction: Instruction) -> dict[str, Any]:
    members: dict[str, Any] = commitments.parse(encode(instruction))
    return members


def _withdrawn(
    current: SceneConsent | SceneWithdrawal | None,
    fields: tuple[str, ...] | None,
    at: datetime,
    index: int,
) -> SceneConsent | SceneWithdrawal:
    if isinstance(current, SceneConsent) and fields is not None and current.fields - {*fields}:
        return replace(current, fields=current.fields - {*fields}, index=index)
    return SceneWithdrawal(at, index)


def _limited(
    current: SceneConsent | SceneWithdrawal | None,
    fields: tuple[str, ...],
    until: datetime | None,
    at: datetime,
    index: int,
) -> SceneConsent | SceneWithdrawal:
    left = current.fields & {*fields} if isinstance(current, SceneConsent) else None
    if not isinstance(current, SceneConsent) or not left:
        return SceneWithdrawal(at, index)
    ends = [each for each in (current.until, until) if each is not None]
    return replace(current, fields=left, until=min(ends, default=None), index=index)


def _without(
    triggers: Mapping[str, tuple[ActiveTrigger, ...]], scene: str, template: str, signal: str
) -> tuple[ActiveTrigger, ...]:
    active = triggers.get(scene, ())
    return tuple(t for t in active if (t.template, t.signal) != (template, signal))
