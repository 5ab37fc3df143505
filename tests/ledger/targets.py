"""What mutations are tried on: something valid of each kind that a verifier reads."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger import evidence_builder
from ledger.events import canonical_json, instruction_signature
from ledger.events.envelope import KeyEnrolled
from ledger.service import Ledger
from ledger.statemap import map_proof, verifiable_map
from ledger.statemap.map_proof import StateOpening, StateProof, StateRoot
from ledger.statemap.verifiable_map import StateMap
from ledger.storage.witness_store import Seen
from ledger.tlog import (
    auditor,
    checkpoint,
    cosignature,
    merkle,
    mldsa,
    policy,
    rfc3161,
    signed_note,
)
from ledger.tlog.compact_range import Frontier
from ledger.tlog.cosignature import CosignatureError, WitnessKey
from ledger.tlog.fetcher import UnreadableError
from ledger.tlog.policy import CosignerKey, LogKey
from ledger.tlog.rfc3161 import TimestampAuthority, TimestampError
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import Log
from ledger.verify import evidence, receipt
from ledger.witness import witness as witnessing
from tests.ledger.events import GRANTED
from tests.ledger.events import ORIGIN as SIGNED_ORIGIN
from tests.ledger.hands import Passkey, give
from tests.ledger.judges import JUDGES
from tests.ledger.mutators import LINES, Mutator, entries, records, steps
from tests.ledger.published import PublishedFiles, published
from tests.ledger.recorded import ledger_with
from tests.ledger.witnessing import NOON, ORIGIN, log_with, submission, witness_of

VECTORS = Path(__file__).parents[2] / "specs/vectors"
SEEN = 99  # entries that an auditor saw before
REFUSALS = (ValueError, merkle.ProofError, CosignatureError, UnreadableError, TimestampError)
Check = Callable[[bytes], object]  # raises one of REFUSALS unless the bytes are accepted
Key = LogKey | CosignerKey


@dataclass(frozen=True)
class Target:
    kind: str  # parts of others of its kind are put into it
    name: str
    data: bytes
    check: Check
    mutators: tuple[Mutator, ...] = ()
    asked: tuple[Key, ...] = ()  # whose signatures are checked, if it ends with a signed note
    reads: Callable[[bytes], Hashable] = bytes  # what the verifier relies on, of all but signatures

    def meaning(self, data: bytes, made: frozenset[bytes]) -> Hashable:
        """What a verifier that accepts `data` relies on, if these signature lines were made."""
        if not self.asked:
            return self.reads(data)
        text, _, signatures = data.rpartition(b"\n\n")
        asked = {(each.name.encode(), each.key_id) for each in self.asked}
        mine = {line for line in signatures.split(b"\n")[:-1] if _by(line) in asked}
        return self.reads(text), frozenset(mine - made)


class RefusedError(ValueError):
    """A check that returns a reason instead of raising has refused."""


def _by(line: bytes) -> tuple[bytes, bytes]:
    _, name, encoded = line.split(b" ")
    return name, b64decode(encoded)[:4]


def targets(home: Path) -> list[Target]:
    """Those of the vectors, then those made for this run in the folder `home`."""
    return [*(each for name in _OF_VECTORS for each in targets_of(name)), *_made(home)]


def targets_of(name: str) -> Iterator[Target]:
    """The valid cases of a file of vectors."""
    for case in json.loads((VECTORS / f"{name}.json").read_text()):
        if case["mutation"] is None:
            yield _OF_VECTORS[name](name, case)


def _text_of(
    member: str, kind: str, asked: Callable[[dict[str, Any]], Iterable[Key]]
) -> Callable[[str, dict[str, Any]], Target]:
    """A target whose text is a member of the case."""

    def target(name: str, case: dict[str, Any]) -> Target:
        def check(data: bytes) -> None:
            JUDGES[name](case | {member: data.decode()})

        told = f"{name} vector, {case['case']}"
        return Target(kind, told, case[member].encode(), check, LINES, (*asked(case),))

    return target


def _keys(case: dict[str, Any]) -> Iterator[Key]:
    return (policy.log_key(vkey) for vkey in case["keys"])


def _witness(case: dict[str, Any]) -> Iterator[Key]:
    yield cosignature.key(case["key"])


def _believed(case: dict[str, Any]) -> Iterator[Key]:
    return _asked(policy.parse(case["policy"].encode()))


def _asked(trusted: policy.LogPolicy) -> Iterator[Key]:
    yield from trusted.logs
    yield from trusted.witnesses.values()


def _hex_of(member: str, mutator: Mutator) -> Callable[[str, dict[str, Any]], Target]:
    """A target whose bytes are a member of the case, in hexadecimal."""

    def target(name: str, case: dict[str, Any]) -> Target:
        def check(data: bytes) -> None:
            JUDGES[name](case | {member: data.hex()})

        told = f"{name} vector, {case['case']}"
        return Target(name, told, bytes.fromhex(case[member]), check, (mutator,))

    return target


def _proof_of(name: str, case: dict[str, Any]) -> Target:
    def check(data: bytes) -> None:
        JUDGES[name](case | {"proof": [each.hex() for each in _hashes(data)]})

    data = bytes.fromhex("".join(case["proof"]))
    return Target(name, f"{name} vector", data, check, (records,))


def _token_of(name: str, case: dict[str, Any]) -> Target:
    authority = TimestampAuthority(rfc3161.certificates(case["root"].encode()))

    def read(data: bytes) -> Hashable:
        return rfc3161.verify(data, Note(case["text"], ()), authority)

    def check(data: bytes) -> None:
        JUDGES[name](case | {"token": b64encode(data).decode()})

    return Target(name, "timestamp vector", b64decode(case["token"]), check, (), (), read)


def _signature_of(name: str, case: dict[str, Any]) -> Target:
    def check(data: bytes) -> None:
        JUDGES[name](case | {"signature": data.decode()})

    told = f"{name} vector, {case['case']}"
    return Target("signature", told, case["signature"].encode(), check, LINES, (), _given)


def _given(data: bytes) -> Hashable:
    """What a signature says, however its JSON is written."""
    return instruction_signature.parse(canonical_json.parse(data))


def _submission_of(name: str, case: dict[str, Any]) -> Target:
    before = case["before"] and witnessing.parse(case["before"].encode()).head
    seen = (before.size, before.root) if before else (0, merkle.EMPTY_ROOT)
    keys = [signed_note.verifier(vkey) for vkey in case["keys"]]
    return _submitted(f"{name} vector, {case['case']}", case["submission"].encode(), seen, keys)


_OF_VECTORS: dict[str, Callable[[str, dict[str, Any]], Target]] = {
    "note": _text_of("note", "note", _keys),
    "mldsa": _text_of("note", "note", _keys),
    "cosignature": _text_of("note", "note", _witness),
    "policy": _text_of("note", "note", _believed),
    "receipt": _text_of("receipt", "receipt", _believed),
    "state": _text_of("proof", "state", _keys),
    "tile": _hex_of("tile", records),
    "bundle": _hex_of("bundle", entries),
    "map": _hex_of("proof", steps),
    "inclusion": _proof_of,
    "consistency": _proof_of,
    "submission": _submission_of,
    "instruction": _signature_of,
    "timestamp": _token_of,
}


def _made(home: Path) -> Iterator[Target]:
    key, pq = signed_note.generate(ORIGIN), mldsa.generate(ORIGIN)
    log = log_with(home / "log", 300, key)
    yield from _proofs(log)
    yield _submission(log, key, home / "witness")
    yield from _histories(log, key)
    log.export(home / "log/files")
    yield from _files(key.verifier, home / "log/files")
    log.sign_with(key, pq)
    log.append([b"signed by both"])
    yield from _notes(log, [key.verifier, pq.verifier])
    ledger = ledger_with(home / "ledger", customers=9)
    yield from _receipts(ledger, home / "ledger/consent.policy")
    yield from _states(home)
    yield from _evidence(home / "evidence")


def _evidence(home: Path) -> Iterator[Target]:
    """Of each instruction of one customer, after the logs' keys were rotated."""
    hand, ledger = Passkey(), Ledger.open(home, origin=SIGNED_ORIGIN)
    trusted = [policy.parse((home / f"{log}.policy").read_bytes()) for log in ("consent", "state")]
    give(ledger, KeyEnrolled(hand.key))
    ledger.rotate(home, NOON)
    give(ledger, GRANTED, hand)

    def proven(data: bytes) -> Hashable:
        return repr(evidence.verify(evidence.parse(data.decode()), trusted))

    for seq in (1, 2):
        data = str(evidence_builder.build_evidence(ledger, home, "c1", seq)).encode()
        yield Target("evidence", f"evidence of {seq}", data, proven, LINES, (), proven)
    ledger.close()


