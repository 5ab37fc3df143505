"""Signatures under instructions (specs/instruction.md), by keys of fixed seeds. Never to be used.

ECDSA is signed deterministically (RFC 6979); the RSA key is made of two primes near fixed numbers.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, shake_256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from specs.vectors.make_event import GRANT, INSTRUCTION, ZEROS
from specs.vectors.vector import Vector, b64, canonical, cases, flipped

RP, PAGE = "consent.vectors.example", "https://consent.vectors.example"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
NEAR = {"p": 812, "q": 534}  # how far behind its fixed number a prime lies: see `_prime`
BY_PASSKEY, BY_BROWSER = INSTRUCTION | {"evidence": "A"}, INSTRUCTION | {"evidence": "B"}
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class VectorKey:
    """A customer's key that can sign instructions."""

    algorithm: str
    seed: str = ""
    kind: str = "passkey"

    @property
    def private(self) -> Private:
        seed = sha256(f"vectors {self.algorithm} {self.seed}".encode()).digest()
        if self.algorithm == "ES256":
            return ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1())
        if self.algorithm == "EdDSA":
            return ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        return _rsa()

    @property
    def public(self) -> bytes:
        form = PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(Encoding.DER, form)

    @property
    def signer(self) -> dict[str, Any]:
        """The key as a receipt carries it."""
        public = {"public": b64(self.public)}
        return public | {"rp": RP} if self.kind == "passkey" else public

    def raw(self, message: bytes) -> bytes:
        match self.private:
            case ec.EllipticCurvePrivateKey() as key:
                return key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))
            case ed25519.Ed25519PrivateKey() as key:
                return key.sign(message)
            case key:
                return key.sign(message, padding.PKCS1v15(), SHA256())

    def bare(self, event: dict[str, Any]) -> dict[str, Any]:
        """As a browser key signs."""
        signed = self.raw(b"sovereign/browser-key/v1\0" + challenge(event))
        return self._named(signed) | {"type": "browser"}

    def asserted(
        self,
        event: dict[str, Any],
        client: dict[str, Any] | bytes | None = None,
        data: bytes | None = None,
    ) -> dict[str, Any]:
        """As a passkey signs. `client`: parts of the client data, or all of them."""
        said = client if isinstance(client, bytes) else client_data(event, client or {})
        data = data or authenticator_data()
        signed = self.raw(data + sha256(said).digest())
        parts = {"authenticator_data": b64(data), "client_data": b64(said), "type": "passkey"}
        return self._named(signed) | parts

    def _named(self, signed: bytes) -> dict[str, Any]:
        return {"key": b64(sha256(self.public).digest()), "signature": b64(signed)}


def challenge(event: dict[str, Any]) -> bytes:
    return sha256(b"sovereign/instruction/v1\0" + canonical(event).encode()).digest()


def client_data(event: dict[str, Any], changed: dict[str, Any] | None = None) -> bytes:
    parts: dict[str, Any] = {
        "type": "webauthn.get",
        "challenge": urlsafe_b64encode(challenge(event)).decode().rstrip("="),
        "origin": PAGE,
        "crossOrigin": False,
    }
    said = parts | (changed or {})
    kept = {name: value for name, value in said.items() if value is not None}
    return canonical(kept).encode()


def authenticator_data(rp: str = RP, flags: int = UP | UV | BE, more: bytes = b"") -> bytes:
    return sha256(rp.encode()).digest() + bytes([flags]) + (7).to_bytes(4) + more


PASSKEY, ELSE = VectorKey("ES256"), VectorKey("ES256", "other")
BROWSER = VectorKey("EdDSA", kind="browser")


def signed(event: dict[str, Any], signature: Any, signer: Any) -> Vector:
    return {
        "event": canonical(event),
        "signature": canonical(signature),
        "signer": canonical(signer),
    }


def vectors() -> Iterator[Vector]:
    """`signature` is the signature under `event` by the key `signer`."""
    good = signed(BY_PASSKEY, PASSKEY.asserted(BY_PASSKEY), PASSKEY.signer)
    yield from cases("a passkey, ES256", good, *_mutations(good))
    for algorithm in ("EdDSA", "RS256"):
        signing = VectorKey(algorithm)
        valid = signed(BY_PASSKEY, signing.asserted(BY_PASSKEY), signing.signer)
        yield from cases(f"a passkey, {algorithm}", valid, *_flipped(signing))
    valid = signed(BY_BROWSER, BROWSER.bare(BY_BROWSER), BROWSER.signer)
    yield from cases("a browser key", valid, *_flipped(BROWSER), *_of_browsers())
    yield from _lenient()


