"""The logs' own keys on disk, and how a newer set takes their place.

For each of the two logs of a ledger, LOG being `consent` or `state`:

keys/LOG.key             private keys in force, one a line: Ed25519, then ML-DSA-44; owner only
keys/LOG.vkey            their verifier keys, one a line
keys/LOG.next.key        those of a rotation that was begun and has not ended
keys/LOG.retired.policy  verifier keys that signed before; what they signed rests on them
LOG.policy               a tlog-policy: keys in force, then retired ones, then the witnesses

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
STATES = "{}/state"  # origin of the state log beside a consent log


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a ledger's two logs."""

    consent: Sequence[Signing]
    state: Sequence[Signing]


def keys(home: Path, origin: str) -> Keys:
    """The keys in force, or new ones. Raises NoteError if what is stored is malformed."""
    consent, state = _rings(home)
    if not state.key.exists():
        if consent.key.exists():
            raise NoteError(f"{state.key}, which signs the state log, is missing: restore it")
        state.put_in_force(_generate(STATES.format(origin)))
    if not consent.key.exists():
        consent.put_in_force(_generate(origin))
    return Keys(_read(consent.key), _read(state.key))


def witnesses(home: Path) -> Witnesses:
    """Who is to be asked to cosign, from `witnesses.policy`; the policies follow it.

    Raises PolicyError.
    """
    for ring in _rings(home):
        ring.trust([each.verifier for each in _read(ring.key)])
    return Witnesses.of(policy.parse((home / "consent.policy").read_bytes()))


def begin_rotation(home: Path, origin: str) -> Keys:
    """New keys, stored beside those in force. They are in force when the logs have signed so."""
    made = Keys(_generate(origin), _generate(STATES.format(origin)))
    for ring, newer in zip(_rings(home), (made.consent, made.state), strict=True):
        atomic_file.write(ring.next, _secrets(newer), atomic_file.OWNER_ONLY)
        # Crash here: they have signed nothing, and the next start forgets them.
    return made


def end_rotation(home: Path, consent: str, state: str) -> None:
    """Put the next keys of each log in force if they signed its newest note.

    If they did not, the rotation never came to the log; they are forgotten.
    """
    for ring, head in zip(_rings(home), (consent, state), strict=True):
        ring.end_rotation(head)
        # Crash here: the next start comes here again and goes on with the other log.


@dataclass(frozen=True, slots=True)
class _Ring:
    """The keys of one log."""

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
        newer = _read(self.next)
        if _signed(newer, head):
            older = [each.verifier for each in _read(self.key)]
            mine = {str(each.verifier) for each in newer}
            kept = [key for key in (*older, *self.before()) if str(key) not in mine]
            atomic_file.write(
                self.retired, policy.text(_once(kept)).encode(), atomic_file.OWNER_ONLY
            )
            # Crash here or below: the next start comes here again and ends it.
            self.put_in_force(newer)
        self.next.unlink()
        atomic_file.synchronise(self.next.parent)

    def put_in_force(self, keys: Sequence[LogSigner]) -> None:
        atomic_file.write(self.key.with_suffix(".vkey"), _public(keys))
        self.trust([each.verifier for each in keys])
        # Crash here: verifier keys of nobody yet, which the next start replaces.
        atomic_file.write(self.key, _secrets(keys), atomic_file.OWNER_ONLY)

    def trust(self, verifiers: Sequence[LogKey]) -> None:
        """Write what verifiers are to demand, unless it stands there already."""
        path, lines = self.home / f"{self.log}.policy", self.home / "witnesses.policy"
        cosigners = [lines.read_text("utf-8")] if lines.exists() else []
        data = policy.text([*verifiers, *self.before()], *cosigners).encode()
        policy.parse(data)
        if not path.exists() or path.read_bytes() != data:
            atomic_file.write(path, data)

    def before(self) -> list[LogKey]:
        """The keys that signed before."""
        return [*policy.parse(self.retired.read_bytes()).logs] if self.retired.exists() else []


def _rings(home: Path) -> tuple[_Ring, _Ring]:
    return _Ring(home, "consent"), _Ring(home, "state")


def _generate(origin: str) -> list[LogSigner]:
    return [signed_note.generate(origin), mldsa.generate(origin)]


def _public(keys: Sequence[LogSigner]) -> bytes:
    """The verifier keys, all of them: no byte of a receipt goes unchecked."""
    return "".join(f"{each.verifier}\n" for each in keys).encode()


def _secrets(keys: Sequence[Signing]) -> bytes:
    return "".join(f"{each.secret()}\n" for each in keys).encode()


def _read(path: Path) -> list[LogSigner]:
    first, *others = path.read_text(encoding="utf-8").splitlines()
    return [signed_note.signer(first), *map(mldsa.signer, others)]


def _once(keys: Sequence[LogKey]) -> list[LogKey]:
    return [*{str(key): key for key in keys}.values()]


def _signed(keys: Sequence[LogSigner], head: str) -> bool:
    try:
        signed_note.verify(signed_note.parse(head), [each.verifier for each in keys])
    except NoteError:
        return False
    return True
