"""Manifests of training sets: the consents that a set rests on, and their verification (M14).

    {"at":"2026-11-21T12:00:00Z","contract":"9f2c…","entries":[[17,"5b0c…"],[40,"77aa…"]],
     "fields":["age","job"],"form":"urn:sovereign:manifest:1","model":"scoring-2",
     "origin":"bank.example/consent","root":"3d7b…=","scene":"ai-training","size":31337}

Canonical JSON. `entries`: for each customer in the set, the consent-log entry of their active grant
and its leaf hash, in log order, without names. `root`: the log's root at `size` entries. A customer
finds their own entry by the index on their receipt.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gate.contracts.scene import Scene
from gate.decision import eligibility
from gate.policy.compiled import compile_plan
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.erased import ErasedIds
from gate.state.followed import ConsentEntry
from ledger.events.acts import Limited
from ledger.events.envelope import (
    EntryErased,
    Granted,
    Imported,
    Instruction,
    SourceDeleted,
    SubjectErased,
    Withdrawn,
)
from ledger.reader import entries_at
from ledger.service import Ledger
from ledger.tlog import atomic_file, merkle
from ledger.vault.commitments import canonical

FORM = "urn:sovereign:manifest:1"
FOLDER = "manifests"  # home/manifests/<digest>.json: all manifests made here
_MEMBERS = {
    "at",
    "contract",
    "entries",
    "fields",
    "form",
    "model",
    "origin",
    "root",
    "scene",
    "size",
}
_HEX = 64


class ManifestError(ValueError):
    """The manifest is malformed or belongs to another log."""


class VetoedError(ManifestError):
    """Some entries are not active grants at the manifest's ledger size."""

    def __init__(self, entries: Sequence[int]) -> None:
        shown = ", ".join(map(str, entries[:8]))
        super().__init__(
            f"{len(entries)} entries ({shown}{' …' if len(entries) > 8 else ''}) are no active "  # noqa: PLR2004 - a line
            "grant at this size, want none such: the customer withdrew, or never allowed it; "
            "train again without them"
        )
        self.entries = entries


class Contracts(Protocol):
    def read(self, digest: str) -> Scene:
        """The contract as it was published. Raises ContractError."""
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    model: str
    origin: str
    scene: str
    contract: str  # digest
    fields: tuple[str, ...]
    at: datetime
    size: int  # entries of the consent log
    root: str  # base64
    entries: tuple[tuple[int, str], ...]  # index, hash of the leaf in hex

    def __bytes__(self) -> bytes:
        return canonical(
            {
                "at": f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
                "contract": self.contract,
                "entries": [[index, leaf] for index, leaf in self.entries],
                "fields": list(self.fields),
                "form": FORM,
                "model": self.model,
                "origin": self.origin,
                "root": self.root,
                "scene": self.scene,
                "size": self.size,
            }
        )

    @property
    def digest(self) -> str:
        return sha256(bytes(self)).hexdigest()


@dataclass(frozen=True, slots=True)
class Affected:
    """Entries of a manifest that were taken back since: pairs (entry, entry that ended it)."""

    manifest: Manifest
    vetoed: tuple[tuple[int, int], ...]
    erased: tuple[int, ...]  # entries that no longer decrypt

    def __bool__(self) -> bool:
        return bool(self.vetoed or self.erased)


def make(ledger: Ledger, scene: Scene, model: str, fields: Sequence[str], at: datetime) -> Manifest:
    """The manifest of all customers who now grant all of `fields` in the scene.

    Raises ManifestError for an invalid model name or invalid fields.
    """
    if not model.strip() or not model.isprintable():
        raise ManifestError(f"want a model's name, found {model[:20]!r}: give one")
    if not fields or (strange := sorted({*fields} - scene.fields.keys())):
        raise ManifestError(f"want some of {[*scene.fields]}, found {strange if fields else []}")
    at = at.astimezone(UTC).replace(microsecond=0)
    size, root = ledger.root()
    named = tuple(each for each in scene.fields if each in fields)
    indexes = sorted(_live(ledger, scene, named, size, at))
    leaves = merkle.leaf_hashes(entries_at(ledger.log, indexes))
    entries = tuple((index, leaf.hex()) for index, leaf in zip(indexes, leaves, strict=True))
    return Manifest(model, ledger.origin, scene.id, scene.digest, named, at, size, root, entries)


def verify(manifest: Manifest, ledger: Ledger, contracts: Contracts) -> int:
    """Verify a manifest; returns the number of entries whose customers were erased since.

    All others were active grants of all fields at the manifest's ledger size and time, under its
    contract. Raises VetoedError, ManifestError and ContractError.
    """
    require_in(manifest, ledger)
    scene = contracts.read(manifest.contract)
    if scene.id != manifest.scene:
        raise ManifestError(f"its contract is of {scene.id!r}, want {manifest.scene!r}")
    live = _live(ledger, scene, manifest.fields, manifest.size, manifest.at)
    missing = [index for index, _ in manifest.entries if index not in live]
    opens = _opened(ledger, {*missing})
    if vetoed := [index for index in missing if index in opens]:
        raise VetoedError(vetoed)
    return len(missing)


