"""A customer's public key, as the act that brings it in force writes it into the log.

    {"algorithm":"ES256","attestation":"none","backed_up":false,"backup_eligible":true,
     "kind":"passkey","origins":["https://consent.bank.example"],"public":"MFkwEwYH…",
     "rp":"consent.bank.example"}

`public` is the key as SubjectPublicKeyInfo (RFC 5280), DER in base64: what a browser's
`getPublicKey()` and `exportKey("spki")` give. Only three forms occur, each with one beginning and
one length, so that nobody parses DER: P-256 uncompressed, Ed25519, RSA with 2,048 bits and
exponent 65537. `rp` is the relying party that the key signs for, `origins` the pages that may ask
it to. The standard library and `cryptography` are enough: see specs/instruction.md.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

PASSKEY, BROWSER = "passkey", "browser"
KINDS = (PASSKEY, BROWSER)
# Algorithm -> how its SubjectPublicKeyInfo begins, its size in bytes, how it ends.
FORMS = {
    "ES256": ("3059301306072a8648ce3d020106082a8648ce3d03010703420004", 91, ""),
    "EdDSA": ("302a300506032b6570032100", 44, ""),
    "RS256": (
        "30820122300d06092a864886f70d01010105000382010f003082010a0282010100",
        294,
        "0203010001",
    ),
}
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::[1-9][0-9]{0,4})?")


class KeyFormError(ValueError):
    """No key that a customer can sign with. The message says what it would take."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom a key signs for, and the origins of the pages that may ask it to."""

    id: str  # a domain: consent.bank.example
    origins: tuple[str, ...]  # https://consent.bank.example


@dataclass(frozen=True, slots=True)
class Key:
    """A customer's public key."""

    kind: str
    algorithm: str
    public: bytes  # SubjectPublicKeyInfo, DER
    party: RelyingParty
    backup_eligible: bool
    backed_up: bool
    attestation: str

    @property
    def id(self) -> bytes:
        """What names the key everywhere: SHA-256 of its SubjectPublicKeyInfo."""
        return sha256(self.public).digest()


def parse(members: Mapping[str, Any]) -> Key:
    """The key in the JSON of an act, whose parts are those of the profile. Raises KeyFormError."""
    key = Key(
        kind=members["kind"],
        algorithm=members["algorithm"],
        public=b64decode(members["public"]),
        party=RelyingParty(members["rp"], tuple(members["origins"])),
        backup_eligible=members["backup_eligible"],
        backed_up=members["backed_up"],
        attestation=members["attestation"],
    )
    require_usable(key)
    return key


def algorithm(public: bytes) -> str:
    """Which algorithm's form the bytes have. Raises KeyFormError for none."""
    for name, (begins, size, ends) in FORMS.items():
        framed = public.startswith(bytes.fromhex(begins)) and public.endswith(bytes.fromhex(ends))
        if framed and len(public) == size:
            return name
    raise KeyFormError(
        f"{len(public)} bytes, want the SubjectPublicKeyInfo of a key for {', '.join(FORMS)}"
    )


def require_usable(key: Key) -> None:
    """Raises KeyFormError unless the customer can sign with it, for this relying party.

    The host of every origin is the relying party or lies under it, as browsers demand.
    """
    if algorithm(key.public) != key.algorithm:
        raise KeyFormError(f"an {algorithm(key.public)} key said to be for {key.algorithm}")
    if key.kind == BROWSER and key.algorithm != "EdDSA":
        raise KeyFormError(f"a browser key with {key.algorithm}, want EdDSA")
    if key.kind not in KINDS:
        raise KeyFormError(f"a key of kind {key.kind!r}, want one of {', '.join(KINDS)}")
    if key.backed_up and not key.backup_eligible:
        raise KeyFormError("a key that is backed up but not eligible for it: no authenticator says")
    if not key.party.id or not key.party.origins:
        raise KeyFormError("a key without relying party or origins: nobody could ask it to sign")
    for origin in key.party.origins:
        require_origin(origin, key.party.id)


def require_origin(origin: str, rp: str) -> None:
    """Raises KeyFormError unless the host of the origin is `rp` or lies under it, and it is
    https, or localhost or under it, which never leave the machine (RFC 6761, 6.3)."""
    found = _ORIGIN.fullmatch(origin)
    host = found["host"] if found else ""
    at_home = host == "localhost" or host.endswith(".localhost")
    secure = found is not None and (found["scheme"] == "https" or at_home)
    if not secure or not (host == rp or host.endswith(f".{rp}")):
        raise KeyFormError(f"the origin is {origin!r}, want https:// and a host of {rp!r}")
