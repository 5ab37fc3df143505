"""The map of latest states and the log of its roots, kept beside a consent log.

    home/state.sqlite        the map's buckets, and the state log
    home/keys/state.key      its signing keys, owner only; keys/state.vkey: its verifier keys

The state log follows the consent log: `catch_up` puts what is new into the map and appends the
map's root, with size and root of the consent log it stands for. A proof catches up first, so it
never shows less than was recorded; and it says what it shows, so being late cannot be hidden.

Order of writes: buckets, then the entry that names their root. After a crash in between the map
is ahead of the log: the same instructions are put into it again, which changes nothing, and the
entry is appended. See specs/statemap.md, "Following".
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from threading import RLock

from ledger import consent, durable, event, mldsa, note, state, statemap, stateproof
from ledger.consent import ConsentState
from ledger.event import Instruction
from ledger.ledger import Ledger, Recorded
from ledger.log import CorruptLogError, Log
from ledger.note import Signing
from ledger.statemap import Change, StateMap
from ledger.stateproof import Shown, StateProof, StateRoot
from ledger.tree import EMPTY_ROOT, Hash

AT_ONCE = 65_536  # entries of the consent log that one entry of the state log takes in
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS bucket("
    "number INTEGER PRIMARY KEY, root BLOB NOT NULL, records BLOB NOT NULL)"
)


class UnknownSubjectError(LookupError):
    """Nothing was ever said by this subject, or their data key was destroyed."""


class StateLog:
    """Thread-safe; one process per home writes, the one that writes the ledger."""

    def __init__(self, home: Path, ledger: Ledger, *signers: Signing) -> None:
        self.log = Log.open(home / "state.sqlite", signers[0].name, *signers)
        self._ledger = ledger
        self._lock = RLock()
        self._buckets = _Buckets(home / "state.sqlite")
        self._map = StateMap(self._buckets.roots(), self._buckets.records)

    @classmethod
    def open(cls, home: Path, ledger: Ledger) -> "StateLog":
        """The state log in `home`; keys and tables are made on first use."""
        return cls(home, ledger, *_signers(home / "keys" / "state.key", f"{ledger.origin}/state"))

    def close(self) -> None:
        self._buckets.close()
        self.log.close()

    def newest(self) -> StateRoot:
        """The newest entry; that of an empty map if there is none."""
        size = self.log.size
        if not size:
            return StateRoot(0, EMPTY_ROOT, EMPTY_ROOT)
        [entry] = self.log.entries(size - 1, size)
        return stateproof.entry(json.loads(entry))

    def catch_up(self) -> StateRoot:
        """Take in all that was recorded; durable on return."""
        with self._lock:
            newest = self.newest()
            while newest.size < (size := self._ledger.size):
                newest = self._advance(newest.size, min(size, newest.size + AT_ONCE))
            return newest

    def prove(self, subject: str) -> StateProof:
        """The subject's latest state. Raises UnknownSubjectError."""
        with self._lock:
            newest = self.catch_up()
            said = self._said(subject, newest.size)
            if not said:
                raise UnknownSubjectError("nothing can be shown of this subject: no instruction")
            first, held = said[0].event, _folded(said)
            return self._prove(stateproof.label(event.encode(first)), self._shown(held))

    def prove_absence(self, label: bytes) -> StateProof:
        """That nothing is at the label. Raises UnknownSubjectError if something is."""
        with self._lock:
            self.catch_up()
            if self._map.value(label) is not None:
                raise UnknownSubjectError("something is at this label: ask for its subject's state")
            return self._prove(label, None)

    def findings(self) -> Iterator[str]:
        """What is wrong with the stored map and its newest entry, computed anew."""
        newest = self.newest()
        for number, root, records in self._buckets.rows():
            if statemap.bucket_root(records) != root:
                yield f"bucket {number} of the state map has another root than is stored"
        if self._map.root != newest.map:
            yield f"the state map is not the one of entry {self.log.size - 1} of the state log"
        if newest.size > self._ledger.size:
            yield f"the state log knows {newest.size} entries, there are {self._ledger.size}"
        elif self._ledger.log.root_at(newest.size) != newest.root:
            yield f"the state log was made for another history of {newest.size} entries"

    def _advance(self, since: int, upto: int) -> StateRoot:
        """Take in the entries [since, upto)."""
        values = {}
        for held, first in self._states(since, upto):
            values[stateproof.label(event.encode(first))] = self._shown(held).value
        change = self._map.change(values)
        self._buckets.write(change)
        # Crash here: the map is ahead; the next start puts the same values into it again.
        self._map.apply(change)
        entry = StateRoot(upto, self._ledger.log.root_at(upto), self._map.root)
        self.log.append([bytes(entry)])
        return entry

    def _states(self, since: int, upto: int) -> Iterator[tuple[ConsentState, Instruction]]:
        """States of all who said something in [since, upto), with their first instructions.

        Who said their first words here is folded on the way; of others, all is read again.
        """
        firsts, folded, others = dict[str, Instruction](), dict[str, ConsentState](), set[str]()
        for recorded in self._ledger.follow(since):
            said = recorded.event
            if recorded.index >= upto:
                break
            if not isinstance(said, Instruction):
                continue
            if said.seq == 1:
                firsts[said.subject] = said
            if said.subject in firsts:
                before = folded.get(said.subject)
                folded[said.subject] = consent.apply(before, said, recorded.index)
            else:
                others.add(said.subject)
        yield from ((held, firsts[subject]) for subject, held in folded.items())
        for subject in others:
            if history := self._said(subject, upto):
                yield _folded(history), _instruction(history[0])

    def _said(self, subject: str, upto: int) -> list[Recorded]:
        return [each for each in self._ledger.history(subject) if each.index < upto]

    def _shown(self, held: ConsentState) -> Shown:
        """The salt is derived from the customer's data key, so that erasure destroys it too."""
        tag = self._ledger.reading_tag(held.subject, self.log.origin, held.seq)
        return Shown(state.document(held), sha256(b"sovereign/state-salt/v1\x00" + tag).digest())

    def _prove(self, label: bytes, shown: Shown | None) -> StateProof:
        index, signed = self.log.size - 1, note.parse(self.log.checkpoint())
        path = tuple(self.log.prove_inclusion(index))
        return StateProof(shown, self._map.prove(label), self.newest(), index, path, signed)


