"""Verifies RFC 3161 tokens on the standard library and `cryptography`.

A second implementation: the log's own (ledger.tlog.rfc3161) uses another library. It checks what a
token must satisfy to prove that bytes existed at a time: the imprint, the signed attributes (RFC
5652, 5.4), the authority's certificate that they name (RFC 5816), its only use, and its chain up to
a root that the verifier was given, all valid at the stated time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ledger.verify.times import der
from ledger.verify.times.der import DerError, Element

MAX_SIZE = 1 << 16  # bytes of a response
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
_EXPLICIT, _ATTRIBUTES = 0xA0, 0xA0
_GRANTED = 0
_MAX_CHAIN = 4
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}


class TokenError(ValueError):
    """The token does not prove that the bytes existed at its time."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """When the bytes existed, and the name of the authority that says so."""

    at: datetime
    authority: str


def verify(token: bytes, data: bytes, roots: Sequence[x509.Certificate]) -> VerifiedToken:
    """When these bytes existed, by a response of an authority under one of `roots`.

    Raises TokenError.
    """
    try:
        return _verified(token, data, roots)
    except (DerError, ValueError, LookupError, x509.InvalidVersion, TypeError) as error:
        if isinstance(error, TokenError):
            raise
        raise TokenError(f"not an RFC 3161 response: {error}") from error


def roots_of(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises TokenError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise TokenError(f"not a file of PEM certificates: {error}") from error


def _verified(token: bytes, data: bytes, roots: Sequence[x509.Certificate]) -> VerifiedToken:
    if len(token) > MAX_SIZE:
        raise TokenError(f"more than {MAX_SIZE:,} bytes")
    status, *content = der.read(token).parts()
    if status.parts()[0].number() != _GRANTED or len(content) != 1:
        raise TokenError("the authority did not grant a token")
    kind, explicit = content[0].parts()
    _want(kind.oid() == _SIGNED_DATA, "no signed data")
    _version, _algorithms, inner, *rest = explicit.parts(_EXPLICIT)[0].parts()
    (signer,) = rest[-1].parts(der.SET)
    named, wrapped = inner.parts()
    _want(named.oid() == _TST_INFO, "the signed content is no timestamp")
    content_bytes = wrapped.parts(_EXPLICIT)[0].want(der.OCTETS).content
    at = _time(content_bytes, data)
    given = [x509.load_der_x509_certificate(each.whole) for each in _certificates(rest[:-1])]
    certificate = _signed_by(signer, content_bytes, given)
    _require_use(certificate)
    _require_chain(certificate, given, roots, at)
    return VerifiedToken(at, certificate.subject.rfc4514_string())


def _time(content: bytes, data: bytes) -> datetime:
    """The time of a TSTInfo about these bytes."""
    _version, _policy, imprint, _serial, stated, *_rest = der.read(content).parts()
    algorithm, digest = imprint.parts()
    _want(algorithm.parts()[0].oid() == "2.16.840.1.101.3.4.2.1", "the imprint is no SHA-256")
    _want(digest.want(der.OCTETS).content == sha256(data).digest(), "a token for other bytes")
    text = stated.want(der.TIME).content.decode("ascii")
    form = "%Y%m%d%H%M%S.%fZ" if "." in text else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def _certificates(parts: Sequence[Element]) -> list[Element]:
    return [each for part in parts if part.tag == _EXPLICIT for each in part.parts(_EXPLICIT)]


def _signed_by(
    signer: Element, content: bytes, given: Sequence[x509.Certificate]
) -> x509.Certificate:
    """The certificate whose key signed the content. Raises TokenError."""
    _version, _who, algorithm, attributes, _signing, signature, *_unsigned = signer.parts()
    hashing = _HASHES.get(algorithm.parts()[0].oid())
    if hashing is None:
        raise TokenError("signed with a hash that is not SHA-256, SHA-384 or SHA-512")
    values = {}
    for each in attributes.parts(_ATTRIBUTES):
        name, value = each.parts()
        values[name.oid()] = value.parts(der.SET)[0]
    digest = hashes.Hash(hashing)
    digest.update(content)
    _want(values[_DIGEST].want(der.OCTETS).content == digest.finalize(), "other content was signed")
    _want(values[_CONTENT_TYPE].oid() == _TST_INFO, "signed as something else than a timestamp")
    certificate = _named_certificate(values[_SIGNING_CERTIFICATE], given)
    signed = bytes([der.SET]) + attributes.whole[1:]
    _require_signature(certificate, signature.want(der.OCTETS).content, signed, hashing)
    return certificate


def _named_certificate(attribute: Element, given: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate that a signing-certificate-v2 attribute names by its SHA-256."""
    first = attribute.parts()[0].parts()[0].parts()
    digest = first[0]
    if digest.tag == der.SEQUENCE:  # another hash than SHA-256 is named
        _want(digest.parts()[0].oid() == "2.16.840.1.101.3.4.2.1", "named by another hash")
        digest = first[1]
    wanted = digest.want(der.OCTETS).content
    found = [each for each in given if each.fingerprint(hashes.SHA256()) == wanted]
    _want(bool(found), "the authority's certificate is not in the token")
    return found[0]


def _require_signature(
    certificate: x509.Certificate, signature: bytes, signed: bytes, hashing: hashes.HashAlgorithm
) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashing)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashing))
        else:
            raise TokenError("signed by a key that is neither RSA nor ECDSA")
    except InvalidSignature as error:
        raise TokenError("the signature of the authority is wrong") from error


def _require_use(certificate: x509.Certificate) -> None:
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound as error:
        raise TokenError("the certificate is not one of a timestamp authority") from error
    only = [*uses.value] == [ExtendedKeyUsageOID.TIME_STAMPING]
    _want(uses.critical and only, "the certificate is not one of a timestamp authority")


def _require_chain(
    certificate: x509.Certificate,
    given: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    """Raise TokenError unless a chain of certificates, valid at this time, ends at a root."""
    current = certificate
    for _ in range(_MAX_CHAIN):
        _require_valid(current, at)
        if current in roots:
            return
        issuers = [each for each in (*roots, *given) if each != current and _issued(current, each)]
        if not issuers:
            break
        current = issuers[0]
    raise TokenError("the authority's certificate does not lead to a root that was given")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return basic.ca


def _require_valid(certificate: x509.Certificate, at: datetime) -> None:
    valid = certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
    _want(valid, f"a certificate that is not valid at {at:%Y-%m-%dT%H:%M:%SZ}")


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise TokenError(otherwise)