def _notes(log: Log, keys: list[LogKey]) -> Iterator[Target]:
    witness = cosignature.generate("witness.example/w1")
    text = signed_note.parse(log.checkpoint()).text
    signed = str(
        Note(text, (*signed_note.parse(log.checkpoint()).signatures, witness.cosign(text, NOON)))
    )

    def check(data: bytes) -> None:
        found = signed_note.parse(data.decode())
        signed_note.verify(found, keys)
        checkpoint.parse(found.text)
        witness.key.verify(found)

    yield Target("note", "cosigned checkpoint", signed.encode(), check, LINES, (*keys, witness.key))
    for each in (*keys, witness.key):
        parse = cosignature.key if isinstance(each, WitnessKey) else policy.log_key
        yield Target("key", f"key of {each.name}", str(each).encode(), _reader(parse), LINES)


def _reader(parse: Callable[[str], object]) -> Check:
    return lambda data: parse(data.decode())


def _proofs(log: Log) -> Iterator[Target]:
    head = log.head()
    for index in (0, 7, 299):
        yield _inclusion(merkle.leaf_hash(*log.entries(index, index + 1)), index, head, log)
    for size in (1, 99, 256):
        yield _consistency(log.root_at(size), size, head, log)


def _inclusion(leaf: bytes, index: int, head: checkpoint.Checkpoint, log: Log) -> Target:
    def check(data: bytes) -> None:
        merkle.verify_inclusion(leaf, index, head.size, head.root, _hashes(data))

    proof = b"".join(log.prove_inclusion(index))
    return Target("inclusion", f"inclusion of {index}", proof, check, (records,))


