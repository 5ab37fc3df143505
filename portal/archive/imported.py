"""Imports archives of other controllers: the consents, and the archive itself, sealed.

    home/archives/imported/<pseudonym>/<SHA-256 of the archive>.sealed
        nonce(12) ‖ AES-256-GCM under the customer's own key, the digest as associated data

The import restores the agreement: each scene in it becomes an instruction of class D here, with the
source `archive:<digest>`, or a withdrawal. Its evidence is the receipts in the archive, verified
under the archive's own policy or one that the operator gives. Instructions that the customer gave
here are never overwritten, and nothing from before an erasure of the customer here is imported.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
from ledger.events.reducer import ConsentState, SceneConsent, SceneWithdrawal
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
_NAME = "imported-archive"  # label for deriving keys
_NONCE_SIZE = 12
_MALFORMED = (KeyError, TypeError, ValueError, RecursionError)  # as JSON can be
_MADE_HERE = ("receipts/", "trust/", "words/")
_OURS = {"agreement.json", "history.json", "history.csv"}  # with receipts/ and trust/: made here


@dataclass(frozen=True, slots=True)
class ArchiveImport:
    """The result of an import."""

    subject: str
    digest: str
    recorded: int  # instructions of class D
    left: tuple[str, ...]  # scenes that were not imported, each with the reason


def take(records: CustomerRecords, data: bytes, trusted: LogPolicy | None = None) -> ArchiveImport:
    """Import an archive; importing it again changes nothing. Durable when it returns.

    `trusted`: the policy its receipts must satisfy; None: the archive's own. Raises ArchiveError,
    VaultError if it cannot be told who was erased, and SourceUnavailableError; then nothing was
    recorded.
    """
    digest = sha256(data).hexdigest()
    archive = pack.unpacked(data)
    agreed = _agreement(archive, trusted)
    subject = agreed[-1].event.subject
    _require_known(records, subject)
    since = _since(agreed, records.ledger.tombstones().erased_at(subject))
    before = records.ledger.history(subject)
    acts, left = _acts(records.scenes, agreed, since, before, digest)
    recorded = 0 if _known(before, digest) else _record(records, subject, acts)
    if not records.ledger.version(subject):
        raise ArchiveError(
            "want at least one scene that exists here, found none: nothing was recorded"
        )
    # If we crash here, the consents are recorded, and importing again stores the archive.
    _keep(records, subject, digest, data)
    return ArchiveImport(subject, digest, recorded, left)


def stored(records: CustomerRecords, subject: str) -> Mapping[str, bytes]:
    """The archives that were imported for this customer: digest -> bytes."""
    paths = sorted(folder(records.home, records.ledger, subject).glob("*.sealed"))
    return {path.stem: _unsealed(records, subject, path) for path in paths}


def unchanged(
    imports: Mapping[str, bytes],
    history: Sequence[RecordedInstruction],
    parts: Sequence[ArchivePart],
) -> bytes | None:
    """The imported archive, if it is the only one and contains all data about the customer."""
    if len(imports) != 1:
        return None
    ((digest, data),) = imports.items()
    if not all(_is_from(each.event, digest) for each in history):
        return None
    theirs = pack.unpacked(data).files
    ours = {each.name: each.data for each in parts if each.name not in _OURS}
    more = {name for name in ours if not name.startswith(_MADE_HERE)}
    return data if all(theirs.get(name) == ours[name] for name in more) else None


def _agreement(archive: PackedArchive, trusted: LogPolicy | None) -> list[RecordedInstruction]:
    """The instructions of the archive, as its receipts prove them. Raises ArchiveError."""
    try:
        believed = trusted or policy.parse(archive.files["trust/consent.policy"])
        proven = [*_proven(archive, believed)]
        agreement = json.loads(archive.files["agreement.json"])
        history = json.loads(archive.files["history.json"])
    except (*_MALFORMED, LogPolicyError, ReceiptError) as error:
        raise ArchiveError(
            f"the archive's receipts do not verify: {error}; nothing was recorded"
        ) from error
    events = [{"index": each.index, **json.loads(envelope.encode(each.event))} for each in proven]
    if not proven or events != history or len({each.event.subject for each in proven}) != 1:
        raise ArchiveError("history.json does not match the receipts; nothing was recorded")
    if state_document.document(_folded(proven)) != agreement:
        raise ArchiveError("agreement.json does not follow from history.json; nothing was recorded")
    return proven


def _proven(archive: PackedArchive, believed: LogPolicy) -> Iterator[RecordedInstruction]:
    names = [name for name in archive.files if name.startswith("receipts/")]
    numbered = sorted(int(n[9:-11]) for n in names if n != "receipts/state.tlog-proof")
    for index in numbered:
        parsed = receipt.parse(archive.files[f"receipts/{index}.tlog-proof"].decode())
        receipt.verify_under(parsed, believed)
        event = envelope.decode(canonical(parsed.extra["event"]))
        if parsed.index != index or not isinstance(event, Instruction):
            raise ArchiveError(f"receipts/{index}.tlog-proof is not of instruction {index}")
        yield RecordedInstruction(index, event)


def _folded(proven: Sequence[RecordedInstruction]) -> ConsentState:
    state = ConsentState(proven[0].event.subject)
    for each in proven:
        state = reducer.apply(state, each.event, each.index)
    return state


def _require_known(records: CustomerRecords, subject: str) -> None:
    """Raises ArchiveError if there is a table of customers, and this one is not in it."""
    some = next(each.name for each in records.source.items.values() if not each.provided)
    if records.tables is not None and records.tables.row(subject, [some]) is None:
        raise ArchiveError(
            "want an archive of a customer of the source, found one of another: nothing was "
            "recorded; add the customer's row to the source first"
        )


def _since(agreed: Sequence[RecordedInstruction], erased_at: datetime | None) -> frozenset[int]:
    """The instructions that were given after the customer was erased here: all, if never.

    Raises ArchiveError if there is none.
    """
    since = frozenset(e.index for e in agreed if erased_at is None or e.event.at > erased_at)
    if not since:
        raise ArchiveError(
            "the customer was erased here after the newest instruction of the archive: nothing was "
            "recorded; ask the customer"
        )
    return since


def _acts(
    scenes: Mapping[str, Scene],
    agreed: Sequence[RecordedInstruction],
    since: frozenset[int],
    before: Sequence[RecordedInstruction],
    digest: str,
) -> tuple[list[tuple[Act, Instruction]], tuple[str, ...]]:
    """The acts to record, each with its original instruction; and the scenes not imported."""
    own = (each.event for each in before if each.event.evidence != EvidenceClass.IMPORTED)
    decided = {each.act.scene for each in own if isinstance(each.act, SceneAct)}
    acts: list[tuple[Act, Instruction]] = []
    left: list[str] = []
    by_index = {each.index: each.event for each in agreed}
    for name, consent in _folded(agreed).scenes.items():
        scene = scenes.get(name)
        if scene is None or scene.locked:
            left.append(f"{name}: no such scene here")
        elif consent.index not in since:
            left.append(f"{name}: given before the customer was erased here")
        elif ended := _ended(consent, by_index[consent.index].at, before):
            left.append(f"{name}: given before {ended}")
        elif name in decided:
            left.append(f"{name}: the customer decided here themselves")
        elif not isinstance(consent, SceneConsent):
            acts.append((Withdrawn(name), by_index[consent.index]))
        elif fields := tuple(each for each in scene.fields if each in consent.fields):
            taken = Imported(name, fields, consent.until, f"archive:{digest}")
            acts.append((taken, by_index[consent.index]))
        else:
            left.append(f"{name}: none of its items exists here")
    return acts, tuple(left)


def _ended(
    consent: SceneConsent | SceneWithdrawal, at: datetime, before: Sequence[RecordedInstruction]
) -> str | None:
    """Which act of the company came after this instruction, if it ended what it allowed."""
    deleted = _folded(before).deleted if before else None
    if deleted is not None and at <= deleted.at:
        return "the company deleted the customer at its source"
    joined = reducer.joined_at(each.event for each in before)
    if joined is not None and isinstance(consent, SceneConsent) and at <= joined:
        return "the company merged, split or renamed the customer"
    return None


def _record(records: CustomerRecords, subject: str, acts: Sequence[tuple[Act, Instruction]]) -> int:
    drafts: list[Instruction] = []
    for act, rests in acts:
        about = Wording(rests.wording.locale, rests.wording.digest)
        drafts.append(
            drafts[-1].next(act, at=rests.at, wording=about)
            if drafts
            else records.ledger.draft(
                subject, act, at=rests.at, wording=about, evidence=EvidenceClass.IMPORTED
            )
        )
    return len(records.ledger.record(drafts))


def _known(before: Sequence[RecordedInstruction], digest: str) -> bool:
    return any(
        isinstance(each.event.act, Imported) and each.event.act.source == f"archive:{digest}"
        for each in before
    )


def _is_from(instruction: Instruction, digest: str) -> bool:
    act = instruction.act
    source = act.source if isinstance(act, Imported) else f"archive:{digest}"
    return instruction.evidence == EvidenceClass.IMPORTED and source == f"archive:{digest}"


def folder(home: Path, tagger: SubjectTagger, subject: str) -> Path:
    """The folder of the customer's imported archives."""
    return home / FOLDER / tagger.read_log_tag(subject, f"{_NAME}#index", 0).hex()


def _key(records: CustomerRecords, subject: str) -> bytes:
    secret = records.ledger.read_log_tag(subject, f"{_NAME}#seal", 0)
    return sha256(b"sovereign/imported-archive/v1\0" + secret).digest()


def _keep(records: CustomerRecords, subject: str, digest: str, data: bytes) -> None:
    nonce = os.urandom(_NONCE_SIZE)
    sealed = nonce + AESGCM(_key(records, subject)).encrypt(nonce, data, digest.encode())
    place = folder(records.home, records.ledger, subject)
    atomic_file.write(place / f"{digest}.sealed", sealed, atomic_file.OWNER_ONLY)


def _unsealed(records: CustomerRecords, subject: str, path: Path) -> bytes:
    sealed = path.read_bytes()
    key = AESGCM(_key(records, subject))
    return key.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], path.stem.encode())
