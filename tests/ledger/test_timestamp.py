"""specs/timestamp.md, with OpenSSL as the authority."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import rfc3161, signed_note
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.rfc3161 import Ask, TimestampAuthority, TimestampError
from ledger.tlog.signed_note import Note
from ledger.verify.times import timestamp_token
from ledger.verify.times.timestamp_token import TokenError
from tests.ledger.witnessing import ORIGIN

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command, which is the authority here"
)

SIGNER = signed_note.generate(ORIGIN)
CONFIG = """
[tsa]
default_tsa = me
[me]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def checkpoint_of(size: int) -> Note:
    return signed_note.sign(
        f"{ORIGIN}\n{size}\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", [SIGNER]
    )


SIGNED = checkpoint_of(7)


class Openssl:
    """A timestamping authority with a root and a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        root_name, name = _named("Test root"), _named("Test authority")
        self.root = (
            _certificate(root_name, root_name, root_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        signer = (
            _certificate(name, root_name, key)
            .add_extension(usage, critical=True)
            .sign(root_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / "root.pem").write_bytes(self.root.public_bytes(pem))
        (folder / "signer.pem").write_bytes(signer.public_bytes(pem))
        (folder / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (folder / "serial").write_text("01\n")
        (folder / "config").write_text(CONFIG.format(folder=folder))

    @property
    def authority(self) -> TimestampAuthority:
        return TimestampAuthority(rfc3161.certificates((self.folder / "root.pem").read_bytes()))

    def __call__(self, query: bytes) -> bytes:
        (self.folder / "query").write_bytes(query)
        self._run("-reply", "-queryfile", "query", "-inkey", "key.pem", "-signer", "signer.pem")
        return (self.folder / "reply").read_bytes()

    def verifies(self, token: bytes, text: str) -> bool:
        (self.folder / "text").write_text(text)
        (self.folder / "token").write_bytes(token)
        command = ["openssl", "ts", "-verify", "-data", "text", "-in", "token"]
        found = subprocess.run(
            [*command, "-CAfile", "root.pem"], cwd=self.folder, capture_output=True, check=False
        )
        return found.returncode == 0

    def _run(self, *options: str) -> None:
        command = ["openssl", "ts", *options, "-config", "config", "-out", "reply"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Openssl:
    return Openssl(tmp_path_factory.mktemp("authority") / "home")


@pytest.fixture(scope="module")
def token(openssl: Openssl) -> bytes:
    return rfc3161.obtain(SIGNED, openssl, openssl.authority)


def test_a_token_says_when_the_checkpoint_existed(openssl: Openssl, token: bytes) -> None:
    stamp = rfc3161.verify(token, SIGNED, openssl.authority)
    assert abs(stamp.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert stamp.serial > 0


def test_a_token_holds_whatever_cosignatures_are_added(openssl: Openssl, token: bytes) -> None:
    more = signed_note.sign(SIGNED.text, [SIGNER, signed_note.generate("another.example")])
    rfc3161.verify(token, more, openssl.authority)


def test_openssl_accepts_what_we_keep(openssl: Openssl, token: bytes) -> None:
    assert openssl.verifies(token, SIGNED.text)
    assert not openssl.verifies(token, checkpoint_of(8).text)


def test_a_token_is_for_one_checkpoint(openssl: Openssl, token: bytes) -> None:
    with pytest.raises(TimestampError, match="is not valid for this checkpoint"):
        rfc3161.verify(token, checkpoint_of(8), openssl.authority)


def test_only_checkpoints_are_stamped(openssl: Openssl) -> None:
    with pytest.raises(MalformedCheckpointError):
        rfc3161.obtain(signed_note.sign("hello\n", [SIGNER]), openssl, openssl.authority)


def test_another_authority_is_not_believed(openssl: Openssl, token: bytes, tmp_path: Path) -> None:
    other = Openssl(tmp_path / "other")
    with pytest.raises(TimestampError):
        rfc3161.verify(token, SIGNED, other.authority)
    with pytest.raises(TimestampError):
        rfc3161.obtain(SIGNED, other, openssl.authority)


def test_nobody_is_believed_without_a_root(token: bytes) -> None:
    with pytest.raises(TimestampError, match="root"):
        rfc3161.verify(token, SIGNED, TimestampAuthority([]))


def test_an_old_answer_to_another_query_is_refused(openssl: Openssl, token: bytes) -> None:
    with pytest.raises(TimestampError, match="Nonce"):
        rfc3161.obtain(SIGNED, lambda _: token, openssl.authority)


def test_no_changed_byte_makes_a_token_say_another_thing(openssl: Openssl, token: bytes) -> None:
    truth = rfc3161.verify(token, SIGNED, openssl.authority)
    for at in range(len(token)):
        changed = token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]
        try:
            found = rfc3161.verify(changed, SIGNED, openssl.authority)
        except TimestampError:
            continue
        assert found == truth, at  # bytes of unsigned members, like the certificates' order


BAD = {
    "nothing": b"",
    "text": b"<html>try later</html>",
    "cut off": None,
    "a refusal": bytes.fromhex("30053003020102"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_what_is_no_token_is_refused(openssl: Openssl, token: bytes, bad: bytes | None) -> None:
    with pytest.raises(TimestampError):
        rfc3161.verify(token[:-1] if bad is None else bad, SIGNED, openssl.authority)


@given(st.binary())
def test_only_timestamp_errors_leave_the_parser(data: bytes) -> None:
    with pytest.raises(TimestampError):
        rfc3161.verify(data, SIGNED, TimestampAuthority([]))


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(TimestampError, match="PEM"):
        rfc3161.certificates(b"hello")


@pytest.fixture
def served(openssl: Openssl) -> Iterator[str]:
    from tests.ledger.timestamping import serving  # it needs this module

    with serving(openssl) as address:
        yield address


def test_an_authority_is_asked_over_http(openssl: Openssl, served: str) -> None:
    ask: Ask = rfc3161.at(served)
    token = rfc3161.obtain(SIGNED, ask, openssl.authority)
    assert openssl.verifies(token, SIGNED.text)


def test_an_authority_that_does_not_answer_is_an_error(openssl: Openssl) -> None:
    with pytest.raises(TimestampError, match="does not answer"):
        rfc3161.obtain(SIGNED, rfc3161.at("http://127.0.0.1:9/"), openssl.authority)
    with pytest.raises(TimestampError, match="want http"):
        rfc3161.at("ftp://example.com")


def test_tokens_are_kept_by_size() -> None:
    assert rfc3161.path(70_000) == "timestamps/70000.tsr"


def test_z6_the_offline_verifier_agrees_with_the_library_of_the_log(
    openssl: Openssl, token: bytes, tmp_path: Path
) -> None:
    """Two implementations that share no code, on the genuine token and with each byte changed."""
    roots = [*openssl.authority.roots]
    text = SIGNED.text.encode()
    truth = rfc3161.verify(token, SIGNED, openssl.authority)
    assert timestamp_token.verify(token, text, roots).at == truth.at
    for at in range(len(token)):
        changed = token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]
        try:
            found = timestamp_token.verify(changed, text, roots)
        except TokenError:
            continue
        assert found.at == truth.at, at
    for other in (checkpoint_of(8).text.encode(), b""):
        with pytest.raises(TokenError, match="other bytes"):
            timestamp_token.verify(token, other, roots)
    for none in ([], [*Openssl(tmp_path / "other").authority.roots]):
        with pytest.raises(TokenError, match="root"):
            timestamp_token.verify(token, text, none)


@given(st.binary())
def test_z6_only_its_own_error_leaves_the_offline_parser(data: bytes) -> None:
    with pytest.raises(TokenError):
        timestamp_token.verify(data, b"", [])
