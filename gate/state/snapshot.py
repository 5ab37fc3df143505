"""Snapshots of the consent state on disk, for a fast start: a cache of the ledger.

A snapshot names the ledger prefix (size and root) and the contracts it was computed from; if either
differs, it is ignored and the ledger is replayed. It records who consented to what, so only the
file's owner may read it. One file, whose arrays are memory-mapped:

    SHA-256 of all that follows, 32 bytes ‖ length of the next, 8 bytes
    {"size":7,"root":"…","contracts":"…","arrays":[["text","|u1",21], …], …}
    the arrays, each from a multiple of 64 bytes on
"""

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gate.contracts.scene import Scene
from gate.contracts.triggers import ReportedSignal
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.consent_rows import Triggers
from gate.state.ledger_position import ConsentPoint
from gate.state.subjects import Subjects
from ledger.tlog import atomic_file

_FORMAT = 6
_ALIGNED = 64
_DIGEST = 32
_SPARE = 1024  # spare rows, so that a new customer does not force a copy of the arrays
_Array = npt.NDArray[Any]


class Rooted(Protocol):
    """A log whose earlier roots can still be computed."""

    @property
    def size(self) -> int: ...
    def root_at(self, size: int) -> str:
        """Base64 root of the first `size` entries."""
        ...


@dataclass(frozen=True, slots=True)
class StateCopy:
    """A copy of a consent state at one ledger position."""

    size: int
    erasures: int
    about: bytes
    arrays: Mapping[str, _Array]


def save(state: ConsentIndex, point: ConsentPoint, path: Path) -> None:
    """Write a snapshot atomically. Writes nothing while there are no customers."""
    if (taken := take(state, point)) is not None:
        write(taken, path)


def take(state: ConsentIndex, point: ConsentPoint) -> StateCopy | None:
    """Copy the state; None while there are no customers. The caller holds the state's lock."""
    if not state.subjects:
        return None
    arrays = _arrays(state)
    about: dict[str, Any] = {"format": _FORMAT, "size": point.size, "root": point.root}
    about["contracts"] = _contracts(state.scenes)
    about["key"] = state.subjects.key.hex()
    about["ended"], about["erasures"] = state.subjects.ended, state.erasures
    about["published"] = state.published
    about["reports"] = [[s, n, r.value, r.minute] for (s, n), r in state.reports.items()]
    about["arrays"] = [[name, each.dtype.str, len(each)] for name, each in arrays.items()]
    return StateCopy(point.size, state.erasures, json.dumps(about).encode(), arrays)


def write(taken: StateCopy, path: Path) -> None:
    """Write a snapshot atomically."""
    with atomic_file.writing(path, atomic_file.OWNER_ONLY) as file:
        _write(file, taken.about, taken.arrays)


def load(path: Path, scenes: Mapping[str, Scene], log: Rooted) -> ConsentIndex | None:
    """The state at the snapshot's ledger size; None if it is missing, damaged or outdated."""
    try:
        with path.open("rb") as file:
            digest = file.read(_DIGEST)
            if file_digest(file, "sha256").digest() != digest:
                return None
            file.seek(_DIGEST)
            about = json.loads(file.read(int.from_bytes(file.read(8))))
            if not _usable(about, scenes, log):
                return None
            arrays = dict(_mapped(path, about["arrays"], file.tell()))
            return _resumed(about, arrays, scenes)
    except (OSError, ValueError, KeyError, MemoryError):
        return None


def is_whole(path: Path) -> bool:
    """Whether the file has exactly the bytes that its digest is of. Raises OSError."""
    with path.open("rb") as file:
        digest = file.read(_DIGEST)
        return file_digest(file, "sha256").digest() == digest


