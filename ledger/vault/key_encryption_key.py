"""The key-encryption key: what wraps every customer's data key (RFC 3394), and who keeps it.

    keys/kek         32 random bytes, owner only: kept by this file itself; or
                         sovereign/kek/v1 9c1f0e…                    its generation
                         pkcs11:token=house;object=sovereign-5f0c?module-path=/usr/lib/…&pin-source=…
                         mJx0…=                                      sealed by that keeper, base64
    keys/kek.next    the same of a rotation that was begun and has not ended

A keeper opens the key once, when the vault opens: the process holds it in memory from then on, as
it holds the data keys. What a keeper protects are copies of `keys/`: without it they open nothing.
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
HERE = "file"  # the keeper that is no other
_DOMAIN = b"sovereign/kek/v1\0"
_NONCE_SIZE = 12
_CONTEXT = {"purpose": "sovereign-vault"}


class KekError(Exception):
    """The key-encryption key cannot be had. The message says what to do."""


class MalformedKekError(KekError):
    """The file is not a key, nor one that was sealed."""


class KekProvider(Protocol):
    """Keeps one key-encryption key. What `seal` returned, `open` opens until `destroy`."""

    @property
    def uri(self) -> str: ...
    def seal(self, kek: bytes) -> bytes: ...
    def open(self, sealed: bytes) -> bytes:
        """Raises KekError."""
        ...

    def destroy(self) -> None:
        """What was sealed never opens again. Once more: nothing happens. Raises KekError."""
        ...


@dataclass(frozen=True, slots=True)
class Kek:
    """An opened key. Its generation names it and says nothing about it."""

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
                "a customer key does not open: is keys/kek the one that goes with customers.db?"
            ) from error


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as it lies on disk, not opened yet."""

    generation: str
    keeper: KekProvider
    sealed: bytes

    def open(self) -> Kek:
        """Raises KekError."""
        found = Kek(self.keeper.open(self.sealed))
        if found.generation != self.generation:
            raise KekError(
                f"{self.keeper.uri} opened another key than generation {self.generation}: "
                "restore keys/kek and the keeper's own key from one backup"
            )
        return found


class File:
    """The key is the file: whoever can read it needs nobody else."""

    uri = HERE

    def seal(self, kek: bytes) -> bytes:
        return kek

    def open(self, sealed: bytes) -> bytes:
        return sealed

    def destroy(self) -> None:
        """Overwriting the file is all, and is done by `replace`."""


class Pkcs11:
    """An AES key in a hardware module seals with AES-256-GCM and never leaves it.

    `pkcs11:token=…;object=…?module-path=…&pin-source=…` (RFC 7512); `pin-source` is a file. Each
    generation has a key of its own there, so that destroying it closes every copy of the file.
    """

    def __init__(self, uri: str) -> None:
        parts, _, query = uri.removeprefix("pkcs11:").partition("?")
        self._path = {k: unquote(v) for k, _, v in (p.partition("=") for p in parts.split(";"))}
        self._query = _query(query)
        for name, where in (("token", self._path), ("module-path", self._query)):
            if name not in where:
                raise KekError(f"{uri}: want {name}=…, found none; see specs/vault.md, V20")
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
            raise KekError(f"the PIN is wanted in {source}: {error.strerror}") from error

    def _asked(self) -> AbstractContextManager[None]:
        return _asked(_pkcs11().PKCS11Error, f"the module of {self.uri}")


class Kms:
    """A key of AWS KMS, or of what speaks its API, seals; it never leaves the service.

    `aws-kms:KEY-ID-OR-ARN?region=…&endpoint=…`; credentials are found as boto3 finds them. The
    key there is the operator's and may serve others, so `destroy` does not touch it: copies of the
    file open as long as it exists. See docs/operate.md for how to end it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._key, _, query = uri.removeprefix("aws-kms:").partition("?")
        self._query = _query(query)
        if not self._key:
            raise KekError(f"{uri}: want the id or ARN of a key, found none; name one")

    def seal(self, kek: bytes) -> bytes:
        with self._client() as client:
            made = client.encrypt(KeyId=self._key, Plaintext=kek, EncryptionContext=_CONTEXT)
        return bytes(made["CiphertextBlob"])

    def open(self, sealed: bytes) -> bytes:
        with self._client() as client:
            found = client.decrypt(
                KeyId=self._key, CiphertextBlob=sealed, EncryptionContext=_CONTEXT
            )
        return bytes(found["Plaintext"])

    def destroy(self) -> None:
        """The key is not ours to end."""

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
    """Whatever a keeper's library raises inside becomes a KekError."""
    try:
        yield
    except kinds as error:
        raise KekError(
            f"{whom} did not do what was asked ({type(error).__name__}: {error}): see that it is "
            "there, that this process may use it, and start again"
        ) from error


def keeper(uri: str) -> KekProvider:
    """The keeper that a URI names. Raises KekError."""
    match uri.partition(":")[0]:
        case "file":
            return File()
        case "pkcs11":
            return Pkcs11(uri)
        case "aws-kms":
            return Kms(uri)
        case _:
            raise KekError(f"{uri[:60]!r} names no keeper: want file, pkcs11:… or aws-kms:…")


def fresh(uri: str) -> KekProvider:
    """A keeper of the same kind and place for the next generation."""
    if not uri.startswith("pkcs11:"):
        return keeper(uri)
    parts, mark, query = uri.partition("?")
    kept = [part for part in parts.split(";") if not part.startswith("object=")]
    return keeper(f"{';'.join(kept)}{mark}{query}")


def made() -> Kek:
    return Kek(secrets.token_bytes(SIZE))


def write(path: Path, kek: Kek, keeper: KekProvider) -> None:
    """Have the key kept, and put at `path` what opens it. Durable on return. Raises KekError."""
    sealed = keeper.seal(kek.secret)
    # Crash here: the keeper has a key that seals something nobody has. It opens nothing.
    if keeper.uri == HERE:
        data = sealed
    else:
        lines = f"{HEADER} {kek.generation}", keeper.uri, b64encode(sealed).decode()
        data = "".join(f"{line}\n" for line in lines).encode()
    atomic_file.write(path, data, atomic_file.OWNER_ONLY)
    read(path).open()


def read(path: Path) -> Kept:
    """Raises MalformedKekError for what is none."""
    data = path.read_bytes()
    if len(data) == SIZE:
        return Kept(Kek(data).generation, File(), data)
    try:
        head, uri, sealed = data.decode("ascii").removesuffix("\n").split("\n")
        generation = head.removeprefix(f"{HEADER} ")
        if generation == head:
            _malformed(path, data)
        return Kept(generation, keeper(uri), b64decode(sealed, validate=True))
    except (ValueError, binascii.Error):
        _malformed(path, data)


def _malformed(path: Path, data: bytes) -> NoReturn:
    raise MalformedKekError(
        f"{path} has {len(data)} bytes, want {SIZE} or a key sealed by a keeper: restore it"
    )


def replace(path: Path, newer: Path) -> None:
    """Put `newer` in the place of `path`, whose key is destroyed. Durable on return."""
    if path.exists():
        with suppress(MalformedKekError):  # it was overwritten, and so destroyed before that
            read(path).keeper.destroy()
        # Crash here: the old key is gone where it was kept; the vault has the newer one already.
        with path.open("r+b") as file:
            atomic_file.overwrite(file.fileno(), bytes(path.stat().st_size))
        # Crash here: zeros, which are no generation that anything was wrapped with.
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
    return f"{library} is wanted and not there: install customer-sovereignty[{extra}]"
