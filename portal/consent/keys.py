"""View models of the customer's own keys and mandates, and the acts on them. Pure.

An act on keys becomes an instruction like any other: see acts.py and signing.py. The ledger decides
which signature it needs (ledger/events/authority.py).
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene
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

PROVED_WITHIN = timedelta(
    minutes=5
)  # of signing in, to ask for a recovery, to leave, and to stop it
ENROL = "enrol"  # purpose of a new key; the others are replace and recover


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """An active key."""

    id: str  # SHA-256 of the public key, hex
    name: str  # the same in base64, as signatures name it
    kind: str
    how: str  # message key: how it was enrolled
    at: datetime
    index: int  # of the entry that enrolled it
    copied: bool
    public: str  # to give to somebody, for a mandate


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What the page's script needs before it asks a key to sign."""

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


def enrolled(state: ConsentState | None, history: Sequence[RecordedEvent]) -> list[EnrolledKey]:
    """The active keys, oldest first, and how each was enrolled."""
    events = {each.index: each.event for each in history}
    keys = []
    for key_id, each in authority(state).keys.items():
        by = events[each.index]
        assert isinstance(by, Instruction)  # noqa: S101 - a customer's history has no other events
        key = each.key
        keys.append(
            EnrolledKey(
                id=key_id.hex(),
                name=b64encode(key_id).decode(),
                kind=key.kind,
                how=_how(by),
                at=by.at,
                index=each.index,
                copied=key.backed_up,
                public=public_text(key),
            )
        )
    return keys


def signing_request(
    state: ConsentState | None, known: Mapping[bytes, bytes], log: str
) -> SigningRequest | None:
    """None without an active key. `known`: credential ids by key id."""
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
    """The act for a newly created key. Raises ProveAgainError, MalformedFormError."""
    match purpose:
        case "enrol":
            return KeyEnrolled(key)
        case "replace":
            return KeyReplaced(_digest(old), key)
        case "recover":
            if not proved_now(session, at):
                raise ProveAgainError
            proof = f"signed in again at {session.proved:%Y-%m-%dT%H:%M:%SZ}"
            return RecoveryRequested(key, proof, at + COOLING_OFF)
    raise MalformedFormError(f"purpose is {purpose[:20]!r}, want enrol, replace or recover")


def proved_now(session: Session, at: datetime) -> bool:
    """Whether the customer signed in within the last five minutes."""
    return at - session.proved < PROVED_WITHIN


def newly_enrolled(
    key_id: bytes, state: ConsentState | None, history: Sequence[RecordedEvent], at: datetime
) -> bool:
    """Whether a session alone enrolled this active key, within the last 72 hours.

    Whoever took over a session may have done it.
    """
    index = authority(state).keys[key_id].index
    by = next((each.event for each in history if each.index == index), None)
    if not isinstance(by, Instruction) or isinstance(by.act, KeyRecovered):
        return False
    return by.evidence is EvidenceClass.SESSION and at - by.at < COOLING_OFF


def mandate(
    key: CustomerKey, scenes: Sequence[str], until: str, known: Mapping[str, Scene]
) -> MandateGiven:
    """The act that gives a mandate. Raises MalformedFormError."""
    if not scenes or not all(name in known and not known[name].locked for name in scenes):
        raise MalformedFormError(f"scenes are {scenes!r}, want at least one that can be switched")
    try:
        day = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedFormError(
            f"until is {until[:20]!r}, want a date such as 2027-01-31"
        ) from error
    return MandateGiven(key, tuple(dict.fromkeys(scenes)), day)


def waiting(state: ConsentState | None) -> Recovery | None:
    """The recovery that waits for its cooling-off period to end."""
    return authority(state).recovery


def due(recovery: Recovery, at: datetime) -> bool:
    return at >= _moment(recovery.not_before)


def ends_waiting(recovery: Recovery) -> datetime:
    return _moment(recovery.not_before)


def active_key(state: ConsentState | None, key: str) -> bytes:
    """The id of one of the customer's active keys, given in hex. Raises NotFoundError."""
    key_id = _digest(key)
    if key_id not in authority(state).keys:
        raise NotFoundError(key)
    return key_id


def public_text(key: customer_keys.Key) -> str:
    """The key as its holder gives it to somebody for a mandate: canonical JSON."""
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
        key_id = bytes.fromhex(text)
    except ValueError as error:
        raise NotFoundError(text[:80]) from error
    if len(key_id) != 32:  # noqa: PLR2004 - of SHA-256
        raise NotFoundError(text[:80])
    return key_id


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
