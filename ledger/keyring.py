"""The log's own keys on disk, and how a newer set takes their place.

keys/consent.key         private keys in force, one a line: Ed25519, then ML-DSA-44; owner only
keys/consent.vkey        their verifier keys, one a line
keys/consent.next.key    those of a rotation that was begun and has not ended
keys/state.key, .vkey    those of the state log, in the same form
keys/retired.policy      verifier keys that signed before; receipts of their time rest on them
witnesses.policy         the witness, group and quorum lines of a tlog-policy, if there are any
consent.policy           a tlog-policy: keys in force, then retired ones, then the witnesses
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger import durable, mldsa, note, policy
from ledger.cosigning import Witnesses
from ledger.mldsa import MldsaSigner
from ledger.note import NoteError, Signer, Signing
from ledger.policy import LogKey

LogSigner = Signer | MldsaSigner
_KEY = Path("keys") / "consent.key"
_STATE = Path("keys") / "state.key"
_NEXT = Path("keys") / "consent.next.key"
_RETIRED = Path("keys") / "retired.policy"
_WITNESSES = Path("witnesses.policy")


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a ledger's two logs."""

    consent: Sequence[Signing]
    state: Sequence[Signing]


def keys(home: Path, origin: str) -> Keys:
    """The keys in force, or new ones. Raises NoteError if what is stored is malformed."""
    if not (home / _STATE).exists():
        if (home / _KEY).exists():
            raise NoteError(f"{home / _STATE}, which signs the state log, is missing: restore it")
        made = _generate(f"{origin}/state")
        durable.write((home / _STATE).with_suffix(".vkey"), _public(made))
        # Crash here: verifier keys of nobody yet, which the next start replaces.
        durable.write(home / _STATE, _secrets(made), durable.OWNER_ONLY)
    if not (home / _KEY).exists():
        _put_in_force(home, _generate(origin))
    return Keys(_read(home / _KEY), _read(home / _STATE))


def witnesses(home: Path) -> Witnesses:
    """Who is to be asked to cosign, from `witnesses.policy`; `consent.policy` follows it.

    Raises PolicyError.
    """
    _trust(home, [each.verifier for each in _read(home / _KEY)])
    return Witnesses.of(policy.parse((home / "consent.policy").read_bytes()))


def begin_rotation(home: Path, origin: str) -> list[LogSigner]:
    """New keys, stored beside those in force. They are in force when the log has signed so."""
    made = _generate(origin)
    durable.write(home / _NEXT, _secrets(made), durable.OWNER_ONLY)
    return made


def end_rotation(home: Path, head: str) -> None:
    """Put the next keys in force if they signed `head`, the log's newest note.

    If they did not, the rotation never came to the log; they are forgotten.
    """
    if not (home / _NEXT).exists():
        return
    newer = _read(home / _NEXT)
    if _signed(newer, head):
        older = [each.verifier for each in _read(home / _KEY)]
        mine = {str(each.verifier) for each in newer}
        kept = [key for key in (*older, *_retired(home)) if str(key) not in mine]
        durable.write(home / _RETIRED, policy.text(_once(kept)).encode(), durable.OWNER_ONLY)
        # Crash here or below: the next start comes here again and ends it.
        _put_in_force(home, newer)
    (home / _NEXT).unlink()
    durable.synchronise((home / _NEXT).parent)


def _put_in_force(home: Path, keys: Sequence[LogSigner]) -> None:
    verifiers = [each.verifier for each in keys]
    durable.write((home / _KEY).with_suffix(".vkey"), _public(keys))
    _trust(home, verifiers)
    # Crash here: verifier keys of nobody yet, which the next start replaces.
    durable.write(home / _KEY, _secrets(keys), durable.OWNER_ONLY)


def _generate(origin: str) -> list[LogSigner]:
    return [note.generate(origin), mldsa.generate(origin)]


def _trust(home: Path, verifiers: Sequence[LogKey]) -> None:
    """Write what verifiers are to demand, unless it stands there already."""
    path, lines = home / "consent.policy", home / _WITNESSES
    cosigners = [lines.read_text("utf-8")] if lines.exists() else []
    data = policy.text([*verifiers, *_retired(home)], *cosigners).encode()
    policy.parse(data)
    if not path.exists() or path.read_bytes() != data:
        durable.write(path, data)


def _public(keys: Sequence[LogSigner]) -> bytes:
    """The verifier keys, all of them: no byte of a receipt goes unchecked."""
    return "".join(f"{each.verifier}\n" for each in keys).encode()


def _secrets(keys: Sequence[LogSigner]) -> bytes:
    return "".join(f"{each.secret()}\n" for each in keys).encode()


def _read(path: Path) -> list[LogSigner]:
    first, *others = path.read_text(encoding="utf-8").splitlines()
    return [note.signer(first), *map(mldsa.signer, others)]


def _retired(home: Path) -> list[LogKey]:
    path = home / _RETIRED
    return [*policy.parse(path.read_bytes()).logs] if path.exists() else []


def _once(keys: Sequence[LogKey]) -> list[LogKey]:
    return [*{str(key): key for key in keys}.values()]


def _signed(keys: Sequence[LogSigner], head: str) -> bool:
    try:
        note.verify(note.parse(head), [each.verifier for each in keys])
    except NoteError:
        return False
    return True
