"""The key-encryption key (KEK), which wraps all data keys (RFC 3394), and its providers.

    keys/kek         32 random bytes, readable by the owner only: the provider is this file; or
                         sovereign/kek/v1 9c1f0e…                    its generation
                         pkcs11:token=bank;object=sovereign-5f0c?module-path=/usr/lib/…&pin-source=…
                         mJx0…=                                      sealed by the provider, base64
    keys/kek.next    the same, of a rotation that has not ended

The KEK provider opens the key once, when the vault opens; from then on the process has it in
memory, like the data keys. A provider protects copies of `keys/`, which are useless without it.
"""

import binascii
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qs, quote, unquote

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from ledger.tlog import atomic_file

SIZE = 32
HEADER = "sovereign/kek/v1"
FILE_URI = "file"  # names the FileProvider
_DOMAIN = b"sovereign/kek/v1\0"
_NONCE_SIZE = 12
_CONTEXT = {"purpose": "sovereign-vault"}


class KekError(Exception):
    """The key-encryption key cannot be opened or destroyed. The message says what to do."""


class MalformedKekError(KekError):
    """The file is neither a key nor a sealed key."""


class KekProvider(Protocol):
    """Protects one key-encryption key. `open` decrypts what `seal` returned, until `destroy`."""

    @property
    def uri(self) -> str: ...
    def seal(self, kek: bytes) -> bytes: ...
    def open(self, sealed: bytes) -> bytes:
        """Raises KekError."""
        ...

    def destroy(self) -> None:
        """Make what was sealed impossible to open. May be repeated. Raises KekError."""
        ...