def _arrays(state: ConsentIndex) -> dict[str, _Array]:
    names = state.subjects
    arrays: dict[str, _Array] = {
        "text": np.array(np.frombuffer(names.text, np.uint8)),
        "ends": np.array(np.frombuffer(names.ends, f"u{names.ends.itemsize}")),
        "slots": names.slots.copy(),
    }
    arrays |= {f"words/{scene}": _roomy(state.all_bits(scene)) for scene in state.scenes}
    arrays |= {f"indexes/{scene}": _roomy(state.indexes(scene)) for scene in state.scenes}
    people = state.people
    return arrays | {
        f"thresholds/{s}/{n}": _roomy(thresholds[:people])
        for (s, n), thresholds in state.thresholds.items()
    }


def _roomy(values: _Array) -> _Array:
    rows = len(values) + _SPARE + len(values) // 64
    made = np.zeros((rows, *values.shape[1:]), values.dtype)
    made[: len(values)] = values
    return made.reshape(-1)


def _write(file: BufferedRandom, about: bytes, arrays: Mapping[str, _Array]) -> None:
    file.write(bytes(_DIGEST) + len(about).to_bytes(8) + about)
    for each in arrays.values():
        file.write(bytes(-file.tell() % _ALIGNED))
        each.tofile(file)
    file.seek(_DIGEST)
    digest = file_digest(file, "sha256").digest()
    file.seek(0)
    file.write(digest)


def _mapped(path: Path, listed: list[list[Any]], at: int) -> Iterator[tuple[str, _Array]]:
    """Memory-map each array: pages load on access and are copied on write."""
    for name, kind, length in listed:
        at += -at % _ALIGNED
        if length:
            yield name, np.memmap(path, np.dtype(kind), "c", at, (length,)).view(np.ndarray)
        else:
            yield name, np.zeros(0, np.dtype(kind))
        at += np.dtype(kind).itemsize * length


def _resumed(
    about: Mapping[str, Any], arrays: dict[str, _Array], scenes: Mapping[str, Scene]
) -> ConsentIndex:
    key = bytes.fromhex(about["key"])
    text, raw_ends = bytearray(arrays.pop("text").data), arrays.pop("ends")
    ends = array("I" if raw_ends.itemsize == array("I").itemsize else "Q")
    ends.frombytes(raw_ends.data.cast("B"))
    return ConsentIndex.resumed(
        scenes,
        int(about["size"]),
        Subjects.resumed(key, text, ends, arrays["slots"], int(about["ended"])),
        {scene: _words(arrays[f"words/{scene}"], scenes[scene]) for scene in scenes},
        {scene: arrays[f"indexes/{scene}"] for scene in scenes},
        _triggers(about, arrays, scenes),
        int(about["erasures"]),
    )


def _words(stored: _Array, scene: Scene) -> _Array:
    """A scene of more words has a row of them for each customer."""
    words = consent_bits.words(len(scene.fields), len(scene.triggers))
    return stored if words == 1 else stored.reshape(-1, words)


def _triggers(
    about: Mapping[str, Any], arrays: Mapping[str, _Array], scenes: Mapping[str, Scene]
) -> Triggers:
    slots = [(scene.id, n) for scene in scenes.values() for n in range(len(scene.triggers))]
    thresholds = {(scene, n): arrays[f"thresholds/{scene}/{n}"] for scene, n in slots}
    reports = {(scene, n): ReportedSignal(value, at) for scene, n, value, at in about["reports"]}
    major_minor_patch = {s: (a, b, c) for s, (a, b, c) in about["published"].items()}
    return Triggers(thresholds, reports, major_minor_patch)


def _usable(about: Mapping[str, Any], scenes: Mapping[str, Scene], log: Rooted) -> bool:
    size = about["size"]
    same_words = about["format"] == _FORMAT and about["contracts"] == _contracts(scenes)
    return bool(same_words and 0 < size <= log.size and about["root"] == log.root_at(size))


def _contracts(scenes: Mapping[str, Scene]) -> str:
    """Which contracts the words were made under: a field's bit depends on them."""
    return sha256("".join(sorted(s.id + s.digest for s in scenes.values())).encode()).hexdigest()
