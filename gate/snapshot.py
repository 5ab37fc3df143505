"""The consent state on disk, for a fast start: a cache of the ledger, never a source.

A snapshot says which ledger prefix it was folded from (size and root) and under which contracts;
if either differs, it is not used and the ledger is replayed. It holds who consented to what, so it
is the owner's alone.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from gate.contract import Scene
from gate.journal import ConsentPoint
from gate.signal import Report
from gate.state import ConsentState, Triggers

_FORMAT = 3


class Rooted(Protocol):
    """A log whose earlier roots can still be computed."""

    @property
    def size(self) -> int: ...
    def root_at(self, size: int) -> str:
        """Base64 root of the first `size` entries."""
        ...


def save(state: ConsentState, point: ConsentPoint, path: Path) -> None:
    """Write a snapshot so that a reader sees all of it or the one before.

    Nothing is written while nobody has said anything: there is nothing to save.
    """
    if not state.subjects:
        return
    about: dict[str, Any] = {"format": _FORMAT, "size": point.size, "root": point.root}
    about["contracts"] = _contracts(state.scenes)
    subjects = np.frombuffer("\n".join(state.subjects).encode(), np.uint8)
    arrays: dict[str, Any] = {f"words/{scene}": state.words(scene) for scene in state.scenes}
    arrays |= {f"indexes/{scene}": state.indexes(scene) for scene in state.scenes}
    arrays |= {
        f"thresholds/{s}/{n}": t[: len(state.subjects)] for (s, n), t in state.thresholds.items()
    }
    about["published"] = state.published
    about["reports"] = [[s, n, r.value, r.minute] for (s, n), r in state.reports.items()]
    unfinished = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        about_bytes = np.frombuffer(json.dumps(about).encode(), np.uint8)
        np.savez(file, about=about_bytes, subjects=subjects, **arrays)
    unfinished.rename(path)


def load(path: Path, scenes: Mapping[str, Scene], log: Rooted) -> ConsentState | None:
    """The state at the snapshot's ledger size, or None if it cannot be used here."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            about = json.loads(held["about"].tobytes())
            if not _usable(about, scenes, log):
                return None
            subjects = held["subjects"].tobytes().decode().split("\n")
            triggers = _triggers(about, held, scenes)
            words = {scene: held[f"words/{scene}"] for scene in scenes}
            indexes = {scene: held[f"indexes/{scene}"] for scene in scenes}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return ConsentState.resumed(scenes, int(about["size"]), subjects, words, indexes, triggers)


def _triggers(
    about: Mapping[str, Any], held: Mapping[str, Any], scenes: Mapping[str, Scene]
) -> Triggers:
    slots = [(scene.id, n) for scene in scenes.values() for n in range(len(scene.triggers))]
    thresholds = {(scene, n): held[f"thresholds/{scene}/{n}"] for scene, n in slots}
    reports = {(scene, n): Report(value, at) for scene, n, value, at in about["reports"]}
    major_minor_patch = {s: (a, b, c) for s, (a, b, c) in about["published"].items()}
    return Triggers(thresholds, reports, major_minor_patch)


def _usable(about: Mapping[str, Any], scenes: Mapping[str, Scene], log: Rooted) -> bool:
    size = about["size"]
    same_words = about["format"] == _FORMAT and about["contracts"] == _contracts(scenes)
    return bool(same_words and 0 < size <= log.size and about["root"] == log.root_at(size))


def _contracts(scenes: Mapping[str, Scene]) -> str:
    """Which contracts the words were made under: a field's bit depends on them."""
    return sha256("".join(sorted(s.id + s.digest for s in scenes.values())).encode()).hexdigest()
