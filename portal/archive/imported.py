"""Archives of other houses, taken in: what was in force there, and the archive itself, sealed.

    home/archives/imported/<pseudonym>/<SHA-256 of the archive>.sealed
        nonce(12) ‖ AES-256-GCM under the customer's own key, the digest as associated data

What is restored is the agreement: each scene of it becomes an instruction of class D here, whose
source is `archive:<digest>`, or a withdrawal. Its evidence are the receipts in the archive, which
verify under the policy that came with it, or under one that the operator knows. What the customer
said here themselves is never overwritten.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gate.contracts.scene import Scene
from ledger.events import envelope, reducer, state_document
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Imported,
    Instruction,
    SceneAct,
    Withdrawn,
    Wording,
)
from ledger.events.reducer import ConsentState, SceneConsent
from ledger.reader import RecordedInstruction
from ledger.tlog import atomic_file, policy
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.vault.commitments import canonical
from ledger.verify import receipt
from ledger.verify.receipt import ReceiptError
from portal.archive import pack
from portal.archive.holding import CustomerRecords
from portal.archive.pack import ArchiveError, ArchivePart, PackedArchive
from steward.oversight.register import SubjectTagger

FOLDER = Path("archives") / "imported"
_NAME = "imported-archive"  # under which customers' keys are derived from
_NONCE_SIZE = 12
_OURS = {"agreement.json", "history.json", "history.csv"}  # and receipts, trust: of this house


@dataclass(frozen=True, slots=True)
class ArchiveImport:
    subject: str
    digest: str
    recorded: int  # instructions of class D
    left: tuple[str, ...]  # scenes that stay as they are here, each with the reason


def take(held: CustomerRecords, data: bytes, trusted: LogPolicy | None = None) -> ArchiveImport:
    """Import an archive, once however often. Durable when it returns.

    `trusted`: what its receipts must be signed with; None: what the archive says itself. Raises
    ArchiveError; then nothing was recorded.
    """
    digest = sha256(data).hexdigest()
    found = pack.unpacked(data)
    agreed = _agreement(found, trusted)
    subject = agreed[-1].event.subject
    before = held.ledger.history(subject)
    acts, left = _acts(held.scenes, agreed, before, digest)
    recorded = 0 if _known(before, digest) else _record(held, subject, acts)
    if not held.ledger.version(subject):
        raise ArchiveError("no scene of it exists here, want one at least: nothing was recorded")
    # Crash here: recorded, and the archive is not kept; taking it again keeps it.
    _keep(held, subject, digest, data)
    return ArchiveImport(subject, digest, recorded, left)


def kept(held: CustomerRecords, subject: str) -> Mapping[str, bytes]:
    """The archives of other houses that were taken in for this customer: digest -> bytes."""
    found = sorted(folder(held.home, held.ledger, subject).glob("*.sealed"))
    return {path.stem: _unsealed(held, subject, path) for path in found}


def unchanged(
    brought: Mapping[str, bytes],
    history: Sequence[RecordedInstruction],
    parts: Sequence[ArchivePart],
) -> bytes | None:
    """The one archive that says all there is about the customer, if one does."""
    if len(brought) != 1:
        return None
    ((digest, data),) = brought.items()
    if not all(_brought(each.event, digest) for each in history):
        return None
    theirs = pack.unpacked(data).files
    ours = {each.name: each.data for each in parts if each.name not in _OURS}
    more = {name for name in ours if not name.startswith(("receipts/", "trust/"))}
    return data if all(theirs.get(name) == ours[name] for name in more) else None


def _agreement(found: PackedArchive, trusted: LogPolicy | None) -> list[RecordedInstruction]:
    """The instructions of the archive, as its receipts prove them. Raises ArchiveError."""
    try:
        believed = trusted or policy.parse(found.files["trust/consent.policy"])
        proven = [*_proven(found, believed)]
        agreement = json.loads(found.files["agreement.json"])
        history = json.loads(found.files["history.json"])
    except (KeyError, ValueError, LogPolicyError, ReceiptError) as error:
        raise ArchiveError(f"its receipts prove nothing: {error}; nothing was recorded") from error
    said = [{"index": each.index, **json.loads(envelope.encode(each.event))} for each in proven]
    if not proven or said != history or len({each.event.subject for each in proven}) != 1:
        raise ArchiveError("its history is not what its receipts prove; nothing was recorded")
    if state_document.document(_folded(proven)) != agreement:
        raise ArchiveError("its agreement is not what its history adds up to; nothing was recorded")
    return proven


def _proven(found: PackedArchive, believed: LogPolicy) -> Iterator[RecordedInstruction]:
    names = [name for name in found.files if name.startswith("receipts/")]
    numbered = sorted(int(n[9:-11]) for n in names if n != "receipts/state.tlog-proof")
    for index in numbered:
        parsed = receipt.parse(found.files[f"receipts/{index}.tlog-proof"].decode())
        receipt.verify_under(parsed, believed)
        said = envelope.decode(canonical(parsed.extra["event"]))
        if parsed.index != index or not isinstance(said, Instruction):
            raise ArchiveError(f"receipts/{index}.tlog-proof is of something else")
        yield RecordedInstruction(index, said)


def _folded(proven: Sequence[RecordedInstruction]) -> ConsentState:
    held = ConsentState(proven[0].event.subject)
    for each in proven:
        held = reducer.apply(held, each.event, each.index)
    return held


def _acts(
    scenes: Mapping[str, Scene],
    agreed: Sequence[RecordedInstruction],
    before: Sequence[RecordedInstruction],
    digest: str,
) -> tuple[list[tuple[Act, Instruction]], tuple[str, ...]]:
    """What to record, each with the instruction it rests on; and the scenes that are left."""
    said = (each.event for each in before if each.event.evidence != EvidenceClass.IMPORTED)
    decided = {each.act.scene for each in said if isinstance(each.act, SceneAct)}
    acts: list[tuple[Act, Instruction]] = []
    left: list[str] = []
    by_index = {each.index: each.event for each in agreed}
    for name, found in _folded(agreed).scenes.items():
        scene = scenes.get(name)
        if scene is None or scene.locked:
            left.append(f"{name}: no such scene here")
        elif name in decided:
            left.append(f"{name}: the customer decided here themselves")
        elif not isinstance(found, SceneConsent):
            acts.append((Withdrawn(name), by_index[found.index]))
        elif fields := tuple(each for each in scene.fields if each in found.fields):
            taken = Imported(name, fields, found.until, f"archive:{digest}")
            acts.append((taken, by_index[found.index]))
        else:
            left.append(f"{name}: none of its items exists here")
    return acts, tuple(left)


def _record(held: CustomerRecords, subject: str, acts: Sequence[tuple[Act, Instruction]]) -> int:
    drafts: list[Instruction] = []
    for act, rests in acts:
        about = Wording(rests.wording.locale, rests.wording.digest)
        drafts.append(
            drafts[-1].next(act, at=rests.at, wording=about)
            if drafts
            else held.ledger.draft(
                subject, act, at=rests.at, wording=about, evidence=EvidenceClass.IMPORTED
            )
        )
    return len(held.ledger.record(drafts))


def _known(before: Sequence[RecordedInstruction], digest: str) -> bool:
    return any(
        isinstance(each.event.act, Imported) and each.event.act.source == f"archive:{digest}"
        for each in before
    )


def _brought(said: Instruction, digest: str) -> bool:
    source = said.act.source if isinstance(said.act, Imported) else f"archive:{digest}"
    return said.evidence == EvidenceClass.IMPORTED and source == f"archive:{digest}"


def folder(home: Path, tagger: SubjectTagger, subject: str) -> Path:
    """Where the customer's archives of other houses lie."""
    return home / FOLDER / tagger.read_log_tag(subject, f"{_NAME}#index", 0).hex()


def _key(held: CustomerRecords, subject: str) -> bytes:
    secret = held.ledger.read_log_tag(subject, f"{_NAME}#seal", 0)
    return sha256(b"sovereign/imported-archive/v1\0" + secret).digest()


def _keep(held: CustomerRecords, subject: str, digest: str, data: bytes) -> None:
    nonce = os.urandom(_NONCE_SIZE)
    sealed = nonce + AESGCM(_key(held, subject)).encrypt(nonce, data, digest.encode())
    place = folder(held.home, held.ledger, subject)
    atomic_file.write(place / f"{digest}.sealed", sealed, atomic_file.OWNER_ONLY)


def _unsealed(held: CustomerRecords, subject: str, path: Path) -> bytes:
    sealed = path.read_bytes()
    key = AESGCM(_key(held, subject))
    return key.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], path.stem.encode())
