"""The signing keys of a ledger's logs on disk, and their rotation.

For each of the two logs, LOG being `consent` or `state`:

keys/LOG.key             active private keys, one per line: Ed25519, then ML-DSA-44; owner only
keys/LOG.vkey            their verifier keys, one per line
keys/LOG.next.key        the private keys of a rotation that has not ended
keys/LOG.retired.policy  retired verifier keys, needed to verify what they signed
LOG.policy               a tlog-policy: active keys, then retired ones, then the witnesses

witnesses.policy         the witness, group and quorum lines of both policies, if there are any
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.tlog import atomic_file, mldsa, policy, signed_note
from ledger.tlog.mldsa import MldsaSigner
from ledger.tlog.policy import LogKey
from ledger.tlog.signed_note import NoteError, Signer, Signing
from ledger.witness.client import Witnesses

LogSigner = Signer | MldsaSigner
STATES = "{}/state"  # origin of the state log, given that of the consent log


@dataclass(frozen=True, slots=True)
class Keys:
    """The signing keys of a ledger's two logs."""

    consent: Sequence[Signing]
    state: Sequence[Signing]


def keys(home: Path, origin: str) -> Keys:
    """The active keys; new ones are generated if there are none.

    Raises NoteError if a stored key is malformed, or only one log has keys.
    """
    consent, state = rings(home)
    if not state.key.exists():
        if consent.key.exists():
            raise NoteError(f"the state log's signing key {state.key} is missing: restore it")
        state.activate(_generate(STATES.format(origin)))
    if not consent.key.exists():
        consent.activate(_generate(origin))
    return Keys(read(consent.key), read(state.key))


def witnesses(home: Path) -> Witnesses:
    """The witnesses of `witnesses.policy`; rewrites both policies if that file changed.

    Raises LogPolicyError.
    """
    for ring in rings(home):
        ring.trust([each.verifier for each in read(ring.key)])
    return Witnesses.of(policy.parse((home / "consent.policy").read_bytes()))


def require_witnesses(path: Path) -> None:
    """Check a file like `witnesses.policy`. Raises LogPolicyError, OSError, UnicodeDecodeError."""
    policy.parse(policy.text([], path.read_text("utf-8")).encode())


def begin_rotation(home: Path, origin: str) -> Keys:
    """Generate new keys and store them as the next ones.

    They become active once both logs have recorded the rotation.
    """
    made = Keys(_generate(origin), _generate(STATES.format(origin)))
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
    first, *others = path.read_text(encoding="utf-8").splitlines()
    return [signed_note.signer(first), *map(mldsa.signer, others)]


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
            atomic_file.write(
                self.retired, policy.text(_once(retired)).encode(), atomic_file.OWNER_ONLY
            )
            # Crash here or below: the next start calls this again and ends the rotation.
            self.activate(newer)
        self.next.unlink()
        atomic_file.synchronise(self.next.parent)

    def activate(self, keys: Sequence[LogSigner]) -> None:
        atomic_file.write(self.key.with_suffix(".vkey"), _public(keys))
        self.trust([each.verifier for each in keys])
        # Crash here: the .vkey file has keys that are not active; the next start replaces it.
        atomic_file.write(self.key, _secrets(keys), atomic_file.OWNER_ONLY)

    def trust(self, verifiers: Sequence[LogKey]) -> None:
        """Write the policy for verifiers, unless the file already has this content."""
        path, lines = self.home / f"{self.log}.policy", self.home / "witnesses.policy"
        cosigners = [lines.read_text("utf-8")] if lines.exists() else []
        data = policy.text([*verifiers, *self.before()], *cosigners).encode()
        policy.parse(data)
        if not path.exists() or path.read_bytes() != data:
            atomic_file.write(path, data)

    def before(self) -> list[LogKey]:
        """The retired verifier keys."""
        return [*policy.parse(self.retired.read_bytes()).logs] if self.retired.exists() else []


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
