"""Who may sign for a customer: active keys, a pending recovery, mandates. Pure functions.

No active key     a login session suffices for every act
An active key     acts that widen need a signature by an active key, or by a mandated one
Acts that narrow  a session always suffices: nobody needs a (lost) key to withdraw

Instructions and acts are given as their JSON, so that the offline verifier applies the same rules
with the standard library and `cryptography` alone. Specification: specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ledger.events import customer_keys, instruction_signature
from ledger.events.customer_keys import Key, KeyFormError
from ledger.events.instruction_signature import InstructionError, Signature

_Member = TypeVar("_Member")
COOLING_OFF = timedelta(hours=72)  # minimum delay from the request of a recovery to its end
MAX_KEYS = 20  # active at the same time
MAX_MANDATES = 20
# For these acts a session suffices, whatever keys the customer has: they narrow, or start a delay.
# A `trigger-set` that replaces a trigger may widen; the caller, who knows the active triggers, says
# so with `narrows`.
SESSION_ACTS = frozenset(
    {
        "withdrawn",
        "limited",
        "trigger-set",
        "recovery-requested",
        "recovery-cancelled",
        "key-recovered",
        "mandate-ended",
        "source-deleted",
        "merged",
        "split",
        "renamed",
    }
)


class UnauthorisedError(InstructionError):
    """The signer, or the session, is not allowed to give the instruction. Nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An active key, and the index of the entry that enrolled it."""

    key: Key
    index: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """A pending recovery: `key` becomes the customer's at `not_before` unless it is cancelled."""

    request: bytes  # digest of the instruction that requested it
    key: Key
    not_before: str  # as in events: 2026-01-01T12:00:00Z; such texts sort in order of time
    index: int


@dataclass(frozen=True, slots=True)
class Mandate:
    """Another person's key that may sign for these scenes until a time."""

    key: Key
    scenes: frozenset[str]
    until: str
    index: int


@dataclass(frozen=True, slots=True)
class Authority:
    """Who may sign for one customer.

    `keys` by key id; `mandates` by the digest of the instruction that gave them.
    """

    keys: Mapping[bytes, Enrolled] = field(default_factory=dict)
    recovery: Recovery | None = None
    mandates: Mapping[bytes, Mandate] = field(default_factory=dict)


EMPTY_AUTHORITY = Authority()


def apply(
    authority: Authority, instruction: Mapping[str, Any], digest: bytes, index: int
) -> Authority:
    """The authority after an instruction, given its JSON, digest and index in the log.

    Total: an instruction that `require` would refuse is applied as far as possible.
    """
    act = instruction["act"]
    after = Authority(
        _keys(authority, act, index),
        _recovery(authority, act, digest, index),
        _mandates(authority, act, digest, index),
    )
    return after if after.keys or after.recovery or after.mandates else EMPTY_AUTHORITY


def _keys(before: Authority, act: Mapping[str, Any], index: int) -> Mapping[bytes, Enrolled]:
    match act["type"]:
        case "key-enrolled":
            return _with(before.keys, act, index)
        case "key-replaced":
            return _with(_without(before.keys, act["old"]), act, index)
        case "key-removed":
            return _without(before.keys, act["old"])
        case "key-recovered" if before.recovery:
            return {before.recovery.key.id: Enrolled(before.recovery.key, index)}
    return before.keys


def _recovery(
    before: Authority, act: Mapping[str, Any], digest: bytes, index: int
) -> Recovery | None:
    match act["type"]:
        case "recovery-requested":
            return Recovery(digest, customer_keys.parse(act["key"]), act["not_before"], index)
        case "recovery-cancelled" | "key-recovered":
            return None
    return before.recovery


def _mandates(
    before: Authority, act: Mapping[str, Any], digest: bytes, index: int
) -> Mapping[bytes, Mandate]:
    match act["type"]:
        case "mandate-given":
            key, scenes = customer_keys.parse(act["key"]), frozenset(act["scenes"])
            return {**before.mandates, digest: Mandate(key, scenes, act["until"], index)}
        case "mandate-ended":
            return _without(before.mandates, act["mandate"])
        case "key-recovered":  # a finder of the lost keys may have given the mandates
            return {}
    return before.mandates


