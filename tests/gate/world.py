"""A small real world for the gate: a ledger on disk, a DuckDB source, a journal, a release."""

import atexit
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import pyarrow as pa

from gate.factory import build
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.readlog.writer import Journal, JournalTagger
from gate.reads.point import Gate, GateOptions
from gate.reads.sources.duckdb import DuckDBSource
from gate.storage.read_log import ReadLogDatabase
from ledger.events.acts import OF_THE_COMPANY
from ledger.events.envelope import Act, Event, EvidenceClass, SignalReported, Wording
from ledger.service import Ledger
from ledger.tlog import signed_note
from tests.bank import BANK
from tests.gate.scenes import SCENES

LAW, POLICY = cedar.law_folder(), BANK / "policy"
INSTANCE = "reads-1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORDING = Wording("en", bytes(32))
PEOPLE = {
    "c1": {"age": 31, "job": "admin", "housing": "yes", "name": "Ada", "email": "ada@mail.example"},
    "c2": {"age": 44, "job": "other", "housing": "no", "name": "Bo", "email": "bo@mail.example"},
    "c3": {"age": 67, "job": "retired", "housing": "no", "name": "Cy", "email": "cy@mail.example"},
}
PLACES = {"location": "38.7,-9.1", "postcode_area": "LX01"}


@dataclass(frozen=True)
class Constant:
    """A release whose every value is recognisable: nothing in PEOPLE looks like it."""

    id: str = "release-constant"
    statement: str = "made of constants, fitted on nobody"
    values: dict[str, Any] = field(
        default_factory=lambda: {"age": 20, "job": "synthetic", "housing": "synthetic"}
    )

    def sample(self, rows: int, columns: Sequence[str]) -> Any:
        return pa.table({name: [self.values[name]] * rows for name in columns})

    def surrogate(self, columns: Sequence[str], key: bytes, subjects: Sequence[str]) -> Any:
        assert len(key) == 32
        return self.sample(len(subjects), columns)

    def conditional(
        self, columns: Sequence[str], evidence: Any, key: bytes, subjects: Sequence[str]
    ) -> Any:
        """Draws may depend on what is shown beside them, never on what they stand in for."""
        assert len(key) == 32
        assert not set(columns) & set(evidence.column_names)
        return self.sample(len(subjects), columns)


@dataclass
class World:
    ledger: Ledger
    gate: Gate
    history: list[Event] = field(default_factory=list)

    def says(self, subject: str, act: Act, at: datetime = NOON) -> int:
        """The customer instructs; the index of the entry."""
        company = type(act) in OF_THE_COMPANY
        evidence = EvidenceClass.IMPORTED if company else EvidenceClass.SESSION
        instruction = self.ledger.draft(subject, act, at=at, wording=WORDING, evidence=evidence)
        (recorded,) = self.ledger.record([instruction])
        self.history.append(instruction)
        return int(recorded.index)

    def reports(self, signal: str, value: int, at: datetime = NOON, source: str = "monitor") -> int:
        """A service reports a signal; the index of the entry."""
        report = SignalReported(source, signal, value, at)
        (recorded,) = self.ledger.announce([report])
        self.history.append(report)
        return int(recorded.index)


@cache
def shipped() -> CedarPolicy:
    """The product's own policy, checked once: the check runs in a process of its own."""
    return cedar.load(LAW, POLICY)


@cache
def source() -> DuckDBSource:
    """Everybody reads the same people: a source is read-only."""
    return DuckDBSource(people(Path(mkdtemp(prefix="people-")) / "people.duckdb"))


atexit.register(source.cache_clear)  # the engine wants to be closed before the interpreter ends


def people(path: Path) -> Path:
    with duckdb.connect(path) as connection:
        rows = pa.table(
            {"id": [*PEOPLE]}
            | {name: [p[name] for p in PEOPLE.values()] for name in PEOPLE["c1"]}
            | {name: [value] * len(PEOPLE) for name, value in PLACES.items()}
        )
        connection.register("people", rows)
        connection.execute("CREATE TABLE customer AS SELECT * FROM people")
    return path


def options(**parts: Any) -> GateOptions:
    """Options of a gate whose answers are practically never decided again.

    Several tests let gates with other contracts write to one journal, and each gate's crosscheck
    would see the entries of all.
    """
    return GateOptions(**{"crosscheck_every": 1 << 40} | parts)


def with_options(bank: World, **parts: Any) -> World:
    """The same ledger and journal, and a gate with other options."""
    releases = {scene: [made] for scene in SCENES if (made := bank.gate.release(scene))}
    gate = build(
        bank.ledger,
        bank.gate.source,
        bank.gate.scenes,
        bank.gate.journal,
        shipped(),
        bytes(32),
        releases=releases,
        options=options(**parts),
    )
    return World(bank.ledger, gate, bank.history)


def world(home: Path, *, release: bool = True) -> World:
    ledger = Ledger.open(home, origin="test.example/consent")
    ledger.create_keys([*PEOPLE])  # as the writer does for everybody whom the source knows
    gate = build(
        ledger,
        source(),
        SCENES,
        journal(home, ledger),
        shipped(),
        bytes(32),
        releases={"segmentation": [Constant()]} if release else {},
        options=options(),
    )
    return World(ledger, gate)


def journal(home: Path, tagger: JournalTagger, site: str = "test.example") -> Journal:
    """A new read log under `home`."""
    reads, origin = ReadLogDatabase(home, INSTANCE), f"{site}/{INSTANCE}"
    signer = signed_note.generate(origin)
    (home / "keys").mkdir(parents=True, exist_ok=True)
    (home / "keys" / f"{INSTANCE}.vkey").write_text(f"{signer.verifier}\n", "utf-8")
    return Journal(reads.log(origin, signer), tagger, reads)
