"""RFC 3161 tokens over a checkpoint's text, put together byte by byte in DER.

The authority's keys come from fixed numbers and sign deterministically (RFC 6979).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from specs.vectors.make_checkpoint import GOOD
from specs.vectors.vector import Vector, b64, cases, flipped

LONG = 128  # in a first byte of length: so many bytes of length follow
SEQUENCE, SET, INTEGER, OCTETS, OID, TIME = 0x30, 0x31, 2, 4, 6, 0x18
SHA256 = (2, 16, 840, 1, 101, 3, 4, 2, 1)
ECDSA_SHA256 = (1, 2, 840, 10045, 4, 3, 2)
SIGNED_DATA = (1, 2, 840, 113549, 1, 7, 2)
TST_INFO = (1, 2, 840, 113549, 1, 9, 16, 1, 4)
CONTENT_TYPE, DIGEST = (1, 2, 840, 113549, 1, 9, 3), (1, 2, 840, 113549, 1, 9, 4)
CERTIFICATE_V2 = (1, 2, 840, 113549, 1, 9, 16, 2, 47)
POLICY = (1, 3, 6, 1, 4, 1, 99999, 1)
SERIAL, AT = 4711, datetime(2026, 1, 1, 12, tzinfo=UTC)
SINCE, UNTIL = datetime(2025, 1, 1, tzinfo=UTC), datetime(2125, 1, 1, tzinfo=UTC)


def vectors() -> Iterator[Vector]:
    """An authority under `root` (PEM) says that it saw the checkpoint `text` at `at`."""
    valid = {
        "token": b64(token(GOOD)),
        "text": GOOD,
        "root": _pem(_root(1)),
        "at": AT.isoformat().replace("+00:00", "Z"),
        "serial": SERIAL,
    }
    yield from cases("a checkpoint", valid, *_mutations())


def _mutations() -> Iterator[tuple[str, Vector]]:
    good = token(GOOD)
    info = good.index(_info(GOOD))
    tokens = {
        "none": b"",
        "a byte short": good[:-1],
        "a byte long": good + b"\0",
        "its status: rejection": good.replace(b"\x02\x01\x00", b"\x02\x01\x02", 1),
        "a bit of the time flipped": flipped(good, info + len(_info(GOOD)) - 2),
        "a bit of the digest flipped": good.replace(_digest(GOOD), flipped(_digest(GOOD))),
        "a bit of the signature flipped": flipped(good, -1),
        "of another checkpoint": token(GOOD.replace("70000", "70001")),
        "signed by another key": token(GOOD, signs=3),
        "by a certificate not meant for timestamps": token(GOOD, usage=False),
        "of another content type": token(GOOD, content=SIGNED_DATA),
        "without the signed digest": token(GOOD, digested=False),
        "a length in more bytes than it needs": _long_length(good),
    }
    yield from ((f"token: {why}", {"token": b64(each)}) for why, each in tokens.items())
    yield "text: another size", {"text": GOOD.replace("70000", "70001")}
    yield "root: another authority's", {"root": _pem(_root(9))}
    yield "at: a second later", {"at": "2026-01-01T12:00:01Z"}
    yield "serial: another", {"serial": SERIAL + 1}


def token(
    text: str,
    *,
    signs: int = 2,
    usage: bool = True,
    content: tuple[int, ...] = TST_INFO,
    digested: bool = True,
) -> bytes:
    """A response that was granted. Keyword arguments: what is wrong with it."""
    certificate = _signer(usage=usage).public_bytes(Encoding.DER)
    info = _info(text)
    attributes = _attributes(info, certificate, content, digested=digested)
    signed = _der(
        SEQUENCE,
        _number(3)
        + _der(SET, _algorithm(SHA256))
        + _der(SEQUENCE, _oid(content) + _der(0xA0, _der(OCTETS, info)))
        + _der(0xA0, certificate)
        + _der(SET, _signer_info(attributes, signs)),
    )
    granted = _der(SEQUENCE, _number(0))
    return _der(SEQUENCE, granted + _der(SEQUENCE, _oid(SIGNED_DATA) + _der(0xA0, signed)))


def _info(text: str) -> bytes:
    """TSTInfo."""
    imprint = _der(SEQUENCE, _algorithm(SHA256) + _der(OCTETS, _digest(text)))
    at = _der(TIME, AT.strftime("%Y%m%d%H%M%SZ").encode())
    return _der(SEQUENCE, _number(1) + _oid(POLICY) + imprint + _number(SERIAL) + at)


def _attributes(
    info: bytes, certificate: bytes, content: tuple[int, ...], *, digested: bool
) -> bytes:
    named = _der(SEQUENCE, _der(OCTETS, sha256(certificate).digest()))
    found = [
        _attribute(CONTENT_TYPE, _oid(content)),
        _attribute(CERTIFICATE_V2, _der(SEQUENCE, _der(SEQUENCE, named))),
    ]
    if digested:
        found.append(_attribute(DIGEST, _der(OCTETS, sha256(info).digest())))
    return b"".join(sorted(found))


def _attribute(name: tuple[int, ...], value: bytes) -> bytes:
    return _der(SEQUENCE, _oid(name) + _der(SET, value))


def _signer_info(attributes: bytes, signs: int) -> bytes:
    issued = _der(SEQUENCE, _name("Vectors root").public_bytes() + _number(2))
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    signature = _key(signs).sign(_der(SET, attributes), algorithm)
    return _der(
        SEQUENCE,
        _number(1)
        + issued
        + _algorithm(SHA256)
        + _der(0xA0, attributes)
        + _der(SEQUENCE, _oid(ECDSA_SHA256))
        + _der(OCTETS, signature),
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _long_length(data: bytes) -> bytes:
    """BER allows it, DER does not."""
    size = len(data) - 4
    if data[1] != LONG + 2:
        raise AssertionError("want a length of two bytes")
    return data[:1] + b"\x83" + size.to_bytes(3) + data[4:]


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < LONG:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, LONG + len(length)]) + length + content


def _number(value: int) -> bytes:
    return _der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def _oid(arcs: tuple[int, ...]) -> bytes:
    first, second, *rest = arcs
    return _der(OID, b"".join(map(_arc, (40 * first + second, *rest))))


def _arc(arc: int) -> bytes:
    """Seven bits a byte; all but the last have the high bit."""
    data = [arc & 127]
    while arc := arc >> 7:
        data.insert(0, 128 | arc & 127)
    return bytes(data)


def _algorithm(name: tuple[int, ...]) -> bytes:
    return _der(SEQUENCE, _oid(name) + b"\x05\x00")


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key(number: int) -> ec.EllipticCurvePrivateKey:
    scalar = int.from_bytes(sha256(b"vectors, authority %d" % number).digest()) >> 1
    return ec.derive_private_key(scalar, ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@cache
def _root(number: int) -> x509.Certificate:
    key = _key(number)
    ca = x509.BasicConstraints(ca=True, path_length=None)
    made = _certificate("Vectors root", key.public_key(), 1)
    return made.add_extension(ca, critical=True).sign(
        key, hashes.SHA256(), ecdsa_deterministic=True
    )


@cache
def _signer(*, usage: bool) -> x509.Certificate:
    made = _certificate("Vectors authority", _key(2).public_key(), 2)
    uses = [ExtendedKeyUsageOID.TIME_STAMPING if usage else ExtendedKeyUsageOID.CODE_SIGNING]
    made = made.add_extension(x509.ExtendedKeyUsage(uses), critical=True)
    return made.sign(_key(1), hashes.SHA256(), ecdsa_deterministic=True)


def _certificate(
    subject: str, public: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("Vectors root"))
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
    )