def _with(
    keys: Mapping[bytes, Enrolled], act: Mapping[str, Any], index: int
) -> dict[bytes, Enrolled]:
    key = customer_keys.parse(act["key"])
    return {**keys, key.id: Enrolled(key, index)}


def _without(members: Mapping[bytes, _Member], name: str) -> dict[bytes, _Member]:
    gone = b64decode(name)
    return {each: value for each, value in members.items() if each != gone}


def require(
    authority: Authority,
    instruction: Mapping[str, Any],
    signature: Signature | None,
    *,
    narrows: bool | None = None,
) -> Key | None:
    """The key that signed, or None if a session vouches for the instruction.

    `narrows`: whether the instruction only takes permission away; None derives it from the type of
    act. Raises InstructionError if the customer's authority does not allow the instruction.
    """
    act = instruction["act"]
    _require_sense(authority, instruction)
    if signature is None:
        _require_session(
            authority, instruction, act["type"] in SESSION_ACTS if narrows is None else narrows
        )
        return None
    key = _signer(authority, instruction, signature)
    instruction_signature.verify(instruction, signature, key)
    if act["type"] == "key-replaced" and b64decode(act["old"]) != signature.key:
        raise UnauthorisedError(
            f"signed by the key {signature.key.hex()[:16]}, want the signature of the key that is "
            "replaced"
        )
    return key


def document(authority: Authority) -> dict[str, Any]:
    """JSON for the state document: "keys", "mandates", "recovery", each only if there are any."""
    members: dict[str, Any] = {}
    if authority.keys:
        keys = [{"index": each.index, "key": _text(name)} for name, each in authority.keys.items()]
        members["keys"] = sorted(keys, key=_index)
    if authority.mandates:
        mandates = [_mandate(name, each) for name, each in authority.mandates.items()]
        members["mandates"] = sorted(mandates, key=_index)
    if waiting := authority.recovery:
        members["recovery"] = {
            "index": waiting.index,
            "key": _text(waiting.key.id),
            "not_before": waiting.not_before,
            "request": _text(waiting.request),
        }
    return members


def _mandate(name: bytes, mandate: Mandate) -> dict[str, Any]:
    return {
        "index": mandate.index,
        "key": _text(mandate.key.id),
        "mandate": _text(name),
        "scenes": sorted(mandate.scenes),
        "until": mandate.until,
    }


def _index(member: Mapping[str, Any]) -> int:
    return int(member["index"])


def _text(digest: bytes) -> str:
    return b64encode(digest).decode()


def _require_session(authority: Authority, instruction: Mapping[str, Any], narrows: bool) -> None:
    kind, evidence = instruction["act"]["type"], instruction["evidence"]
    if evidence in instruction_signature.CLASSES:
        raise UnauthorisedError(
            f"an instruction of evidence class {evidence} without a signature: sign it, or use "
            "class C"
        )
    if instruction.get("mandate") is not None:
        raise UnauthorisedError("an instruction under a mandate without a signature: sign it")
    if authority.keys and not narrows:
        raise UnauthorisedError(
            f"{kind} widens what is allowed and the customer has {len(authority.keys)} active "
            "keys: want the signature of one of them; in a session they can only withdraw"
        )


def _signer(authority: Authority, instruction: Mapping[str, Any], signature: Signature) -> Key:
    if (named := instruction.get("mandate")) is not None:
        return _mandated(authority, instruction, b64decode(named), signature)
    if (enrolled := authority.keys.get(signature.key)) is None:
        raise UnauthorisedError(
            f"signed by the key {signature.key.hex()[:16]}, which is none of the customer's "
            f"{len(authority.keys)} active keys: enrol it first"
        )
    return enrolled.key


