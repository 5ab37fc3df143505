"""Mutate whatever a verifier reads, and count what is still accepted: it must be nothing.

    python -m tests.ledger.mutations --count 1000000 --seed 1

Targets are valid notes, proofs, receipts, tiles and bundles; a mutation changes bytes or structure.
What is accepted is printed with the seed that makes it again.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from ledger import audit, checkpoint, cosignature, note, policy, receipt, statemap, stateproof, tree
from ledger import witness as witnessing
from ledger.cosignature import CosignatureError
from ledger.ledger import Ledger
from ledger.log import Log
from ledger.note import Note
from ledger.source import UnreadableError
from ledger.statemap import StateMap
from ledger.stateproof import Shown, StateProof, StateRoot
from tests.ledger.recorded import ledger_with
from tests.ledger.witnessing import NOON, ORIGIN, log_with, submission, witness_of

Check = Callable[[bytes], object]  # raises unless the bytes are accepted
Mutator = Callable[[bytes, random.Random], bytes]
REFUSALS = (ValueError, tree.ProofError, CosignatureError, UnreadableError, AssertionError)


@dataclass(frozen=True)
class Target:
    name: str
    data: bytes
    check: Check


class RefusedError(AssertionError):
    """A check that answers instead of raising has said no."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = perf_counter()
    with TemporaryDirectory() as home:
        found = list(accepted(Path(home), options.count, options.seed))
    for name, data in found:
        sys.stdout.write(f"ACCEPTED {name}: {data!r}\n")
    seconds = perf_counter() - start
    told = f"{options.count:,} mutations, seed {options.seed}: {len(found)} accepted"
    sys.stdout.write(f"{told} ({seconds:.0f} s)\n")
    sys.exit(1 if found else 0)


