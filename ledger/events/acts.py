"""The acts of an instruction: acts on a scene, and acts on the keys that sign for the customer.

Each class is written with `"type": "its-name"`. ledger/events/authority.py says whose signature an
act needs.
"""

from datetime import datetime
from enum import StrEnum

from ledger.events import customer_keys
from ledger.events.customer_keys import Key, KeyFormError, RelyingParty
from ledger.events.field_rules import CheckedStruct, MalformedEventError, TaggedStruct


class Granted(TaggedStruct, frozen=True):
    """Authorises exactly these fields of the scene until a time (None: the contract's maximum)."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None


class Withdrawn(TaggedStruct, frozen=True):
    """Withdraws the whole scene (`fields` None), or only these fields of it."""

    scene: str
    fields: tuple[str, ...] | None = None


class TriggerSet(TaggedStruct, frozen=True):
    """Freezes the scene while the signal is beyond `threshold`, in ten-thousandths.

    `template` names the trigger's template in the contract, which says in which direction.
    """

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


class Limited(TaggedStruct, frozen=True):
    """Of a grant at most these fields stay, until then at most. The company's, at a merge."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None


class SourceDeleted(TaggedStruct, frozen=True, omit_defaults=True):
    """The company deleted the customer at its source: nothing that they can switch stays allowed.

    `into`: it merged the customer into this one.
    """

    into: str | None = None


class Merged(TaggedStruct, frozen=True):
    """The company merged another customer into this one. Changes nothing by itself.

    The acts after it take away what the other one did not allow. `silent`: the scenes of which the
    other one had said nothing, and which were allowed without.
    """

    customer: str
    silent: tuple[str, ...]


class Split(TaggedStruct, frozen=True):
    """The company made two customers of one; `customer` is the other. Changes nothing by itself."""

    customer: str


class Renamed(TaggedStruct, frozen=True):
    """The company gave the customer a new number; `customer` is the old one. Changes nothing.

    The acts before it take over what the old number allowed and refused, with the times of then.
    """

    customer: str


class KeyKind(StrEnum):
    """Where the private key is stored: in an authenticator (passkey), or in one browser."""

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
        """The same key as the type that verifiers use."""
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
    """Adds a key that signs for the customer."""

    key: CustomerKey


class KeyReplaced(TaggedStruct, frozen=True):
    """Replaces the key `old`, which signs this act, by `key`."""

    old: bytes
    key: CustomerKey


class KeyRemoved(TaggedStruct, frozen=True):
    old: bytes


class RecoveryRequested(TaggedStruct, frozen=True):
    """Asks to replace all (lost) keys by `key` at `not_before`, unless it is cancelled before."""

    key: CustomerKey
    proof: str  # how the customer was identified again
    not_before: datetime


class RecoveryCancelled(TaggedStruct, frozen=True):
    request: bytes  # digest of the instruction that requested it


class KeyRecovered(TaggedStruct, frozen=True):
    """Ends a recovery after its delay: the requested key is now the only active one."""

    request: bytes


class MandateGiven(TaggedStruct, frozen=True):
    """Lets another person's key sign for these scenes until a time."""

    key: CustomerKey
    scenes: tuple[str, ...]
    until: datetime


class MandateEnded(TaggedStruct, frozen=True):
    mandate: bytes  # digest of the instruction that gave it


SceneAct = Granted | Withdrawn | TriggerSet | TriggerCleared | Imported | Limited
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
CompanyAct = SourceDeleted | Merged | Split | Renamed  # about the customer as a whole
Act = SceneAct | KeyAct | CompanyAct
OF_THE_COMPANY = frozenset(
    {Limited, SourceDeleted, Merged, Split, Renamed}
)  # always of evidence class D
