"""What a customer can say: acts on a scene, and acts on the keys that sign for the customer.

Each class carries `"type": "its-name"`. Which acts need whose signature:
ledger/events/authority.py.
"""

from datetime import datetime
from enum import StrEnum

from ledger.events import customer_keys
from ledger.events.customer_keys import Key, KeyFormError, RelyingParty
from ledger.events.field_rules import CheckedStruct, MalformedEventError, TaggedStruct


class Granted(TaggedStruct, frozen=True):
    """From now on exactly these fields of the scene, until then (None: the contract's longest)."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None


class Withdrawn(TaggedStruct, frozen=True):
    """The whole scene, or only these fields of it."""

    scene: str
    fields: tuple[str, ...] | None = None


class TriggerSet(TaggedStruct, frozen=True):
    """Freeze the scene while the signal breaks the template; threshold in ten-thousandths."""

    scene: str
    template: str
    signal: str
    threshold: int


class TriggerCleared(TaggedStruct, frozen=True):
    scene: str
    template: str
    signal: str


class Imported(TaggedStruct, frozen=True):
    """A grant that was recorded elsewhere before this log began."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None
    source: str


class KeyKind(StrEnum):
    """Where the private half lies: in an authenticator, or in one browser."""

    PASSKEY = "passkey"
    BROWSER = "browser"


class Algorithm(StrEnum):
    """Names of RFC 8152 for what WebAuthn and WebCrypto sign with."""

    ES256 = "ES256"
    EDDSA = "EdDSA"
    RS256 = "RS256"


class CustomerKey(CheckedStruct, frozen=True):
    """A public key a customer signs with: see ledger.events.customer_keys for form and example."""

    kind: KeyKind
    algorithm: Algorithm
    public: bytes
    rp: str
    origins: tuple[str, ...]
    backup_eligible: bool
    backed_up: bool
    attestation: str  # "none", or the format of the statement that was checked

    def __post_init__(self) -> None:
        CheckedStruct.__post_init__(self)
        try:
            customer_keys.require_usable(self.key)
        except KeyFormError as error:
            raise MalformedEventError(str(error)) from error

    @property
    def key(self) -> Key:
        """The same, as verifiers hold it."""
        return Key(
            str(self.kind),
            str(self.algorithm),
            self.public,
            RelyingParty(self.rp, self.origins),
            self.backup_eligible,
            self.backed_up,
            self.attestation,
        )

    @property
    def id(self) -> bytes:
        return self.key.id


class KeyEnrolled(TaggedStruct, frozen=True):
    """One more key signs for the customer from now on."""

    key: CustomerKey


class KeyReplaced(TaggedStruct, frozen=True):
    """The new key takes the place of the old one, which signs this."""

    old: bytes
    key: CustomerKey


class KeyRemoved(TaggedStruct, frozen=True):
    old: bytes


class RecoveryRequested(TaggedStruct, frozen=True):
    """All keys are lost. This one shall be the customer's, unless somebody objects in time."""

    key: CustomerKey
    proof: str  # how the customer showed anew who they are
    not_before: datetime


class RecoveryCancelled(TaggedStruct, frozen=True):
    request: bytes  # digest of the instruction that requested it


class KeyRecovered(TaggedStruct, frozen=True):
    """The delay is over: the key that was requested is the only one in force."""

    request: bytes


class MandateGiven(TaggedStruct, frozen=True):
    """Somebody else's key signs for these scenes, until then."""

    key: CustomerKey
    scenes: tuple[str, ...]
    until: datetime


class MandateEnded(TaggedStruct, frozen=True):
    mandate: bytes  # digest of the instruction that gave it


SceneAct = Granted | Withdrawn | TriggerSet | TriggerCleared | Imported
KeyAct = (
    KeyEnrolled
    | KeyReplaced
    | KeyRemoved
    | RecoveryRequested
    | RecoveryCancelled
    | KeyRecovered
    | MandateGiven
    | MandateEnded
)
Act = SceneAct | KeyAct
