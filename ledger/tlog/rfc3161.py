"""RFC 3161 timestamps: somebody else's clock says that a checkpoint existed.

A token is over the SHA-256 of the checkpoint's text (origin, size, root), so it holds whatever
cosignatures are added to the note later. Tokens are kept as they came, in DER, beside the tiles:

    timestamps/70000.tsr        over the checkpoint of 70,000 entries

Any RFC 3161 program can check them: `openssl ts -verify -data TEXT -in 70000.tsr -CAfile ROOTS`.
The law this file implements: specs/timestamp.md.
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
MOST_BYTES = 1 << 16  # of an answer
GRANTED = 0
_QUERY = "application/timestamp-query"

Ask = Callable[[bytes], bytes]  # a query's DER -> a response's DER


class TimestampError(Exception):
    """The token does not show that the checkpoint existed at its time. Never ignore it."""


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """Whose certificates are believed."""

    roots: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate] = ()


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a verified token says."""

    at: datetime
    serial: int


def path(size: int) -> str:
    """Where the token over the checkpoint of `size` entries is kept."""
    return f"timestamps/{size}.tsr"


def obtain(signed: Note, ask: Ask, authority: TimestampAuthority) -> bytes:
    """A verified token over the note's checkpoint. Raises TimestampError."""
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
    """What the token says of the note's checkpoint. Raises TimestampError."""
    return _verify(token, signed, authority, None)


def certificates(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises TimestampError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise TimestampError(f"no PEM certificates: {error}") from error


def at(url: str) -> Ask:
    """The authority that answers at an http(s) address."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise TimestampError(f"{url!r} is no address of an authority: want http:// or https://")

    def ask(query: bytes) -> bytes:
        request = Request(url, query, {"content-type": _QUERY}, method="POST")  # noqa: S310 (scheme checked above)
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 (the same)
                return bytes(response.read(MOST_BYTES))
        except (URLError, OSError) as error:
            raise TimestampError(f"{url} does not answer: {error}") from error

    return ask


def _message(signed: Note) -> bytes:
    """The bytes under the timestamp: only a checkpoint is ever stamped."""
    return str(checkpoint.parse(signed.text)).encode()


def _verify(token: bytes, signed: Note, authority: TimestampAuthority, nonce: int | None) -> Stamp:
    response = _decode(token)
    builder = VerifierBuilder(
        roots=list(authority.roots), intermediates=list(authority.intermediates), nonce=nonce
    )
    try:
        builder.build().verify_message(response, _message(signed))
    except (VerificationError, ValueError) as error:
        raise TimestampError(f"the token does not hold for this checkpoint: {error}") from error
    info = response.tst_info
    return Stamp(info.gen_time, info.serial_number)


def _decode(token: bytes) -> TimeStampResponse:
    try:
        response = decode_timestamp_response(token)
        if response.status != GRANTED:
            raise TimestampError(f"the authority refused: {response.status_string}")
        if response.as_bytes() != token:
            raise TimestampError("the token is not in its canonical form")
    except ValueError as error:
        raise TimestampError(f"no RFC 3161 response: {error}") from error
    return response
