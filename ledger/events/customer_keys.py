"""A customer's public key, in the form in which key acts write it into the log.

    {"algorithm":"ES256","attestation":"none","backed_up":false,"backup_eligible":true,
     "kind":"passkey","origins":["https://consent.bank.example"],"public":"MFkwEwYH…",
     "rp":"consent.bank.example"}

`public` is the key as SubjectPublicKeyInfo (RFC 5280), DER in base64: what a browser's
`getPublicKey()` and `exportKey("spki")` return. Three forms are allowed, each with a fixed prefix
and length, so no DER parser is needed: P-256 uncompressed, Ed25519, RSA with 2,048 bits and
exponent 65537. `rp` is the relying party that the key signs for, `origins` the pages that may ask
it to sign. The verifier imports this module, so it uses the standard library and `cryptography`
only. Specification: specs/instruction.md.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger.tlog.signed_note import has_small_order

PASSKEY, BROWSER = "passkey", "browser"
KINDS = (PASSKEY, BROWSER)
# Algorithm -> prefix of its SubjectPublicKeyInfo (hex), size in bytes, suffix (hex).
FORMS = {
    "ES256": ("3059301306072a8648ce3d020106082a8648ce3d03010703420004", 91, ""),
    "EdDSA": ("302a300506032b6570032100", 44, ""),
    "RS256": (
        "30820122300d06092a864886f70d01010105000382010f003082010a0282010100",
        294,
        "0203010001",
    ),
}
_POINT = 32  # bytes at the end of an EdDSA key
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::[1-9][0-9]{0,4})?")


class KeyFormError(ValueError):
    """A customer cannot sign with this key. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The WebAuthn relying party of a key, and the origins of the pages that may ask it to sign."""

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
        """The key's id: SHA-256 of its SubjectPublicKeyInfo, 32 bytes."""
        return sha256(self.public).digest()


def parse(members: Mapping[str, Any]) -> Key:
    """The key in an act's JSON; the JSON must have the profile's form. Raises KeyFormError."""
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
    """The algorithm whose SubjectPublicKeyInfo form the bytes have. Raises KeyFormError."""
    for name, (begins, size, ends) in FORMS.items():
        framed = public.startswith(bytes.fromhex(begins)) and public.endswith(bytes.fromhex(ends))
        if framed and len(public) == size:
            if name == "EdDSA" and has_small_order(public[-_POINT:]):
                raise KeyFormError("the key is a point of small order, with which anybody signs")
            return name
    raise KeyFormError(
        f"{len(public)} bytes, want the SubjectPublicKeyInfo of a key for {', '.join(FORMS)}"
    )


def require_usable(key: Key) -> None:
    """Raise KeyFormError unless a customer can sign with the key for its relying party.

    The host of every origin must be the relying party's domain or a subdomain, as browsers demand.
    """
    if algorithm(key.public) != key.algorithm:
        raise KeyFormError(
            f"the key is declared as {key.algorithm}, but its bytes are those of an "
            f"{algorithm(key.public)} key"
        )
    if key.kind == BROWSER and key.algorithm != "EdDSA":
        raise KeyFormError(f"a browser key with {key.algorithm}, want EdDSA")
    if key.kind not in KINDS:
        raise KeyFormError(f"a key of kind {key.kind!r}, want one of {', '.join(KINDS)}")
    if key.backed_up and not key.backup_eligible:
        raise KeyFormError("backed_up is true but backup_eligible is false, which cannot both be")
    if not key.party.id or not key.party.origins:
        raise KeyFormError("a key needs a relying party and at least one origin")
    for origin in key.party.origins:
        require_origin(origin, key.party.id)


def require_origin(origin: str, rp: str) -> None:
    """Raise KeyFormError unless the origin's host is `rp` or a subdomain, over https.

    http is allowed for localhost and its subdomains, which never leave the machine (RFC 6761, 6.3).
    """
    match = _ORIGIN.fullmatch(origin)
    host = match["host"] if match else ""
    at_home = host == "localhost" or host.endswith(".localhost")
    secure = match is not None and (match["scheme"] == "https" or at_home)
    if not secure or not (host == rp or host.endswith(f".{rp}")):
        raise KeyFormError(f"the origin is {origin!r}, want https:// and {rp!r} or a subdomain")