def _lenient() -> Iterator[Vector]:
    """Valid signatures that look invalid."""
    signing, event = PASSKEY, BY_PASSKEY
    extended = authenticator_data(flags=UP | UV | BE | BS | ED, more=b"\xa0")
    allowed = {
        "extensions and a backup": signing.asserted(event, data=extended),
        "no word of frames": signing.asserted(event, {"crossOrigin": None}),
        "a part that browsers add": signing.asserted(event, {"other_keys_can_be_added_here": "…"}),
        "the second signature that ECDSA allows": _second(signing.asserted(event)),
    }
    for name, signature in allowed.items():
        yield from cases(name, signed(event, signature, signing.signer))
    under = event | {"mandate": ZEROS}
    yield from cases("under a mandate", signed(under, signing.asserted(under), signing.signer))
    for page in (f"{PAGE}:8443", f"https://a.{RP}"):
        said = signing.asserted(event, {"origin": page})
        yield from cases(f"the page {page}", signed(event, said, signing.signer))
    for rp in ("localhost", "consent.localhost"):
        said = signing.asserted(event, {"origin": f"http://{rp}:8000"}, authenticator_data(rp))
        yield from cases(f"at home, {rp}", signed(event, said, signing.signer | {"rp": rp}))


def _mutations(good: Vector) -> Iterator[tuple[str, Vector]]:
    signing, event = PASSKEY, BY_PASSKEY
    for why, client in _client_data().items():
        yield f"client data: {why}", {"signature": canonical(signing.asserted(event, client))}
    for why, data in _data().items():
        yield (
            f"authenticator: {why}",
            {"signature": canonical(signing.asserted(event, data=data))},
        )
    for why, changed in _forms(signing.asserted(event)).items():
        yield f"signature: {why}", {"signature": canonical(changed)}
    for why, parts in _signers(signing).items():
        yield f"signer: {why}", {"signer": canonical(signing.signer | parts)}
    for why, part in _events().items():
        yield f"event: {why}", {"event": canonical(event | part)}
    yield "signer: another customer's key", {"signer": canonical(ELSE.signer)}
    stranger = canonical(ELSE.asserted(event))
    yield "signature: by another customer's key", {"signature": stranger}
    yield "signature: a browser key's", {"signature": canonical(BROWSER.bare(event))}
    bare = PASSKEY.bare(event)
    yield "signature: bare, by the passkey", {"signature": canonical(bare)}
    yield from _flipped(signing)
    if good["signature"] == stranger:
        raise AssertionError("two keys are one")


def _client_data() -> dict[str, dict[str, Any] | bytes]:
    text = client_data(BY_PASSKEY)
    return {
        "a registration": {"type": "webauthn.create"},
        "no type": {"type": None},
        "no challenge": {"challenge": None},
        "a challenge with padding": {
            "challenge": urlsafe_b64encode(challenge(BY_PASSKEY)).decode()
        },
        "the challenge of another instruction": {
            "challenge": urlsafe_b64encode(challenge(INSTRUCTION)).decode().rstrip("=")
        },
        "the login page": {"origin": "https://login.vectors.example"},
        "an origin that begins alike": {"origin": PAGE + ".evil.example"},
        "an origin with a path": {"origin": PAGE + "/"},
        "an origin in capitals": {"origin": PAGE.upper()},
        "an origin that ends alike": {"origin": f"https://evil{RP}"},
        "an origin without encryption": {"origin": f"http://{RP}"},
        "an origin with a user": {"origin": f"https://a@{RP}"},
        "an origin with port 0": {"origin": f"{PAGE}:0"},
        "no origin": {"origin": None},
        "a frame": {"crossOrigin": True},
        "a frame, as a number": {"crossOrigin": 0},
        "the page around a frame": {"topOrigin": PAGE},
        "nothing": b"null",
        "a list": b"[" + text + b"]",
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "a newline inside a text": text.replace(b"webauthn", b"web\nauthn"),
        "something behind it": text + b"1",
        "the type twice": text[:-1] + b',"type":"webauthn.get"}',
        "another challenge first": b'{"challenge":"AAAA",' + text[1:],
        "a fraction": text[:-1] + b',"x":1.0}',
        "minus zero": text[:-1] + b',"x":-0}',
        "a key that is not ASCII": text[:-1] + ',"é":1}'.encode(),
        "not UTF-8": text[:-1] + b',"x":"\xff"}',
        "half a character": text[:-1] + b',"x":"\\udfff"}',
    }


def _data() -> dict[str, bytes]:
    data = authenticator_data()
    return {
        "a byte short": data[:-1],
        "a byte long": data + b"\0",
        "extensions announced and missing": authenticator_data(flags=UP | UV | BE | ED),
        "the login's relying party": authenticator_data("login.vectors.example"),
        "the relying party above": authenticator_data("vectors.example"),
        "nobody present": authenticator_data(flags=UV | BE),
        "nobody verified": authenticator_data(flags=UP | BE),
        "a new key along with it": authenticator_data(flags=UP | UV | BE | AT, more=bytes(20)),
        "a backup that cannot be": authenticator_data(flags=UP | UV | BS),
    }