def _consistency(root: bytes, size: int, head: checkpoint.Checkpoint, log: Log) -> Target:
    def check(data: bytes) -> None:
        merkle.verify_consistency(size, head.size, root, head.root, _hashes(data))

    proof = b"".join(log.prove_consistency(size))
    return Target("consistency", f"consistency from {size}", proof, check, (records,))


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def _files(key: signed_note.Verifier, folder: Path) -> Iterator[Target]:
    """Each file of a published log, in an otherwise valid one."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    trust = auditor.KeyDemand([key])
    for path, data in files.items():
        check = _audit_with(files, path, trust)
        if path == "checkpoint":
            yield Target("note", f"file {path}", data, check, LINES, (key,))
        else:
            kind = "bundle" if "entries" in path else "tile"
            yield Target(kind, f"file {path}", data, check, (entries, records))


def _audit_with(files: dict[str, bytes], path: str, trust: auditor.KeyDemand) -> Check:
    def check(data: bytes) -> None:
        if not auditor.audit(PublishedFiles(files | {path: data}), trust).clean:
            raise RefusedError

    return check


def _histories(log: Log, key: signed_note.Signer) -> Iterator[Target]:
    """All entries of a log, published again after a mutation, with matching tiles and bundles.

    Under the checkpoint that was signed, nothing else may be published. If the log's own key signs
    the other history, an auditor who saw the first `SEEN` entries finds it, unless it keeps these.
    """
    before, trust = _signed_by(key, [*log.entries(0, SEEN)]), auditor.KeyDemand([key.verifier])
    data = b"".join(len(each).to_bytes(2) + each for each in log.entries(0, log.size))
    shown = log.checkpoint()

    def as_it_was(data: bytes) -> None:
        _require_clean(published(_read(data), shown), trust, None)

    def signed_again(data: bytes) -> None:
        found = _read(data)
        _require_clean(published(found, _signed_by(key, found)), trust, before)

    yield Target("log", "history", data, as_it_was, (entries,))
    name, kept = "history that is signed again", _kept
    yield Target("log signed again", name, data, signed_again, (entries,), (), kept)


def _read(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data):
            raise RefusedError
        found.append(data[at + 2 : end])
        at = end
    return found


def _kept(data: bytes) -> Hashable:
    return tuple(_read(data)[:SEEN])


def _signed_by(key: signed_note.Signer, found: list[bytes]) -> str:
    frontier = Frontier()
    frontier.append(merkle.leaf_hashes(found))
    return str(
        signed_note.sign(str(checkpoint.Checkpoint(ORIGIN, len(found), frontier.root())), [key])
    )


def _require_clean(files: dict[str, bytes], trust: auditor.KeyDemand, seen: str | None) -> None:
    if not auditor.audit(PublishedFiles(files), trust, seen).clean:
        raise RefusedError


def _receipts(ledger: Ledger, trust: Path) -> Iterator[Target]:
    """Signed by both keys of the ledger, as its own policy demands."""
    demanded = policy.parse(trust.read_bytes())

    def check(data: bytes) -> None:
        receipt.verify_under(receipt.parse(data.decode()), demanded)

    for index in (0, 5, ledger.size - 1):
        data = ledger.receipt(index).encode()
        yield Target("receipt", f"receipt {index}", data, check, LINES, (*_asked(demanded),))


def _states(home: Path) -> Iterator[Target]:
    labels = {
        bytes([number]) * 32: StateOpening({"seq": number + 1}, bytes(32)) for number in range(99)
    }
    buckets: dict[int, bytes] = {}
    made = StateMap({}, lambda numbers: {n: buckets[n] for n in numbers})
    change = made.change({where: shown.value for where, shown in labels.items()})
    buckets.update(change.buckets)
    made.apply(change)
    signers = signed_note.generate("ledger.example/state"), mldsa.generate("ledger.example/state")
    log = Log.open(home / "state.sqlite", signers[0].name, *signers)
    entry = StateRoot(99, bytes(32), change.root)
    log.append([b"older", bytes(entry)])
    keys = [each.verifier for each in signers]
    for name, where in (("presence", b"\x07" * 32), ("absence", b"\xee" * 32)):
        shown, proof = labels.get(where), made.prove(where)
        path, signed = tuple(log.prove_inclusion(1)), signed_note.parse(log.checkpoint())
        whole = str(StateProof(shown, proof, entry, 1, path, signed)).encode()
        in_map = _map_check(where, shown, made.root)
        yield Target("map", f"map {name}", bytes(proof), in_map, (steps,))
        yield Target("state", f"state {name}", whole, _state_check(where, keys), LINES, (*keys,))


def _map_check(where: bytes, shown: StateOpening | None, root: bytes) -> Check:
    def check(data: bytes) -> None:
        proof = verifiable_map.parse(data)
        if shown is None:
            verifiable_map.verify_absence(where, root, proof)
        else:
            verifiable_map.verify_presence(where, shown.value, root, proof)

    return check


def _state_check(where: bytes, keys: Sequence[LogKey]) -> Check:
    return lambda data: map_proof.verify(map_proof.parse(data.decode()), where, keys)


def _submission(log: Log, key: signed_note.Signer, folder: Path) -> Target:
    """What a witness is sent that remembers a smaller log."""
    folder.mkdir()
    witness = witness_of(folder / "witness", key)
    witness.add_checkpoint(submission(log_with(folder, 99, key), 0))
    seen = (99, log.root_at(99))
    return _submitted("submission", submission(log, 99), seen, [key.verifier])


def _submitted(
    name: str, data: bytes, seen: tuple[int, bytes], keys: list[signed_note.Verifier]
) -> Target:
    """A submission, judged afresh each time."""

    def check(changed: bytes) -> None:
        found = witnessing.parse(changed)
        signed_note.verify(found.note, keys)
        if (
            found.head.origin != keys[0].name
            or witnessing._compare(found, Seen(*seen, "")) is not None
        ):
            raise RefusedError

    return Target("submission", name, data, check, LINES, (*keys,), _submitted_checkpoint)


def _submitted_checkpoint(text: bytes) -> bytes:
    """All that a witness goes by, and signs: old size and proof only connect it to what it saw."""
    return text.partition(b"\n\n")[2]
