"""Who may sign for a customer: keys in force, a recovery that waits, mandates. Pure.

No key yet     a session suffices for everything
A key          what widens needs a signature by a key in force, or by a mandated one
What narrows   a session suffices always: nobody needs a lost key to withdraw

Instructions and acts are their JSON, so that whoever verifies offline applies the same rules with
the standard library and `cryptography` alone. The law: specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ledger.events import customer_keys, instruction_signature
from ledger.events.customer_keys import Key, KeyFormError
from ledger.events.instruction_signature import InstructionError, Signature

_Held = TypeVar("_Held")
COOLING_OFF = timedelta(hours=72)  # from the request of a recovery to the recovered key, at least
MOST_KEYS = 20  # in force at a time
MOST_MANDATES = 20
# Acts that narrow, or only begin what waits: a session suffices, whatever keys there are. A trigger
# that takes another's place may widen: who knows the triggers in force says so.
OPEN = frozenset(
    {
        "withdrawn",
        "trigger-set",
        "recovery-requested",
        "recovery-cancelled",
        "key-recovered",
        "mandate-ended",
    }
)


class UnauthorisedError(InstructionError):
    """Whoever gave the instruction may not give it. Nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A key in force, and the entry that brought it."""

    key: Key
    index: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """A key that is to be the customer's, unless somebody objects before the time."""

    request: bytes  # digest of the instruction that requested it
    key: Key
    not_before: str  # as in events: 2026-01-01T12:00:00Z; the order of texts is that of times
    index: int


@dataclass(frozen=True, slots=True)
class Mandate:
    """Somebody else's key that signs for these scenes, until then."""

    key: Key
    scenes: frozenset[str]
    until: str
    index: int


@dataclass(frozen=True, slots=True)
class Authority:
    """All who may sign. Keys by their id, mandates by the digest of what gave them."""

    keys: Mapping[bytes, Enrolled] = field(default_factory=dict)
    recovery: Recovery | None = None
    mandates: Mapping[bytes, Mandate] = field(default_factory=dict)


NOBODY = Authority()


def apply(authority: Authority, said: Mapping[str, Any], digest: bytes, index: int) -> Authority:
    """The authority after an instruction at `index` of the log, given its JSON and digest. Total:
    what `require` would refuse changes what it can."""
    act = said["act"]
    after = Authority(
        _keys(authority, act, index),
        _recovery(authority, act, digest, index),
        _mandates(authority, act, digest, index),
    )
    return after if after.keys or after.recovery or after.mandates else NOBODY


def _keys(held: Authority, act: Mapping[str, Any], index: int) -> Mapping[bytes, Enrolled]:
    match act["type"]:
        case "key-enrolled":
            return _with(held.keys, act, index)
        case "key-replaced":
            return _with(_without(held.keys, act["old"]), act, index)
        case "key-removed":
            return _without(held.keys, act["old"])
        case "key-recovered" if held.recovery:
            return {held.recovery.key.id: Enrolled(held.recovery.key, index)}
    return held.keys


def _recovery(
    held: Authority, act: Mapping[str, Any], digest: bytes, index: int
) -> Recovery | None:
    match act["type"]:
        case "recovery-requested":
            return Recovery(digest, customer_keys.parse(act["key"]), act["not_before"], index)
        case "recovery-cancelled" | "key-recovered":
            return None
    return held.recovery


def _mandates(
    held: Authority, act: Mapping[str, Any], digest: bytes, index: int
) -> Mapping[bytes, Mandate]:
    match act["type"]:
        case "mandate-given":
            key, scenes = customer_keys.parse(act["key"]), frozenset(act["scenes"])
            return {**held.mandates, digest: Mandate(key, scenes, act["until"], index)}
        case "mandate-ended":
            return _without(held.mandates, act["mandate"])
        case "key-recovered":  # whoever had the lost keys may have given them
            return {}
    return held.mandates


def _with(
    keys: Mapping[bytes, Enrolled], act: Mapping[str, Any], index: int
) -> dict[bytes, Enrolled]:
    key = customer_keys.parse(act["key"])
    return {**keys, key.id: Enrolled(key, index)}


def _without(held: Mapping[bytes, _Held], name: str) -> dict[bytes, _Held]:
    gone = b64decode(name)
    return {each: value for each, value in held.items() if each != gone}


def require(
    authority: Authority,
    said: Mapping[str, Any],
    signature: Signature | None,
    *,
    narrows: bool | None = None,
) -> Key | None:
    """The key that signed, or None for a session's. Raises InstructionError if the customer's
    authority does not allow the instruction.

    `narrows`: whether it takes permission away; left out, the kind of act says so.
    """
    act = said["act"]
    _require_sense(authority, said)
    if signature is None:
        _require_session(authority, said, act["type"] in OPEN if narrows is None else narrows)
        return None
    key = _signer(authority, said, signature)
    instruction_signature.verify(said, signature, key)
    if act["type"] == "key-replaced" and b64decode(act["old"]) != signature.key:
        raise UnauthorisedError("a key is replaced by its own signature, not by another key's")
    return key