def _forms(good: dict[str, Any]) -> dict[str, Any]:
    der = _der(good)
    r, s = decode_dss_signature(der)

    def of(changed: bytes) -> dict[str, Any]:
        return good | {"signature": b64(changed)}

    longer = b"\x30" + bytes([der[1] + 1]) + b"\x02" + bytes([der[3] + 1]) + b"\0" + der[4:]
    return {
        "empty": of(b""),
        "a byte long": of(der + b"\0"),
        "a byte short": of(der[:-1]),
        "two numbers without a frame": of(r.to_bytes(32) + s.to_bytes(32)),
        "a number with a zero before it": of(longer),
        "a length in more bytes than it needs": of(b"\x30\x81" + der[1:]),
        "its numbers exchanged": of(encode_dss_signature(s, r)),
        "a number that is zero": of(encode_dss_signature(r, 0)),
        "a number too large": of(encode_dss_signature(r, s + ORDER)),
        "a negative number": of(bytes([*der[:2], 2, 1, 255, *der[4 + der[3] :]])),
        "a part too many": good | {"more": ""},
        "a part missing": {k: v for k, v in good.items() if k != "client_data"},
        "of another type": good | {"type": "browser"},
        "of no type": {k: v for k, v in good.items() if k != "type"},
        "names no key": good | {"key": ""},
        "names another key": good | {"key": ZEROS},
        "base64 without padding": good | {"key": good["key"].rstrip("=")},
        "a part that is a number": good | {"signature": 1},
        "null": None,
    }


def _signers(signing: VectorKey) -> dict[str, dict[str, Any]]:
    public = signing.public
    compressed = public.replace(b"\x03\x42\0\4", b"\x03\x42\0\2")
    return {
        "a point off the curve": {"public": b64(public[:-1] + bytes([public[-1] ^ 1]))},
        "a byte short": {"public": b64(public[:-1])},
        "a byte long": {"public": b64(public + b"\0")},
        "a point in another form": {"public": b64(compressed)},
        "of no algorithm": {"public": b64(b"\x31" + public[1:])},
        "nothing": {"public": ""},
        "base64 without padding": {"public": b64(public).rstrip("=") + "A"},
        "another relying party": {"rp": "vectors.example"},
        "no relying party": {"rp": ""},
        "a relying party that is null": {"rp": None},
        "a part too many": {"more": 1},
    }


def _events() -> dict[str, dict[str, Any]]:
    return {
        "of a session": {"evidence": "C"},
        "imported": {"evidence": "D"},
        "of a browser key": {"evidence": "B"},
        "another scene": {"act": GRANT | {"scene": "lead-scoring"}},
        "a field more": {"act": GRANT | {"fields": ["age", "job", "x"]}},
        "other words": {"wording": {"digest": "B" + ZEROS[1:], "locale": "zh-CN"}},
        "another language": {"wording": {"digest": ZEROS, "locale": "en"}},
        "another customer": {"subject": "c00002"},
        "another log": {"origin": "other.example/consent"},
        "a later place": {"seq": 2},
        "another predecessor": {"prev": "B" + ZEROS[1:]},
        "another nonce": {"nonce": "B" + "A" * 21 + "=="},
        "a second later": {"at": "2026-01-01T12:00:01Z"},
        "under a mandate": {"mandate": ZEROS},
    }


def _flipped(signing: VectorKey) -> Iterator[tuple[str, Vector]]:
    event = BY_BROWSER if signing.kind == "browser" else BY_PASSKEY
    good = signing.bare(event) if signing.kind == "browser" else signing.asserted(event)
    for why, at in {"first": 0, "middle": 33, "last": -1}.items():
        changed = good | {"signature": b64(flipped(_der(good), at))}
        yield f"signature: a bit of its {why} byte flipped", {"signature": canonical(changed)}


def _of_browsers() -> Iterator[tuple[str, Vector]]:
    good, event = BROWSER.bare(BY_BROWSER), BY_BROWSER
    plain = good | {"signature": b64(BROWSER.raw(challenge(event)))}
    yield "signature: over the challenge alone", {"signature": canonical(plain)}
    yield "signature: an assertion", {"signature": canonical(BROWSER.asserted(event))}
    yield "event: of a passkey", {"event": canonical(BY_PASSKEY)}
    yield "signer: a passkey", {"signer": canonical(BROWSER.signer | {"rp": RP})}


def _second(good: dict[str, Any]) -> dict[str, Any]:
    r, s = decode_dss_signature(_der(good))
    return good | {"signature": b64(encode_dss_signature(r, ORDER - s))}


def _der(good: dict[str, Any]) -> bytes:
    return b64decode(good["signature"])


@cache
def _rsa() -> rsa.RSAPrivateKey:
    p, q = _prime("p"), _prime("q")
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
    )
    return numbers.private_key()


def _prime(name: str) -> int:
    """A prime of 1,024 bits: a fixed number, and how far behind it the prime lies."""
    fixed = int.from_bytes(shake_256(f"vectors RS256 {name}".encode()).digest(128))
    return (fixed | 3 << 1022 | 1) + NEAR[name]
