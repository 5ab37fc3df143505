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

from gate.contract import Scene
from ledger import consent, durable, event, policy, receipt, state
from ledger.commitment import canonical
from ledger.consent import ConsentState, SceneConsent
from ledger.event import Act, Evidence, Imported, Instruction, SceneAct, Withdrawn, Wording
from ledger.policy import Policy, PolicyError
from ledger.reader import Said
from ledger.receipt import ReceiptError
from portal.archive import pack
from portal.archive.holding import Holding
from portal.archive.pack import Archive, ArchiveError, Part
from steward.register import Tagger

FOLDER = Path("archives") / "imported"
_NAME = "imported-archive"  # under which customers' keys are derived from
_NONCE_SIZE = 12
_OURS = {"agreement.json", "history.json", "history.csv"}  # and receipts, trust: of this house


@dataclass(frozen=True, slots=True)
class Taken:
    subject: str
    digest: str
    recorded: int  # instructions of class D
    left: tuple[str, ...]  # scenes that stay as they are here, each with the reason


def take(held: Holding, data: bytes, trusted: Policy | None = None) -> Taken:
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
    return Taken(subject, digest, recorded, left)


def kept(held: Holding, subject: str) -> Mapping[str, bytes]:
    """The archives of other houses that were taken in for this customer: digest -> bytes."""
    found = sorted(folder(held.home, held.ledger, subject).glob("*.sealed"))
    return {path.stem: _unsealed(held, subject, path) for path in found}


def unchanged(
    brought: Mapping[str, bytes], history: Sequence[Said], parts: Sequence[Part]
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


def _agreement(found: Archive, trusted: Policy | None) -> list[Said]:
    """The instructions of the archive, as its receipts prove them. Raises ArchiveError."""
    try:
        believed = trusted or policy.parse(found.files["trust/consent.policy"])
        proven = [*_proven(found, believed)]
        agreement = json.loads(found.files["agreement.json"])
        history = json.loads(found.files["history.json"])
    except (KeyError, ValueError, PolicyError, ReceiptError) as error:
        raise ArchiveError(f"its receipts prove nothing: {error}; nothing was recorded") from error
    said = [{"index": each.index, **json.loads(event.encode(each.event))} for each in proven]
    if not proven or said != history or len({each.event.subject for each in proven}) != 1:
        raise ArchiveError("its history is not what its receipts prove; nothing was recorded")
    if state.document(_folded(proven)) != agreement:
        raise ArchiveError("its agreement is not what its history adds up to; nothing was recorded")
    return proven


def _proven(found: Archive, believed: Policy) -> Iterator[Said]:
    names = [name for name in found.files if name.startswith("receipts/")]
    numbered = sorted(int(n[9:-11]) for n in names if n != "receipts/state.tlog-proof")
    for index in numbered:
        parsed = receipt.parse(found.files[f"receipts/{index}.tlog-proof"].decode())
        receipt.verify_under(parsed, believed)
        said = event.decode(canonical(parsed.extra["event"]))
        if parsed.index != index or not isinstance(said, Instruction):
            raise ArchiveError(f"receipts/{index}.tlog-proof is of something else")
        yield Said(index, said)


def _folded(proven: Sequence[Said]) -> ConsentState:
    held = ConsentState(proven[0].event.subject)
    for each in proven:
        held = consent.apply(held, each.event, each.index)
    return held


def _acts(
    scenes: Mapping[str, Scene], agreed: Sequence[Said], before: Sequence[Said], digest: str
) -> tuple[list[tuple[Act, Instruction]], tuple[str, ...]]:
    """What to record, each with the instruction it rests on; and the scenes that are left."""
    said = (each.event for each in before if each.event.evidence != Evidence.IMPORTED)
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


def _record(held: Holding, subject: str, acts: Sequence[tuple[Act, Instruction]]) -> int:
    drafts: list[Instruction] = []
    for act, rests in acts:
        about = Wording(rests.wording.locale, rests.wording.digest)
        drafts.append(
            drafts[-1].next(act, at=rests.at, wording=about)
            if drafts
            else held.ledger.draft(
                subject, act, at=rests.at, wording=about, evidence=Evidence.IMPORTED
            )
        )
    return len(held.ledger.record(drafts))


def _known(before: Sequence[Said], digest: str) -> bool:
    return any(
        isinstance(each.event.act, Imported) and each.event.act.source == f"archive:{digest}"
        for each in before
    )


def _brought(said: Instruction, digest: str) -> bool:
    source = said.act.source if isinstance(said.act, Imported) else f"archive:{digest}"
    return said.evidence == Evidence.IMPORTED and source == f"archive:{digest}"


def folder(home: Path, tagger: Tagger, subject: str) -> Path:
    """Where the customer's archives of other houses lie."""
    return home / FOLDER / tagger.reading_tag(subject, f"{_NAME}#index", 0).hex()


def _key(held: Holding, subject: str) -> bytes:
    secret = held.ledger.reading_tag(subject, f"{_NAME}#seal", 0)
    return sha256(b"sovereign/imported-archive/v1\0" + secret).digest()


def _keep(held: Holding, subject: str, digest: str, data: bytes) -> None:
    nonce = os.urandom(_NONCE_SIZE)
    sealed = nonce + AESGCM(_key(held, subject)).encrypt(nonce, data, digest.encode())
    place = folder(held.home, held.ledger, subject)
    durable.write(place / f"{digest}.sealed", sealed, durable.OWNER_ONLY)


def _unsealed(held: Holding, subject: str, path: Path) -> bytes:
    sealed = path.read_bytes()
    key = AESGCM(_key(held, subject))
    return key.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], path.stem.encode())