def accepted(home: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """The mutations that a verifier took for valid."""
    chosen = targets(home)
    for target in chosen:
        target.check(target.data)  # what is mutated was valid
    generator = random.Random(seed)
    for number in range(count):
        target = chosen[number % len(chosen)]
        changed = mutate(target.data, generator)
        if not _says_the_same(target.data, changed) and _accepts(target.check, changed):
            yield target.name, changed


def _says_the_same(original: bytes, changed: bytes) -> bool:
    """The order of signature lines says nothing, and lines by unknown keys must be ignored."""
    text, _, lines = original.rpartition(b"\n\n")
    changed_text, _, changed_lines = changed.rpartition(b"\n\n")
    return text == changed_text and {*lines.split(b"\n")} <= {*changed_lines.split(b"\n")}


def _accepts(check: Check, data: bytes) -> bool:
    try:
        check(data)
    except REFUSALS:
        return False
    return True


def mutate(data: bytes, generator: random.Random) -> bytes:
    """One to three changes, of bytes or of lines."""
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        data = generator.choice(MUTATORS)(data, generator)
    return data


def _place(data: bytes, generator: random.Random) -> int:
    return generator.randrange(len(data)) if data else 0


def _flip(data: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return (
        data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :]
        if data
        else b""
    )


def _replace(data: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] + bytes([generator.choice(INTERESTING)]) + data[at + 1 :]


def _insert(data: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + bytes([generator.choice(INTERESTING)]) + data[at:]


def _delete(data: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] + data[at + generator.choice((1, 1, 1, 2, 32, 33)) :]


def _cut(data: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] if generator.random() < 0.5 else data[at:]


def _copy(data: bytes, generator: random.Random) -> bytes:
    """A stretch of it a second time, elsewhere."""
    start, end = sorted((_place(data, generator), _place(data, generator)))
    at = _place(data, generator)
    return data[:at] + data[start : min(end, start + 200)] + data[at:]


def _lines(data: bytes, generator: random.Random) -> bytes:
    """Two lines swapped, one left out, or one doubled."""
    lines = data.split(b"\n")
    one, two = (generator.randrange(len(lines)) for _ in range(2))
    kind = generator.randrange(3)
    if kind == 0:
        lines[one], lines[two] = lines[two], lines[one]
    elif kind == 1:
        lines.pop(one)
    else:
        lines.insert(two, lines[one])
    return b"\n".join(lines)


def _spaces(data: bytes, generator: random.Random) -> bytes:
    """Space and line ends of other kinds, where there were some."""
    old, new = generator.choice(SPACES)
    return data.replace(old, new, generator.choice((1, -1)))


def _slack(data: bytes, generator: random.Random) -> bytes:
    """Another last letter of a base64 text, which decodes to the same bytes."""
    ends = [at for at in range(1, len(data)) if data[at] == 61 and data[at - 1] != 61]
    if not ends:
        return _flip(data, generator)
    at = generator.choice(ends) - 1
    return data[:at] + bytes([(data[at] + 1) % 256]) + data[at + 1 :]


INTERESTING = tuple(b"\x00\x01\n\r +-.019=A_a{\x7f\x80\xc2\xe2\xff")
SPACES = (
    (b"\n", b"\r\n"),
    (b"\n", b"\n\n"),
    (b"\n\n", b"\n"),
    (b" ", b"  "),
    (b" ", b"\t"),
    (b" ", b"\xc2\xa0"),
    (b"\n", b" \n"),
    (b"=", b""),
    (b"+", b"-"),
    (b"/", b"_"),
    (b"index ", b"index 0"),
    (b"index ", b"index +"),
    (b"\xe2\x80\x94", b"-"),
)
MUTATORS = (_flip, _replace, _insert, _delete, _cut, _copy, _lines, _spaces, _slack)


def targets(home: Path) -> list[Target]:
    """Something valid of each kind that a verifier reads."""
    log_key = note.generate(ORIGIN)
    log = log_with(home / "log", 300, log_key)
    log.export(home / "log/files")
    ledger = ledger_with(home / "ledger", customers=9)
    return [
        *_notes(log, log_key.verifier),
        *_proofs(log),
        *_files(log_key.verifier, home / "log/files"),
        *_receipts(ledger, home / "ledger/consent.policy"),
        *_states(home),
        _submission(log, log_key, home / "witness"),
    ]


def _notes(log: Log, key: note.Verifier) -> Iterator[Target]:
    yield Target("checkpoint", log.checkpoint().encode(), lambda data: _verify_note(data, [key]))
    witness = cosignature.generate("witness.example/w1")
    signed = note.parse(log.checkpoint())
    cosigned = Note(signed.text, (*signed.signatures, witness.cosign(signed.text, NOON)))

    def check(data: bytes) -> None:
        found = _verify_note(data, [key])
        witness.key.verify(found)

    yield Target("cosigned checkpoint", str(cosigned).encode(), check)
    yield Target("log's key", str(key).encode(), lambda data: note.verifier(data.decode()))
    vkey = str(witness.key).encode()
    yield Target("witness's key", vkey, lambda data: cosignature.key(data.decode()))


def _verify_note(data: bytes, keys: list[note.Verifier]) -> Note:
    found = note.parse(data.decode())
    note.verify(found, keys)
    checkpoint.parse(found.text)
    return found


def _proofs(log: Log) -> Iterator[Target]:
    head = log.head()
    [entry] = log.entries(7, 8)
    leaf = tree.leaf_hash(entry)
    yield Target(
        "inclusion proof",
        b"".join(log.prove_inclusion(7)),
        lambda data: tree.verify_inclusion(leaf, 7, head.size, head.root, _hashes(data)),
    )
    old = log.root_at(99)
    yield Target(
        "consistency proof",
        b"".join(log.prove_consistency(99)),
        lambda data: tree.verify_consistency(99, head.size, old, head.root, _hashes(data)),
    )


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def _files(key: note.Verifier, folder: Path) -> Iterator[Target]:
    """Each file of a published log, in an otherwise valid one."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    trust = audit.Trust([key])
    for path, data in files.items():
        yield Target(f"file {path}", data, _audit_with(files, path, trust))


def _audit_with(files: dict[str, bytes], path: str, trust: audit.Trust) -> Check:
    def check(data: bytes) -> None:
        report = audit.audit(_Changed(files, path, data), trust)
        if not report.clean:
            raise RefusedError

    return check


@dataclass(frozen=True)
class _Changed:
    files: dict[str, bytes]
    path: str
    data: bytes

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise UnreadableError(path, "not there")
        return self.data if path == self.path else self.files[path]


def _receipts(ledger: Ledger, trust: Path) -> Iterator[Target]:
    demanded = policy.parse(trust.read_bytes())

    def check(data: bytes) -> None:
        receipt.verify_under(receipt.parse(data.decode()), demanded)

    for index in (0, ledger.size - 1):
        yield Target(f"receipt {index}", ledger.receipt(index).encode(), check)


def _states(home: Path) -> Iterator[Target]:
    labels = {bytes([number]) * 32: Shown({"seq": number}, bytes(32)) for number in range(99)}
    buckets: dict[int, bytes] = {}
    made = StateMap({}, lambda numbers: {n: buckets[n] for n in numbers})
    change = made.change({where: shown.value for where, shown in labels.items()})
    buckets.update(change.buckets)
    made.apply(change)
    signer = note.generate("ledger.example/state")
    log = Log.open(home / "state.sqlite", signer.name, signer)
    entry = StateRoot(99, bytes(32), change.root)
    log.append([b"older", bytes(entry)])
    for name, where in (("presence", b"\x07" * 32), ("absence", b"\xee" * 32)):
        shown, proof = labels.get(where), made.prove(where)
        path, signed = tuple(log.prove_inclusion(1)), note.parse(log.checkpoint())
        whole = StateProof(shown, proof, entry, 1, path, signed)
        yield Target(f"map {name}", bytes(proof), _map_check(where, shown, made.root))
        yield Target(f"state {name}", str(whole).encode(), _state_check(where, signer.verifier))


def _map_check(where: bytes, shown: Shown | None, root: bytes) -> Check:
    def check(data: bytes) -> None:
        proof = statemap.parse(data)
        if shown is None:
            statemap.verify_absence(where, root, proof)
        else:
            statemap.verify_presence(where, shown.value, root, proof)

    return check


def _state_check(where: bytes, key: note.Verifier) -> Check:
    return lambda data: stateproof.verify(stateproof.parse(data.decode()), where, [key])


def _submission(log: Log, key: note.Signer, folder: Path) -> Target:
    """What a witness is sent, judged afresh each time."""
    signed = note.parse(log.checkpoint())
    folder.mkdir()
    smaller = log_with(folder, 99, key)
    witness = witness_of(folder / "witness", key)
    witness.add_checkpoint(submission(smaller, 0))
    data = submission(log, 99)
    seen, trusted = (99, log.root_at(99)), [key.verifier]

    def check(changed: bytes) -> None:
        found = witnessing.parse(changed)
        note.verify(found.note, trusted)
        if witnessing._compare(found, seen) is not None:
            raise RefusedError

    assert signed.text in data.decode()
    return Target("submission", data, check)


if __name__ == "__main__":
    main()
