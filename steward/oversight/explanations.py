"""Explained decisions: what a service decided about a customer, on which inputs, and why (M17).

An explanation names the read-log entries its inputs come from, by log and index. It is accepted
only if each entry was answered to this service about this customer and returned these inputs.
Everything about the customer is encrypted under their key, so the customer can read it, and erasing
the key erases it. Normative clauses: specs/health.md, "Explained decisions".
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from gate.decision.decide import View
from gate.readlog.batch_entry import BATCH, NAMED, POLICY
from gate.readlog.writer import pseudonym
from gate.storage.read_log import ReadLogDatabases
from ledger.tlog import tiles
from ledger.vault import commitments
from ledger.vault.commitments import EntryKeys
from steward.oversight.register import Register, RegisterEntry, SubjectTagger

EXPLAINED = "explained"
MAX_REASONS = 20
MAX_CHARACTERS = 2_000  # per reason and per value


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to the read-log entry that some inputs come from."""

    log: str
    index: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision. `inputs`: field -> value used. `prompt_version`: "" without one.

    `tokens`: how many the model read and wrote. `on_behalf_of`: id of the person for whom the
    service decided.
    """

    service: str
    outcome: str
    inputs: Mapping[str, str | int | bool | None]
    reasons: tuple[str, ...]
    model: str
    model_version: str
    prompt_version: str
    reading: Reference
    tokens: int | None = None
    on_behalf_of: str | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation as shown to its customer. `views`: the view of each input."""

    number: int
    at: datetime
    scene: str
    views: Mapping[str, str]
    explanation: Explanation


class ExplanationError(ValueError):
    """The explanation contradicts the read log or is malformed. Nothing was recorded."""


class ReadLogs(Protocol):
    def entry(self, log: str, index: int) -> Mapping[str, Any] | None:
        """One entry of a read log, or None if there is none."""
        ...


class StoredReadLogs:
    """All read logs under `home/reads`, including those of former gate instances."""

    def __init__(self, home: Path) -> None:
        self._logs = ReadLogDatabases(home)

    def entry(self, log: str, index: int) -> Mapping[str, Any] | None:
        instance = log.rpartition("/")[2]
        if index < 0 or instance not in self._logs.instances():
            return None
        with self._logs.get(instance).reader() as stored:
            at = stored.checkpoint()
            if at is None or at.origin != log or index >= at.size:
                return None
            entries = tiles.unbundle(stored.bundle(index // tiles.WIDTH))
            parsed: Mapping[str, Any] = json.loads(entries[index % tiles.WIDTH])
            return parsed


class Explanations:
    """Stores explanations in the register. Thread-safe."""

    def __init__(self, register: Register, logs: ReadLogs, tagger: SubjectTagger) -> None:
        self._register, self._logs, self._tagger = register, logs, tagger

    def attach(self, explanation: Explanation, subject: str, at: datetime) -> int:
        """Store an explanation and return its number. Durable when it returns.

        Raises ExplanationError, or UnsealableError for a customer without a key.
        """
        _require_shape(explanation)
        place = explanation.reading
        entry = self._logs.entry(place.log, place.index)
        self._require_true(explanation, subject, entry)
        assert entry is not None  # noqa: S101 - required above
        shown = {
            "service": explanation.service,
            "scene": entry["scene"],
            "model": explanation.model,
            "model-version": explanation.model_version,
            "prompt-version": explanation.prompt_version,
            "log": place.log,
            "index": place.index,
        }
        private: dict[str, Any] = {
            "outcome": explanation.outcome,
            "inputs": dict(explanation.inputs),
            "reasons": list(explanation.reasons),
            "views": {name: entry["views"][name] for name in explanation.inputs},
        }
        optional = {"tokens": explanation.tokens, "on_behalf_of": explanation.on_behalf_of}
        private |= {name: each for name, each in optional.items() if each is not None}
        with self._register.writing() as writing:
            return writing.append(EXPLAINED, subject, shown, private, at)

    def scene(self, reading: Reference) -> str | None:
        """The scene of an entry of a read log; None if there is no such entry, or it names none."""
        entry = self._logs.entry(reading.log, reading.index)
        return None if entry is None else entry.get("scene")

    def of(self, subject: str) -> list[Explained]:
        """All explained decisions about a customer, newest first."""
        entries = self._register.of(subject, EXPLAINED)
        return [_explained(entry, private) for entry, private in reversed(entries) if private]

    def _require_true(
        self, explanation: Explanation, subject: str, entry: Mapping[str, Any] | None
    ) -> None:
        place = explanation.reading
        if entry is None:
            raise ExplanationError(
                f"no entry {place.index} in {place.log}; name the answer's entry"
            )
        if entry["action"] in {BATCH, NAMED, POLICY}:
            raise ExplanationError(
                f"entry {place.index} of {place.log} is not about this customer alone; "
                "name the entry of a read of this one"
            )
        logged = entry["subject"] or ""
        if not self._is_about(subject, place, logged) or entry["service"] != explanation.service:
            raise ExplanationError(
                f"entry {place.index} of {place.log} was not answered to {explanation.service} "
                "about this customer; name the entry of your own read"
            )
        if strange := explanation.inputs.keys() - _answered(entry):
            raise ExplanationError(
                f"inputs {sorted(strange)} were not answered by entry {place.index}; it answered "
                f"{sorted(_answered(entry))}"
            )

    def _is_about(self, subject: str, place: Reference, tag: str) -> bool:
        """Whether an entry of a read log with this tag is about the customer."""
        if not commitments.is_openable(tag):
            return tag == self._tagger.read_log_tag(subject, place.log, place.index).hex()
        name = pseudonym(self._tagger, subject, place.log)
        keys = EntryKeys(commitments.position_key(name))
        return tag == commitments.entry_tag(keys.of(place.index))


def _answered(entry: Mapping[str, Any]) -> set[str]:
    return {name for name, view in entry["views"].items() if view != View.WITHHELD}


def _require_shape(explanation: Explanation) -> None:
    if not 0 < len(explanation.reasons) <= MAX_REASONS:
        raise ExplanationError(f"{len(explanation.reasons)} reasons, want 1 to {MAX_REASONS}")
    for what, text in _texts(explanation):
        if not text.strip() or len(text) > MAX_CHARACTERS:
            raise ExplanationError(f"{what} has {len(text)} characters, want 1 to {MAX_CHARACTERS}")
    for name, value in explanation.inputs.items():
        if not isinstance(value, str | int | None) or len(str(value)) > MAX_CHARACTERS:
            raise ExplanationError(
                f"input {name} is {type(value).__name__}, want a short text, a whole number, a "
                "truth value or nothing: write other figures as text"
            )


def _texts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    yield "outcome", explanation.outcome
    yield "model", explanation.model
    yield "model version", explanation.model_version
    yield from (("a reason", each) for each in explanation.reasons)


def _explained(entry: RegisterEntry, private: Mapping[str, Any]) -> Explained:
    shown = entry.open
    explanation = Explanation(
        shown["service"],
        private["outcome"],
        private["inputs"],
        tuple(private["reasons"]),
        shown["model"],
        shown["model-version"],
        shown["prompt-version"],
        Reference(shown["log"], shown["index"]),
        private.get("tokens"),
        private.get("on_behalf_of"),
    )
    return Explained(entry.number, entry.at, shown["scene"], private["views"], explanation)
