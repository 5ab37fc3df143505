"""The customer's own keys: what the pages say of them, and what may be asked of them. Pure.

An act on keys becomes an instruction like any other: see acts.py and signing.py. Which signature it
needs is the ledger's to say (ledger/events/authority.py).
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gate.contracts.scene import Scene, Text
from ledger.events import customer_keys
from ledger.events.acts import (
    CustomerKey,
    KeyAct,
    KeyEnrolled,
    KeyRecovered,
    KeyReplaced,
    MandateGiven,
    RecoveryRequested,
)
from ledger.events.authority import COOLING_OFF, Authority, Recovery
from ledger.events.envelope import EvidenceClass, Instruction
from ledger.events.reducer import ConsentState
from ledger.reader import RecordedEvent
from ledger.vault.commitments import canonical
from portal.auth.session import Session
from portal.web.problems import MalformedFormError, NotFoundError, ProveAgainError

PROVED_WITHIN = timedelta(minutes=5)  # of signing in, to ask for a recovery
ENROL = "enrol"  # beside replace and recover: what a new key is for


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A key in force."""

    id: str  # SHA-256 of the public key, hex
    name: str  # the same in base64, as signatures name it
    kind: str
    how: str  # message key: how it came to be the customer's
    at: datetime
    index: int  # of the entry that brought it
    copied: bool
    public: str  # to hand over, for a mandate


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What the page's script has to know before it asks a key to sign."""

    log: str
    party: str
    keys: str  # JSON: [{"credential": base64url or null, "id": base64, "kind": …}]


@dataclass(frozen=True, slots=True)
class MandateRow:
    id: str  # digest of the instruction that gave it, hex
    scenes: Sequence[Text]
    until: datetime
    key: str  # the beginning of the key's id
    index: int


def authority(state: ConsentState | None) -> Authority:
    return state.authority if state else Authority()


def held(state: ConsentState | None, history: Sequence[RecordedEvent]) -> list[EnrolledKey]:
    """The keys in force, oldest first, and how each came to be the customer's."""
    said = {each.index: each.event for each in history}
    found = []
    for key_id, enrolled in authority(state).keys.items():
        by = said[enrolled.index]
        assert isinstance(by, Instruction)  # noqa: S101 - a customer's history holds nothing else
        key = enrolled.key
        found.append(
            EnrolledKey(
                id=key_id.hex(),
                name=b64encode(key_id).decode(),
                kind=key.kind,
                how=_how(by),
                at=by.at,
                index=enrolled.index,
                copied=key.backed_up,
                public=public_text(key),
            )
        )
    return found


def hand(
    state: ConsentState | None, known: Mapping[bytes, bytes], log: str
) -> SigningRequest | None:
    """None if no key is in force. `known`: identifiers of credentials, by key."""
    keys = [
        {
            "id": b64encode(key_id).decode(),
            "kind": each.key.kind,
            "credential": _base64url(known[key_id]) if key_id in known else None,
        }
        for key_id, each in authority(state).keys.items()
    ]
    party = next((each.key.party.id for each in authority(state).keys.values()), "")
    return SigningRequest(log, party, canonical(keys).decode()) if keys else None


def mandates(state: ConsentState | None, scenes: Mapping[str, Scene]) -> list[MandateRow]:
    return [
        MandateRow(
            id=digest.hex(),
            scenes=[scenes[name].title for name in sorted(each.scenes) if name in scenes],
            until=_moment(each.until),
            key=each.key.id.hex()[:16],
            index=each.index,
        )
        for digest, each in authority(state).mandates.items()
    ]


def act_for(purpose: str, key: CustomerKey, old: str, session: Session, at: datetime) -> KeyAct:
    """What a key that was just made is for. Raises ProveAgainError, MalformedFormError."""
    match purpose:
        case "enrol":
            return KeyEnrolled(key)
        case "replace":
            return KeyReplaced(_digest(old), key)
        case "recover":
            if at - session.proved >= PROVED_WITHIN:
                raise ProveAgainError
            proof = f"signed in anew at {session.proved:%Y-%m-%dT%H:%M:%SZ}"
            return RecoveryRequested(key, proof, at + COOLING_OFF)
    raise MalformedFormError(f"purpose is {purpose[:20]!r}, want enrol, replace or recover")


def mandate(
    key: CustomerKey, scenes: Sequence[str], until: str, known: Mapping[str, Scene]
) -> MandateGiven:
    """Raises MalformedFormError."""
    if not scenes or not all(name in known and not known[name].locked for name in scenes):
        raise MalformedFormError(f"scenes are {scenes!r}, want some that can be switched")
    try:
        day = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedFormError(f"until is {until[:20]!r}, want a day") from error
    return MandateGiven(key, tuple(dict.fromkeys(scenes)), day)


def waiting(state: ConsentState | None) -> Recovery | None:
    return authority(state).recovery


def due(recovery: Recovery, at: datetime) -> bool:
    return at >= _moment(recovery.not_before)


def ends_waiting(recovery: Recovery) -> datetime:
    return _moment(recovery.not_before)


def in_force(state: ConsentState | None, key: str) -> bytes:
    """The id of one of the customer's keys, given in hex. Raises NotFoundError."""
    found = _digest(key)
    if found not in authority(state).keys:
        raise NotFoundError(key)
    return found


def public_text(key: customer_keys.Key) -> str:
    """The key as its holder hands it to somebody who gives a mandate: canonical JSON."""
    members = {
        "algorithm": key.algorithm,
        "attestation": key.attestation,
        "backed_up": key.backed_up,
        "backup_eligible": key.backup_eligible,
        "kind": key.kind,
        "origins": [*key.party.origins],
        "public": b64encode(key.public).decode(),
        "rp": key.party.id,
    }
    return canonical(members).decode()


def _how(by: Instruction) -> str:
    match by.act:
        case KeyReplaced():
            return "key.how.replaced"
        case KeyRecovered():
            return "key.how.recovered"
        case _:
            signed = by.evidence in {EvidenceClass.PASSKEY, EvidenceClass.BROWSER_KEY}
            return "key.how.signed" if signed else "key.how.session"


def _digest(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError as error:
        raise NotFoundError(text[:80]) from error
    if len(found) != 32:  # noqa: PLR2004 - of SHA-256
        raise NotFoundError(text[:80])
    return found


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
