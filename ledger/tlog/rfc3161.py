"""RFC 3161 timestamps: a third party attests that a checkpoint existed at a time.

A token covers the SHA-256 of the checkpoint's text (origin, size, root), so it stays valid when
cosignatures are added to the note. Tokens are stored as received, in DER, next to the tiles:

    timestamps/70000.tsr        over the checkpoint of 70,000 entries

Any RFC 3161 program can check them: `openssl ts -verify -data TEXT -in 70000.tsr -CAfile ROOTS`.
Specification: specs/timestamp.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from ledger.tlog import checkpoint
from ledger.tlog.signed_note import Note

TIMEOUT_S = 30
MAX_BYTES = 1 << 16  # of a response
GRANTED = 0
_QUERY = "application/timestamp-query"

Ask = Callable[[bytes], bytes]  # query (DER) -> response (DER)


class TimestampError(Exception):
    """The token does not prove that the checkpoint existed at its time. Never ignore this error."""


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """The trusted certificates of a timestamp authority."""

    roots: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate] = ()


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time and serial number of a verified token."""

    at: datetime
    serial: int


def path(size: int) -> str:
    """The path of the token for the checkpoint of `size` entries."""
    return f"timestamps/{size}.tsr"


def obtain(signed: Note, ask: Ask, authority: TimestampAuthority) -> bytes:
    """Request a token for the note's checkpoint and verify it. Raises TimestampError."""
    query = (
        TimestampRequestBuilder()
        .data(_message(signed))
        .hash_algorithm(HashAlgorithm.SHA256)
        .cert_request(cert_request=True)
        .build()
    )
    token = ask(query.as_bytes())
    _verify(token, signed, authority, query.nonce)
    return token


def verify(token: bytes, signed: Note, authority: TimestampAuthority) -> Stamp:
    """Verify a token for the note's checkpoint. Raises TimestampError."""
    return _verify(token, signed, authority, None)


def certificates(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises TimestampError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise TimestampError(f"not a file of PEM certificates: {error}") from error


def at(url: str) -> Ask:
    """A client of the authority at an http(s) URL. Raises TimestampError for another URL."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise TimestampError(f"the authority's URL is {url!r}, want http:// or https://")

    def ask(query: bytes) -> bytes:
        request = Request(url, query, {"content-type": _QUERY}, method="POST")  # noqa: S310 (scheme checked above)
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 (the same)
                return bytes(response.read(MAX_BYTES))
        except (URLError, OSError) as error:
            raise TimestampError(f"{url} does not answer: {error}") from error

    return ask


def _message(signed: Note) -> bytes:
    """The timestamped bytes: the text of the checkpoint. Raises ValueError for other notes."""
    return str(checkpoint.parse(signed.text)).encode()


def _verify(token: bytes, signed: Note, authority: TimestampAuthority, nonce: int | None) -> Stamp:
    response = _decode(token)
    builder = VerifierBuilder(
        roots=list(authority.roots), intermediates=list(authority.intermediates), nonce=nonce
    )
    try:
        builder.build().verify_message(response, _message(signed))
    except (VerificationError, ValueError) as error:
        raise TimestampError(f"the token is not valid for this checkpoint: {error}") from error
    info = response.tst_info
    return Stamp(info.gen_time, info.serial_number)


def _decode(token: bytes) -> TimeStampResponse:
    try:
        response = decode_timestamp_response(token)
        if response.status != GRANTED:
            raise TimestampError(f"the authority refused: {response.status_string}")
        if response.as_bytes() != token:
            raise TimestampError("the token is not in canonical form")
    except ValueError as error:
        raise TimestampError(f"not an RFC 3161 response: {error}") from error
    return response