@dataclass(frozen=True, slots=True)
class Kek:
    """An opened key. `generation` identifies it and does not reveal it."""

    secret: bytes = field(repr=False)

    @property
    def generation(self) -> str:
        return sha256(_DOMAIN + self.secret).hexdigest()[:32]

    def wrap(self, data_key: bytes) -> bytes:
        return aes_key_wrap(self.secret, data_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises KekError."""
        try:
            return aes_key_unwrap(self.secret, wrapped)
        except InvalidUnwrap as error:
            raise KekError(
                "a customer's wrapped data key cannot be opened: is keys/kek the key that belongs "
                "to keys/customers.db?"
            ) from error


@dataclass(frozen=True, slots=True)
class StoredKek:
    """A key file that was read but not opened."""

    generation: str
    provider: KekProvider
    sealed: bytes

    def open(self) -> Kek:
        """Raises KekError."""
        kek = Kek(self.provider.open(self.sealed))
        if kek.generation != self.generation:
            raise KekError(
                f"{self.provider.uri} opened generation {kek.generation}, want {self.generation}: "
                "restore keys/kek and the provider's own key from the same backup"
            )
        return kek


class FileProvider:
    """Stores the key unencrypted in the file: whoever can read the file has the key."""

    uri = FILE_URI

    def seal(self, kek: bytes) -> bytes:
        return kek

    def open(self, sealed: bytes) -> bytes:
        return sealed

    def destroy(self) -> None:
        """Nothing to do here: `replace` overwrites the file."""


class Pkcs11Provider:
    """Seals with AES-256-GCM under an AES key that never leaves a hardware module.

    `pkcs11:token=…;object=…?module-path=…&pin-source=…` (RFC 7512); `pin-source` is a file. Each
    generation has its own key in the module, so destroying that key makes every copy of the file
    useless.
    """

    def __init__(self, uri: str) -> None:
        parts, _, query = uri.removeprefix("pkcs11:").partition("?")
        self._path = {k: unquote(v) for k, _, v in (p.partition("=") for p in parts.split(";"))}
        self._query = _query(query)
        for name, where in (("token", self._path), ("module-path", self._query)):
            if name not in where:
                raise KekError(f"{uri} has no {name}=…: add it; see specs/vault.md, V20")
        self._query_text = query
        self._path.setdefault("object", f"sovereign-{secrets.token_hex(8)}")

    @property
    def uri(self) -> str:
        path = ";".join(f"{name}={quote(value)}" for name, value in sorted(self._path.items()))
        return f"pkcs11:{path}?{self._query_text}"

    def seal(self, kek: bytes) -> bytes:
        pkcs11 = _pkcs11()
        hidden = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        nonce = secrets.token_bytes(_NONCE_SIZE)
        with self._session(rw=True) as session, self._asked():
            key = session.generate_key(
                pkcs11.KeyType.AES, 256, label=self._path["object"], store=True, template=hidden
            )
            params = pkcs11.GCMParams(nonce, _DOMAIN, 128)
            return nonce + bytes(
                key.encrypt(kek, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=params)
            )

    def open(self, sealed: bytes) -> bytes:
        pkcs11 = _pkcs11()
        params = pkcs11.GCMParams(sealed[:_NONCE_SIZE], _DOMAIN, 128)
        with self._session() as session, self._asked():
            key = session.get_key(
                object_class=pkcs11.ObjectClass.SECRET_KEY, label=self._path["object"]
            )
            return bytes(
                key.decrypt(
                    sealed[_NONCE_SIZE:],
                    mechanism=pkcs11.Mechanism.AES_GCM,
                    mechanism_param=params,
                )
            )

    def destroy(self) -> None:
        pkcs11 = _pkcs11()
        kind, label = pkcs11.Attribute.CLASS, pkcs11.Attribute.LABEL
        wanted = {kind: pkcs11.ObjectClass.SECRET_KEY, label: self._path["object"]}
        with self._session(rw=True) as session, self._asked():
            for each in [*session.get_objects(wanted)]:
                each.destroy()

    def _session(self, *, rw: bool = False) -> Any:
        pkcs11 = _pkcs11()
        with self._asked():
            token = pkcs11.lib(self._query["module-path"]).get_token(
                token_label=self._path["token"]
            )
            return token.open(user_pin=self._pin(), rw=rw)

    def _pin(self) -> str | None:
        if (source := self._query.get("pin-source")) is None:
            return None
        try:
            return Path(source.removeprefix("file:")).read_text("utf-8").strip()
        except OSError as error:
            raise KekError(f"cannot read the PIN from {source}: {error.strerror}") from error

    def _asked(self) -> AbstractContextManager[None]:
        return _asked(_pkcs11().PKCS11Error, f"the module of {self.uri}")


class KmsProvider:
    """Seals with a key of AWS KMS (or a service with its API) that never leaves the service.

    `aws-kms:KEY-ID-OR-ARN?region=…&endpoint=…`; boto3 finds the credentials. The KMS key belongs to
    the operator and may have other users, so `destroy` does not touch it: copies of the file can be
    opened as long as it exists. docs/operate.md says how to delete it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._key, _, query = uri.removeprefix("aws-kms:").partition("?")
        self._query = _query(query)
        if not self._key:
            raise KekError(f"{uri} names no key: want aws-kms: and the id or ARN of a key")

    def seal(self, kek: bytes) -> bytes:
        with self._client() as client:
            made = client.encrypt(KeyId=self._key, Plaintext=kek, EncryptionContext=_CONTEXT)
        return bytes(made["CiphertextBlob"])

    def open(self, sealed: bytes) -> bytes:
        with self._client() as client:
            answer = client.decrypt(
                KeyId=self._key, CiphertextBlob=sealed, EncryptionContext=_CONTEXT
            )
        return bytes(answer["Plaintext"])

    def destroy(self) -> None:
        """Nothing: the KMS key belongs to the operator."""

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            import boto3
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise KekError(_missing("boto3", "kms")) from error
        region, endpoint = self._query.get("region"), self._query.get("endpoint")
        with _asked((BotoCoreError, ClientError), f"the key {self._key}"):
            yield boto3.client("kms", region_name=region, endpoint_url=endpoint)


@contextmanager
def _asked(kinds: Any, whom: str) -> Iterator[None]:
    """Turn the errors `kinds` of a provider's library into a KekError."""
    try:
        yield
    except kinds as error:
        raise KekError(
            f"{whom} failed ({type(error).__name__}: {error}): check that it is there and that "
            "this process may use it, then try again"
        ) from error


def provider(uri: str) -> KekProvider:
    """The KEK provider that a URI names. Raises KekError."""
    match uri.partition(":")[0]:
        case "file":
            return FileProvider()
        case "pkcs11":
            return Pkcs11Provider(uri)
        case "aws-kms":
            return KmsProvider(uri)
        case _:
            raise KekError(f"{uri[:60]!r} names no KEK provider: want file, pkcs11:… or aws-kms:…")


def next_generation(uri: str) -> KekProvider:
    """A provider of the same kind and place, for the next generation of the key."""
    if not uri.startswith("pkcs11:"):
        return provider(uri)
    parts, mark, query = uri.partition("?")
    others = [part for part in parts.split(";") if not part.startswith("object=")]
    return provider(f"{';'.join(others)}{mark}{query}")


def generate() -> Kek:
    return Kek(secrets.token_bytes(SIZE))


def write(path: Path, kek: Kek, provider: KekProvider) -> None:
    """Seal the key with the provider and write it to `path`. Durable on return. Raises KekError."""
    sealed = provider.seal(kek.secret)
    # Crash here: the provider has a new key, but what it sealed is stored nowhere.
    if provider.uri == FILE_URI:
        data = sealed
    else:
        lines = f"{HEADER} {kek.generation}", provider.uri, b64encode(sealed).decode()
        data = "".join(f"{line}\n" for line in lines).encode()
    atomic_file.write(path, data, atomic_file.OWNER_ONLY)
    read(path).open()


def read(path: Path) -> StoredKek:
    """Read a key file without opening the key. Raises MalformedKekError, FileNotFoundError."""
    data = path.read_bytes()
    if len(data) == SIZE:
        return StoredKek(Kek(data).generation, FileProvider(), data)
    try:
        head, uri, sealed = data.decode("ascii").removesuffix("\n").split("\n")
        generation = head.removeprefix(f"{HEADER} ")
        if generation == head:
            _malformed(path, data)
        return StoredKek(generation, provider(uri), b64decode(sealed, validate=True))
    except (ValueError, binascii.Error):
        _malformed(path, data)


def _malformed(path: Path, data: bytes) -> NoReturn:
    raise MalformedKekError(
        f"{path} has {len(data)} bytes, want {SIZE} or a sealed key: restore it from a backup"
    )


def replace(path: Path, newer: Path) -> None:
    """Destroy the key at `path` and move `newer` to its place. Durable on return."""
    if path.exists():
        with suppress(MalformedKekError):  # already overwritten, so it was destroyed before
            read(path).provider.destroy()
        # Crash here: the provider has destroyed the old key; the vault already uses the new one.
        with path.open("r+b") as file:
            atomic_file.overwrite(file.fileno(), bytes(path.stat().st_size))
        # Crash here: `path` has zeros, a key that wraps nothing. The next start calls this again.
    newer.rename(path)
    atomic_file.synchronise(path.parent)


def _query(text: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _pkcs11() -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise KekError(_missing("python-pkcs11", "pkcs11")) from error
    return pkcs11


def _missing(library: str, extra: str) -> str:
    return f"{library} is not installed: install customer-sovereignty[{extra}]"
