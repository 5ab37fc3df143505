"""The signing keys of a ledger's logs on disk, and their rotation.

For each of the two logs, LOG being `consent` or `state`:

keys/LOG.key             active private keys, one per line: Ed25519, then ML-DSA-44; owner only
keys/LOG.vkey            their verifier keys, one per line
keys/LOG.next.key        the private keys of a rotation that has not ended
keys/LOG.retired.policy  retired verifier keys, and the sizes of the log that each may have signed
LOG.policy               a tlog-policy: active keys, then retired ones, then the witnesses

The key of the map's labels is read with them and listed in `state.policy`: ledger.keys.map_key.

witnesses.policy         the witness, group and quorum lines of both policies, if there are any
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.keys import map_key
from ledger.statemap.labels import Labels
from ledger.tlog import atomic_file, checkpoint, mldsa, policy, signed_note
from ledger.tlog.mldsa import MldsaSigner
from ledger.tlog.policy import KeyRange, LogKey, LogPolicy, LogPolicyError, MapKey
from ledger.tlog.signed_note import NoteError, Signer, Signing
from ledger.witness.client import Witnesses

LogSigner = Signer | MldsaSigner
STATES = "{}/state"  # origin of the state log, given that of the consent log


@dataclass(frozen=True, slots=True)
class Keys:
    """The signing keys of a ledger's two logs, and the labels of its map.

    `labels` is None if there is no key of labels yet, or not any more.
    """

    consent: Sequence[Signing]
    state: Sequence[Signing]
    labels: Labels | None


def keys(home: Path, origin: str) -> Keys:
    """The active keys; new ones are generated if there are none.

    Raises NoteError or MapKeyError if a stored key is malformed, or only one log has keys.
    """
    consent, state = rings(home)
    if not state.key.exists():
        if consent.key.exists():
            raise NoteError(f"the state log's signing key {state.key} is missing: restore it")
        map_key.create(home, STATES.format(origin), since=0)
        state.activate(_generate(STATES.format(origin)))
    if not consent.key.exists():
        consent.activate(_generate(origin))
    return Keys(read(consent.key), read(state.key), map_key.read(home))


def witnesses(home: Path) -> Witnesses:
    """The witnesses of `witnesses.policy`; rewrites both policies if that file changed.

    Raises LogPolicyError.
    """
    for ring in rings(home):
        active = read(ring.key)
        ring.publish(active)
        ring.trust([each.verifier for each in active])
    return Witnesses.of(policy.parse((home / "consent.policy").read_bytes()))


def require_witnesses(path: Path) -> None:
    """Check a file like `witnesses.policy`. Raises LogPolicyError, OSError, UnicodeDecodeError."""
    policy.parse(policy.text([], path.read_text("utf-8")).encode())


def begin_rotation(home: Path, origin: str) -> Keys:
    """Generate new keys and store them as the next ones.

    They become active once both logs have recorded the rotation.
    """
    made = Keys(_generate(origin), _generate(STATES.format(origin)), map_key.read(home))
    for ring, newer in zip(rings(home), (made.consent, made.state), strict=True):
        atomic_file.write(ring.next, _secrets(newer), atomic_file.OWNER_ONLY)
        # Crash here: the new keys have signed nothing, and the next start deletes them.
    return made


def end_rotation(home: Path, consent: str, state: str) -> None:
    """Activate the next keys of each log if they signed its newest note, else delete them.

    `consent`, `state`: the newest signed notes of the two logs.
    """
    for ring, head in zip(rings(home), (consent, state), strict=True):
        ring.end_rotation(head)
        # Crash here: the next start calls this again, which ends the rotation of the other log.


def rings(home: Path) -> "tuple[KeyRing, KeyRing]":
    """The key files of the consent log and of the state log."""
    return KeyRing(home, "consent"), KeyRing(home, "state")


def read(path: Path) -> list[LogSigner]:
    """The private keys in a file. Raises OSError, and ValueError if it is malformed."""
    try:
        first, *others = path.read_text(encoding="utf-8").splitlines()
        return [signed_note.signer(first), *map(mldsa.signer, others)]
    except ValueError as error:  # not UnicodeDecodeError's own text: it has the bytes
        what = "it is not text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise NoteError(f"{path} cannot be used ({what}): restore it from a backup") from None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key files of one log. `log`: "consent" or "state"."""

    home: Path
    log: str

    @property
    def key(self) -> Path:
        return self.home / "keys" / f"{self.log}.key"

    @property
    def next(self) -> Path:
        return self.key.with_suffix(".next.key")

    @property
    def retired(self) -> Path:
        return self.key.with_suffix(".retired.policy")

    def end_rotation(self, head: str) -> None:
        if not self.next.exists():
            return
        newer = read(self.next)
        if _signed(newer, head):
            older = [each.verifier for each in read(self.key)]
            mine = {str(each.verifier) for each in newer}
            retired = [key for key in (*older, *self.before()) if str(key) not in mine]
            size = checkpoint.parse(signed_note.parse(head).text).size
            ends = {policy.key_name(key): KeyRange(self.first(), size + 1) for key in older}
            self.retire(_once(retired), ends | self.ranges())
            # Crash here or below: the next start calls this again and ends the rotation.
            self.activate(newer)
        self.next.unlink()
        atomic_file.synchronise(self.next.parent)

    def activate(self, keys: Sequence[LogSigner]) -> None:
        self.publish(keys)
        self.trust([each.verifier for each in keys])
        # Crash here: the .vkey file has keys that are not active; the next start replaces it.
        atomic_file.write(self.key, _secrets(keys), atomic_file.OWNER_ONLY)

    def publish(self, keys: Sequence[LogSigner]) -> None:
        """Write the file of the verifier keys, unless it already has this content."""
        path, data = self.key.with_suffix(".vkey"), _public(keys)
        if not path.exists() or path.read_bytes() != data:
            atomic_file.write(path, data)

    def trust(self, verifiers: Sequence[LogKey]) -> None:
        """Write the policy for verifiers, unless the file already has this content."""
        path, lines = self.home / f"{self.log}.policy", self.home / "witnesses.policy"
        cosigners = lines.read_text("utf-8") if lines.exists() else policy.UNWITNESSED
        keys, sizes = [*verifiers, *self.before()], self.sizes(verifiers)
        data = policy.text(keys, cosigners, self.maps(), sizes).encode()
        self._require_parsed(data)
        if not path.exists() or path.read_bytes() != data:
            atomic_file.write(path, data)

    def maps(self) -> list[MapKey]:
        """The key of the map's labels, for the state log."""
        key = map_key.listed(self.home) if self.log == "state" else None
        return [] if key is None else [key]

    def retire(self, keys: Sequence[LogKey], ranges: Mapping[str, KeyRange]) -> None:
        """Store the retired keys, and the sizes that each may have signed. Durable on return."""
        data = policy.text(keys, ranges=ranges).encode()
        atomic_file.write(self.retired, data, atomic_file.OWNER_ONLY)

    def before(self) -> list[LogKey]:
        """The retired verifier keys."""
        return [*self._retired().logs]

    def ranges(self) -> dict[str, KeyRange]:
        """The sizes that retired keys may have signed; none of keys of earlier versions."""
        return {**self._retired().ranges}

    def _retired(self) -> LogPolicy:
        if not self.retired.exists():
            return LogPolicy(())
        try:
            return policy.parse(self.retired.read_bytes())
        except LogPolicyError as error:
            raise NoteError(
                f"{self.retired} cannot be used ({error}): restore it from a backup"
            ) from error

    def _require_parsed(self, data: bytes) -> None:
        try:
            policy.parse(data)
        except LogPolicyError as error:
            raise LogPolicyError(
                f"{self.key}, {self.retired.name} and witnesses.policy do not go together "
                f"({error}): correct witnesses.policy, or restore keys/ from one backup"
            ) from error

    def sizes(self, active: Sequence[LogKey]) -> dict[str, KeyRange]:
        """The sizes that each key may sign, of the active keys too, as the policy has them."""
        first = self.first()
        limited = active if first else ()
        return self.ranges() | {policy.key_name(key): KeyRange(first, None) for key in limited}

    def first(self) -> int:
        """The first size that the active keys sign: the last that retired ones have signed."""
        return max((each.end - 1 for each in self.ranges().values() if each.end), default=0)


def _generate(origin: str) -> list[LogSigner]:
    return [signed_note.generate(origin), mldsa.generate(origin)]


def _public(keys: Sequence[LogSigner]) -> bytes:
    """All verifier keys, one per line, so that every signature of a receipt can be checked."""
    return "".join(f"{each.verifier}\n" for each in keys).encode()


def _secrets(keys: Sequence[Signing]) -> bytes:
    return "".join(f"{each.secret()}\n" for each in keys).encode()


def _once(keys: Sequence[LogKey]) -> list[LogKey]:
    return [*{str(key): key for key in keys}.values()]


def _signed(keys: Sequence[LogSigner], head: str) -> bool:
    try:
        signed_note.verify(signed_note.parse(head), [each.verifier for each in keys])
    except NoteError:
        return False
    return True