def require_in(manifest: Manifest, ledger: Ledger) -> None:
    """Check that every entry is in this log as the manifest says; needs no key.

    Raises ManifestError.
    """
    if manifest.origin != ledger.origin or not 0 <= manifest.size <= ledger.size:
        raise ManifestError(
            f"of {manifest.size} entries of {manifest.origin!r}, want at most {ledger.size} of "
            f"{ledger.origin!r}: check it where it was made"
        )
    if (root := ledger.root_at(manifest.size)) != manifest.root:
        raise ManifestError(f"the log's root at this size is {root}, want {manifest.root}")
    indexes = [index for index, _ in manifest.entries]
    leaves = merkle.leaf_hashes(entries_at(ledger.log, indexes)) if indexes else []
    for (index, want), leaf in zip(manifest.entries, leaves, strict=True):
        if leaf.hex() != want:
            raise ManifestError(f"entry {index} has the leaf {leaf.hex()}, want {want}")


def affected(manifest: Manifest, ledger: Ledger) -> Affected:
    """The entries taken back after the manifest's ledger size: withdrawn or granted with less.

    Expired grants are not included.
    """
    mine = {index for index, _ in manifest.entries}
    owners: dict[str, int] = {}
    opened: set[int] = set()
    vetoed: dict[int, int] = {}
    for each in ledger.follow(0):
        if not isinstance(instruction := each.event, Instruction):
            continue
        if each.index in mine:
            owners[instruction.subject] = each.index
            opened.add(each.index)
        elif each.index >= manifest.size and _takes_back(instruction, manifest, owners):
            vetoed.setdefault(owners[instruction.subject], each.index)
    erased = tuple(sorted(mine - opened))
    return Affected(manifest, tuple(sorted(vetoed.items())), erased)


def _takes_back(instruction: Instruction, manifest: Manifest, owners: Mapping[str, int]) -> bool:
    if instruction.subject not in owners:
        return False
    match instruction.act:
        case SourceDeleted():
            return True
        case Withdrawn(scene, None):
            return scene == manifest.scene
        case Withdrawn(scene, fields):
            return scene == manifest.scene and bool({*(fields or ())} & {*manifest.fields})
        case Granted(scene, fields) | Imported(scene, fields) | Limited(scene, fields):
            return scene == manifest.scene and not {*manifest.fields} <= {*fields}
        case _:
            return False


def keep(home: Path, manifest: Manifest) -> Path:
    """Store the manifest durably and return its path."""
    path = home / FOLDER / f"{manifest.digest}.json"
    atomic_file.write(path, bytes(manifest))
    return path


def stored(home: Path) -> list[Manifest]:
    """All manifests made here, oldest first. Raises ManifestError."""
    manifests = [parse(path.read_bytes()) for path in (home / FOLDER).glob("*.json")]
    return sorted(manifests, key=lambda each: (each.size, each.digest))


def parse(data: bytes) -> Manifest:
    """Parse a manifest in canonical form. Raises ManifestError."""
    try:
        parsed: Mapping[str, Any] = json.loads(data)
        made = _manifest(parsed)
        same = bytes(made) == data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ManifestError(f"want a manifest, found none: {error}"[:200]) from error
    if not same or parsed["form"] != FORM or parsed.keys() != _MEMBERS:
        raise ManifestError(f"want the canonical form of {FORM}, found another: make it again")
    indexes = [index for index, _ in made.entries]
    if indexes != sorted({*indexes}) or any(not 0 <= index < made.size for index in indexes):
        raise ManifestError("want entries below its size, each once and in order: make it again")
    return made


def _manifest(parsed: Mapping[str, Any]) -> Manifest:
    at = datetime.strptime(parsed["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    texts = [parsed[name] for name in ("model", "origin", "scene", "contract", "root")]
    if not all(isinstance(each, str) for each in (*texts, *parsed["fields"])):
        raise TypeError("a text is no text")
    entries = tuple((_number(index), _leaf(leaf)) for index, leaf in parsed["entries"])
    model, origin, scene, contract, root = texts
    fields = tuple(parsed["fields"])
    return Manifest(
        model, origin, scene, contract, fields, at, _number(parsed["size"]), root, entries
    )


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("a number is no integer")
    return value


def _leaf(value: str) -> str:
    if len(value) != _HEX or bytes.fromhex(value).hex() != value:
        raise ValueError("a leaf has another form")
    return value


def _live(ledger: Ledger, scene: Scene, fields: Sequence[str], size: int, at: datetime) -> set[int]:
    """The entries of active grants of all `fields`, after `size` entries, at time `at`."""
    state = ConsentIndex({scene.id: scene}, ErasedIds.of(ledger))
    state.catch_up(_Beginning(size, ledger))
    plan, minute = compile_plan("", scene, offered=(), release=None), consent_bits.minute(at)
    wanted = plan.mask(tuple(fields)) or 0
    stale = state.stale(scene.id, minute)
    members = eligibility.readable(plan, state.all_bits(scene.id), wanted, minute, stale)
    return {int(each) for each in np.asarray(state.indexes(scene.id))[members]}


def _opened(ledger: Ledger, indexes: set[int]) -> set[int]:
    return {each.index for each in ledger.follow(0) if each.index in indexes} if indexes else set()


@dataclass(frozen=True, slots=True)
class _Beginning:
    """The first `size` entries of a ledger, without those whose customers were erased."""

    size: int
    ledger: Ledger

    def follow(self, since: int) -> Iterator[ConsentEntry]:
        for each in self.ledger.follow(since):
            if each.index >= self.size:
                return
            if not isinstance(each.event, SubjectErased | EntryErased):
                yield each