def document(held: Authority) -> dict[str, Any]:
    """As a customer's state shows it: "keys", "mandates", "recovery", as far as there are any."""
    found: dict[str, Any] = {}
    if held.keys:
        keys = [{"index": each.index, "key": _text(name)} for name, each in held.keys.items()]
        found["keys"] = sorted(keys, key=_index)
    if held.mandates:
        mandates = [_mandate(name, each) for name, each in held.mandates.items()]
        found["mandates"] = sorted(mandates, key=_index)
    if waiting := held.recovery:
        found["recovery"] = {
            "index": waiting.index,
            "key": _text(waiting.key.id),
            "not_before": waiting.not_before,
            "request": _text(waiting.request),
        }
    return found


def _mandate(name: bytes, held: Mandate) -> dict[str, Any]:
    return {
        "index": held.index,
        "key": _text(held.key.id),
        "mandate": _text(name),
        "scenes": sorted(held.scenes),
        "until": held.until,
    }


def _index(shown: Mapping[str, Any]) -> int:
    return int(shown["index"])


def _text(digest: bytes) -> str:
    return b64encode(digest).decode()


def _require_session(authority: Authority, said: Mapping[str, Any], narrows: bool) -> None:
    kind, evidence = said["act"]["type"], said["evidence"]
    if evidence in instruction_signature.CLASSES:
        raise UnauthorisedError(f"evidence class {evidence} without a signature: sign it, or say C")
    if said.get("mandate") is not None:
        raise UnauthorisedError("an instruction under a mandate without a signature: sign it")
    if authority.keys and not narrows:
        raise UnauthorisedError(
            f"{kind} widens what is allowed, and the customer has {len(authority.keys)} keys: "
            "want the signature of one; a session may withdraw"
        )


def _signer(authority: Authority, said: Mapping[str, Any], signature: Signature) -> Key:
    if (named := said.get("mandate")) is not None:
        return _mandated(authority, said, b64decode(named), signature)
    if (held := authority.keys.get(signature.key)) is None:
        raise UnauthorisedError(
            f"signed by the key {signature.key.hex()[:16]}, which is none of the customer's "
            f"{len(authority.keys)} keys in force: enrol it first"
        )
    return held.key


def _mandated(
    authority: Authority, said: Mapping[str, Any], named: bytes, signature: Signature
) -> Key:
    if (mandate := authority.mandates.get(named)) is None:
        raise UnauthorisedError("the mandate it names is not in force: ended, or never given")
    scene = said["act"].get("scene")
    if scene not in mandate.scenes:
        raise UnauthorisedError(
            f"the mandate is for {sorted(mandate.scenes)}, not for {scene or said['act']['type']!r}"
        )
    if said["at"] >= mandate.until:
        raise UnauthorisedError(f"the mandate ended at {mandate.until}, before {said['at']}")
    if signature.key != mandate.key.id:
        raise UnauthorisedError("signed by another key than the mandated one")
    return mandate.key


def _require_sense(authority: Authority, said: Mapping[str, Any]) -> None:
    """What an act on keys demands of the keys there are, whoever gives it."""
    act = said["act"]
    _require_keys(authority, act)
    match act["type"]:
        case "recovery-requested":
            _require_request(authority, said)
        case "recovery-cancelled" | "key-recovered":
            _require_pending(authority, said)
        case "mandate-given":
            _require_mandate(authority, said)
        case "mandate-ended" if b64decode(act["mandate"]) not in authority.mandates:
            raise UnauthorisedError("the mandate is not in force: ended, or never given")


def _require_keys(authority: Authority, act: Mapping[str, Any]) -> None:
    try:
        new = customer_keys.parse(act["key"]) if "key" in act else None
    except KeyFormError as error:
        raise UnauthorisedError(f"the key cannot be the customer's: {error}") from error
    if new and act["type"] != "mandate-given" and new.id in authority.keys:
        raise UnauthorisedError("this key is in force already")
    if act["type"] == "key-enrolled" and len(authority.keys) >= MOST_KEYS:
        raise UnauthorisedError(f"the customer has {MOST_KEYS} keys: remove one first")
    if "old" in act and b64decode(act["old"]) not in authority.keys:
        raise UnauthorisedError("the old key is not in force")


def _require_request(authority: Authority, said: Mapping[str, Any]) -> None:
    if not authority.keys:
        raise UnauthorisedError("there is no key to recover: enrol one in a session")
    if authority.recovery:
        raise UnauthorisedError("a recovery is waiting already: cancel it first")
    earliest, found = moment(said["at"]) + COOLING_OFF, moment(said["act"]["not_before"])
    if found < earliest:
        raise UnauthorisedError(f"a recovery at {found}, want {earliest} or later: it must wait")


def _require_pending(authority: Authority, said: Mapping[str, Any]) -> None:
    act, waiting = said["act"], authority.recovery
    if waiting is None or b64decode(act["request"]) != waiting.request:
        raise UnauthorisedError("the recovery it names is not waiting: cancelled, or never asked")
    if act["type"] == "key-recovered" and said["at"] < waiting.not_before:
        raise UnauthorisedError(f"recovered at {said['at']}, want {waiting.not_before} or later")


def _require_mandate(authority: Authority, said: Mapping[str, Any]) -> None:
    if not said["act"]["scenes"] or said["act"]["until"] <= said["at"]:
        raise UnauthorisedError("a mandate for no scene, or for no time")
    if len(authority.mandates) >= MOST_MANDATES:
        raise UnauthorisedError(f"{MOST_MANDATES} mandates are in force: end one first")


def moment(text: str) -> datetime:
    """The time in an event."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