def _mandated(
    authority: Authority, instruction: Mapping[str, Any], named: bytes, signature: Signature
) -> Key:
    if (mandate := authority.mandates.get(named)) is None:
        raise UnauthorisedError("the mandate it names is not active: it ended, or was never given")
    scene = instruction["act"].get("scene")
    if scene not in mandate.scenes:
        raise UnauthorisedError(
            f"the mandate is for {sorted(mandate.scenes)}, the instruction is about "
            f"{scene or instruction['act']['type']!r}"
        )
    if instruction["at"] >= mandate.until:
        raise UnauthorisedError(
            f"the mandate ended at {mandate.until}, the instruction is of {instruction['at']}"
        )
    if signature.key != mandate.key.id:
        raise UnauthorisedError(
            f"signed by the key {signature.key.hex()[:16]}, want the mandated key "
            f"{mandate.key.id.hex()[:16]}"
        )
    return mandate.key


def _require_sense(authority: Authority, instruction: Mapping[str, Any]) -> None:
    """Raises UnauthorisedError if an act on keys does not fit the current keys, whoever signs."""
    act = instruction["act"]
    _require_keys(authority, act)
    match act["type"]:
        case "recovery-requested":
            _require_request(authority, instruction)
        case "recovery-cancelled" | "key-recovered":
            _require_pending(authority, instruction)
        case "mandate-given":
            _require_mandate(authority, instruction)
        case "mandate-ended" if b64decode(act["mandate"]) not in authority.mandates:
            raise UnauthorisedError("the mandate is not active: it ended, or was never given")


def _require_keys(authority: Authority, act: Mapping[str, Any]) -> None:
    try:
        new = customer_keys.parse(act["key"]) if "key" in act else None
    except KeyFormError as error:
        raise UnauthorisedError(f"the key cannot sign for the customer: {error}") from error
    if new and act["type"] != "mandate-given" and new.id in authority.keys:
        raise UnauthorisedError(f"the key {new.id.hex()[:16]} is already active")
    if act["type"] == "key-enrolled" and len(authority.keys) >= MAX_KEYS:
        raise UnauthorisedError(
            f"the customer has {len(authority.keys)} active keys, want at most {MAX_KEYS}: remove "
            "one first"
        )
    if "old" in act and b64decode(act["old"]) not in authority.keys:
        raise UnauthorisedError("the old key is not an active key of the customer")


def _require_request(authority: Authority, instruction: Mapping[str, Any]) -> None:
    if not authority.keys:
        raise UnauthorisedError("the customer has no key to recover: enrol one in a session")
    if authority.recovery:
        raise UnauthorisedError("a recovery is already pending: cancel it first")
    asked, proposed = moment(instruction["at"]), moment(instruction["act"]["not_before"])
    if proposed - asked < COOLING_OFF:  # their difference: a sum may be after the year 9999
        raise UnauthorisedError(
            f"a recovery at {proposed}, asked for at {asked}: it must wait for {COOLING_OFF}"
        )


def _require_pending(authority: Authority, instruction: Mapping[str, Any]) -> None:
    act, waiting = instruction["act"], authority.recovery
    if waiting is None or b64decode(act["request"]) != waiting.request:
        raise UnauthorisedError(
            "the recovery it names is not pending: it was cancelled or completed, or never "
            "requested"
        )
    if act["type"] == "key-recovered" and instruction["at"] < waiting.not_before:
        raise UnauthorisedError(
            f"recovered at {instruction['at']}, want {waiting.not_before} or later"
        )


def _require_mandate(authority: Authority, instruction: Mapping[str, Any]) -> None:
    if not instruction["act"]["scenes"] or instruction["act"]["until"] <= instruction["at"]:
        raise UnauthorisedError("a mandate needs at least one scene and an end after its start")
    if len(authority.mandates) >= MAX_MANDATES:
        raise UnauthorisedError(
            f"the customer has {len(authority.mandates)} active mandates, want at most "
            f"{MAX_MANDATES}: end one first"
        )


def moment(text: str) -> datetime:
    """Parse a time as events write it; aware, UTC. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