class _Buckets:
    """The map's buckets in SQLite: fully persisted when `write` returns. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", _SCHEMA):
            self._database.execute(statement)

    def close(self) -> None:
        self._database.close()

    def roots(self) -> Mapping[int, Hash]:
        return dict(self._database.execute("SELECT number, root FROM bucket").fetchall())

    def rows(self) -> Iterator[tuple[int, Hash, bytes]]:
        yield from self._database.execute("SELECT number, root, records FROM bucket")

    def records(self, number: int) -> bytes:
        sql = "SELECT records FROM bucket WHERE number = ?"
        found = self._database.execute(sql, (number,)).fetchone()
        return found[0] if found else b""

    def write(self, change: Change) -> None:
        roots = change.nodes[-1]
        rows = [(number, roots[number], data) for number, data in change.buckets.items()]
        sql = "INSERT OR REPLACE INTO bucket(number, root, records) VALUES (?, ?, ?)"
        with self._database:  # one transaction
            self._database.executemany(sql, rows)


def _folded(history: list[Recorded]) -> ConsentState:
    held: ConsentState | None = None
    for each in history:
        held = consent.apply(held, _instruction(each), each.index)
    if held is None:
        raise CorruptLogError("a state of no instruction")
    return held


def _instruction(recorded: Recorded) -> Instruction:
    if not isinstance(recorded.event, Instruction):
        raise CorruptLogError(f"entry {recorded.index} is no instruction of a customer")
    return recorded.event


def _signers(path: Path, origin: str) -> list[Signing]:
    """The state log's keys, made on first use."""
    if not path.exists():
        first, second = note.generate(origin), mldsa.generate(origin)
        public = f"{first.verifier}\n{second.verifier}\n"
        durable.write(path.with_suffix(".vkey"), public.encode())
        # Crash here: verifier keys of nobody, which the next start replaces.
        secrets = f"{first.secret()}\n{second.secret()}\n"
        durable.write(path, secrets.encode(), durable.OWNER_ONLY)
    line, *others = path.read_text(encoding="ascii").splitlines()
    return [note.signer(line), *map(mldsa.signer, others)]
