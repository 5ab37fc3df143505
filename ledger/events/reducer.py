"""The reducer: a fold of a customer's instructions into what is in force. Pure and total.

Granted    the scene holds exactly its fields, until its end
Withdrawn  the scene holds nothing, or no longer these fields; taking the last withdraws all
Key…       who may sign: see ledger.events.authority
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, get_args

from ledger.events import authority
from ledger.events.authority import NOBODY, Authority
from ledger.events.envelope import (
    FIRST,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    KeyAct,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
    digest,
    encode,
)
from ledger.events.instruction_signature import Signature
from ledger.vault import commitments

_UNSIGNED = (EvidenceClass.SESSION, EvidenceClass.IMPORTED)
_KEY_ACTS = frozenset(get_args(KeyAct))  # asked of every instruction: a set, not a union


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
    """Everything one customer has in force. `seq` is the agreement's version."""

    subject: str
    seq: int = 0
    head: bytes = FIRST
    scenes: Mapping[str, SceneConsent | SceneWithdrawal] = field(default_factory=dict)
    triggers: Mapping[str, tuple[ActiveTrigger, ...]] = field(default_factory=dict)
    authority: Authority = NOBODY


def apply(
    state: ConsentState | None, instruction: Instruction, index: int, head: bytes | None = None
) -> ConsentState:
    """The state after one more instruction, which stands at `index` of the log.

    `head`: the instruction's digest, if it is known already.
    """
    state = state or ConsentState(instruction.subject)
    scenes, triggers = dict(state.scenes), dict(state.triggers)
    match instruction.act:
        case Granted(scene, fields, until) | Imported(scene, fields, until):
            scenes[scene] = SceneConsent(frozenset(fields), until, instruction.at, index)
        case Withdrawn(scene, fields):
            scenes[scene] = _withdrawn(scenes.get(scene), fields, instruction.at, index)
        case TriggerSet(scene, template, signal, threshold):
            others = _without(triggers, scene, template, signal)
            triggers[scene] = (*others, ActiveTrigger(template, signal, threshold))
        case TriggerCleared(scene, template, signal):
            triggers[scene] = _without(triggers, scene, template, signal)
    head = head or digest(instruction)
    signers = state.authority
    if type(instruction.act) in _KEY_ACTS:
        signers = authority.apply(signers, _document(instruction), head, index)
    return ConsentState(state.subject, instruction.seq, head, scenes, triggers, signers)


def require_authorised(
    state: ConsentState, instruction: Instruction, signature: Signature | None
) -> None:
    """Return if the customer's keys let the instruction follow, else raise InstructionError."""
    if signature is None and _plain(state, instruction):
        return
    document = _document(instruction)
    authority.require(state.authority, document, signature, narrows=_narrows(state, instruction))


def _plain(state: ConsentState, instruction: Instruction) -> bool:
    """Nobody has keys, and it is not about keys either: a session suffices."""
    return (
        state.authority is NOBODY
        and instruction.evidence in _UNSIGNED
        and instruction.mandate is None
        and type(instruction.act) not in _KEY_ACTS
    )


def _narrows(state: ConsentState, instruction: Instruction) -> bool:
    """A trigger that takes the place of another may let more through than that one did."""
    match instruction.act:
        case TriggerSet(scene, template, signal, threshold):
            new = ActiveTrigger(template, signal, threshold)
            others = _without(state.triggers, scene, template, signal)
            return {*state.triggers.get(scene, ())} <= {*others, new}
        case act:
            return act.__struct_config__.tag in authority.OPEN


def _document(instruction: Instruction) -> dict[str, Any]:
    found: dict[str, Any] = commitments.parse(encode(instruction))
    return found


def _withdrawn(
    held: SceneConsent | SceneWithdrawal | None,
    fields: tuple[str, ...] | None,
    at: datetime,
    index: int,
) -> SceneConsent | SceneWithdrawal:
    if isinstance(held, SceneConsent) and fields is not None and held.fields - {*fields}:
        return replace(held, fields=held.fields - {*fields}, index=index)
    return SceneWithdrawal(at, index)


def _without(
    triggers: Mapping[str, tuple[ActiveTrigger, ...]], scene: str, template: str, signal: str
) -> tuple[ActiveTrigger, ...]:
    held = triggers.get(scene, ())
    return tuple(t for t in held if (t.template, t.signal) != (template, signal))
