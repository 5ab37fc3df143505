"""Hostile bytes for every parser of the ledger: one error type each, and no other escapes.

    python -m tests.fuzz.parsers --seconds 60

runs them under atheris, which steers by coverage; it is no dependency. Whatever the seconds are,
tests/fuzz/test_parsers.py gives the same parsers what Hypothesis makes.
"""

import argparse
import json
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

VECTORS = Path(__file__).parents[2] / "specs/vectors"
NO_ATHERIS = (
    "atheris is not installed, and fuzzing that is guided by coverage needs it: run "
    "`.venv/bin/pip install atheris` and this again; the tests in tests/fuzz do without it"
)


class WritesOtherwiseError(Exception):
    """A parser accepted what it does not format back."""


@dataclass(frozen=True)
class Parser:
    name: str
    parse: Callable[[bytes], object]  # what is accepted, as it would be written; None: no form
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]

    def take(self, data: bytes) -> bool:
        """Whether the parser accepts; lets anything but its own error escape."""
        try:
            written = self.parse(data)
        except self.errors:
            return False
        if written is not None and written != data:
            raise WritesOtherwiseError(f"{self.name} reads {data!r} as {written!r}")
        return True


def parsers() -> list[Parser]:
    """Every parser of ledger/ that reads what others wrote."""
    made = (_notes(), _keys(), _files(), _documents(), _events(), _instructions(), _timestamps())
    return [each for some in made for each in some]


def _notes() -> Iterator[Parser]:
    from ledger.tlog import checkpoint, cosignature, mldsa, policy, signed_note
    from ledger.tlog.checkpoint import MalformedCheckpointError
    from ledger.tlog.cosignature import CosignatureError
    from ledger.tlog.policy import LogPolicyError
    from ledger.tlog.signed_note import NoteError

    notes = (*_seeds("note", "note"), *_seeds("mldsa", "note"), *_seeds("cosignature", "note"))
    log = signed_note.verifier(_first("note")["keys"][0])
    pq = mldsa.verifier(_first("mldsa")["keys"][0])
    witness = cosignature.key(_first("cosignature")["key"])
    trusted = policy.parse(_first("policy")["policy"].encode())
    yield Parser("note", lambda d: _bytes(signed_note.parse(_text(d))), (NoteError,), notes)
    yield _judge("note, signatures", lambda n: signed_note.verify(n, [log]), NoteError, notes)
    yield _judge("note, ML-DSA-44", lambda n: signed_note.verify(n, [pq]), NoteError, notes)
    yield _judge("note, cosignature", witness.verify, CosignatureError, notes)
    yield _judge("note, policy", trusted.verify, LogPolicyError, notes)
    texts = _seeds("checkpoint", "text")
    read = _writer(lambda d: checkpoint.parse(_text(d)))
    yield Parser("checkpoint", read, (MalformedCheckpointError,), texts)


def _judge(
    name: str, judge: Callable[[Any], object], error: type[Exception], seeds: tuple[bytes, ...]
) -> Parser:
    """What is a note is judged; the judge has one error too."""
    from ledger.tlog import signed_note

    def parse(data: bytes) -> None:
        judge(signed_note.parse(_text(data)))

    return Parser(name, parse, (signed_note.NoteError, error), seeds)


def _keys() -> Iterator[Parser]:
    from ledger.tlog import cosignature, mldsa, policy, signed_note
    from ledger.tlog.signed_note import NoteError

    public = [*_first("note")["keys"], *_first("mldsa")["keys"], _first("cosignature")["key"]]
    secrets = [each.generate("fuzz.example").secret() for each in (signed_note, mldsa, cosignature)]
    seeds = tuple(each.encode() for each in (*public, *secrets))
    reads: dict[str, Callable[[str], object]] = {
        "key of a log": policy.log_key,
        "key, Ed25519": signed_note.verifier,
        "key, ML-DSA-44": mldsa.verifier,
    }
    for name, read in reads.items():
        yield Parser(name, _writer(_of_text(read)), (NoteError,), seeds)
    of_witness = _accepts(_of_text(cosignature.key))
    yield Parser("key of a witness", of_witness, (NoteError,), seeds)
    private: dict[str, Callable[[str], object]] = {
        "secret, Ed25519": signed_note.signer,
        "secret, ML-DSA-44": mldsa.signer,
    }
    for name, read in private.items():
        yield Parser(name, _accepts(_of_text(read)), (NoteError,), seeds)
    secret = _accepts(_of_text(cosignature.signer))
    yield Parser("secret of a witness", secret, (NoteError,), seeds)


def _files() -> Iterator[Parser]:
    from ledger.statemap import verifiable_map
    from ledger.statemap.verifiable_map import MalformedProofError
    from ledger.tlog import tiles as tile
    from ledger.tlog.merkle import ProofError
    from ledger.tlog.tiles import MalformedTileError

    tiles, bundles = _hex_seeds("tile", "tile"), _hex_seeds("bundle", "bundle")
    yield Parser("tile", lambda d: b"".join(tile.split(d)), (MalformedTileError,), tiles)
    yield Parser("bundle", lambda d: tile.bundle(tile.unbundle(d)), (MalformedTileError,), bundles)
    proofs = _hex_seeds("map", "proof")
    yield Parser(
        "map proof", lambda d: bytes(verifiable_map.parse(d)), (MalformedProofError,), proofs
    )
    case = next(c for c in _cases("map") if c["value"] is None and c["mutation"] is None)
    label, root = (bytes.fromhex(case[name]) for name in ("label", "root"))

    def absent(data: bytes) -> None:
        verifiable_map.verify_absence(label, root, verifiable_map.parse(data))

    yield Parser("map proof, verified", absent, (MalformedProofError, ProofError), proofs)


def _documents() -> Iterator[Parser]:
    from ledger.statemap import map_proof
    from ledger.statemap.map_proof import MalformedStateProofError
    from ledger.tlog import policy
    from ledger.tlog.merkle import ProofError
    from ledger.tlog.policy import LogPolicyError
    from ledger.tlog.signed_note import NoteError
    from ledger.verify import receipt
    from ledger.verify.receipt import ReceiptError
    from ledger.witness import witness
    from ledger.witness.witness import MalformedSubmissionError

    receipts, states = _seeds("receipt", "receipt"), _seeds("state", "proof")
    sent, policies = _seeds("submission", "submission"), _seeds("policy", "policy")
    trusted = policy.parse(_first("receipt")["policy"].encode())
    keys = [policy.log_key(each) for each in _first("state")["keys"]]
    label = bytes.fromhex(_first("state")["label"])

    def verified(data: bytes) -> None:
        receipt.verify_under(receipt.parse(_text(data)), trusted)

    def latest(data: bytes) -> None:
        map_proof.verify(map_proof.parse(_text(data)), label, keys)

    of_state = MalformedStateProofError
    yield Parser("receipt", _writer(_of_text(receipt.parse)), (ReceiptError,), receipts)
    yield Parser("receipt, verified", verified, (ReceiptError,), receipts)
    yield Parser("state proof", _writer(_of_text(map_proof.parse)), (of_state,), states)
    yield Parser("state proof, verified", latest, (of_state, NoteError, ProofError), states)
    yield Parser("submission", _writer(witness.parse), (MalformedSubmissionError,), sent)
    yield Parser("policy", _accepts(policy.parse), (LogPolicyError,), policies)


def _events() -> Iterator[Parser]:
    from ledger.events import envelope
    from ledger.events.envelope import MalformedEventError
    from ledger.verify import event_profile
    from ledger.verify.event_profile import ProfileError

    def read(data: bytes) -> None:
        event_profile.require_event(_json(data))

    seeds = _seeds("event", "event")
    written = _accepts(lambda d: envelope.encode(envelope.decode(d)))
    yield Parser(
        "event", lambda d: envelope.encode(envelope.decode(d)), (MalformedEventError,), seeds
    )
    yield Parser("event, digest", written, (MalformedEventError,), seeds)
    yield Parser("profile", read, (ProfileError,), seeds)


def _instructions() -> Iterator[Parser]:
    from ledger.events import canonical_json, instruction_signature
    from ledger.events.canonical_json import StrictJsonError
    from ledger.events.instruction_signature import SignatureError
    from ledger.statemap import map_proof
    from ledger.verify import evidence, receipt
    from ledger.verify.evidence import EvidenceError

    case = _first("instruction")
    said, signer = (json.loads(case[name]) for name in ("event", "signer"))
    key = instruction_signature.signer(signer)

    def signature(data: bytes) -> bytes:
        return canonical_json.canonical(
            instruction_signature.members(instruction_signature.parse(canonical_json.parse(data)))
        )

    def strict(data: bytes) -> bytes | None:
        written = canonical_json.canonical(canonical_json.parse(data))
        return None if canonical_json.parse(written) == canonical_json.parse(data) else written

    def verified(data: bytes) -> None:
        instruction_signature.verify_alone(
            said, instruction_signature.parse(canonical_json.parse(data)), key
        )

    def named(data: bytes) -> None:
        found = instruction_signature.signer(canonical_json.parse(data))
        instruction_signature.verify_alone(
            said, instruction_signature.parse(json.loads(case["signature"])), found
        )

    signatures, signers = _seeds("instruction", "signature"), _seeds("instruction", "signer")
    errors = (SignatureError, StrictJsonError)
    yield Parser("strict JSON", strict, (StrictJsonError,), (*signatures, *signers))
    yield Parser("signature", _accepts(signature), errors, signatures)
    yield Parser("signature, verified", verified, errors, signatures)
    yield Parser("signer", named, errors, signers)
    kept = receipt.parse(_first("receipt")["receipt"])
    state = map_proof.parse(_first("state")["proof"])
    seeds = (str(evidence.Evidence(1, (kept,), kept.checkpoint, state)).encode(),)
    yield Parser("evidence", _writer(_of_text(evidence.parse)), (EvidenceError,), seeds)


def _timestamps() -> Iterator[Parser]:
    from ledger.tlog import rfc3161
    from ledger.tlog.rfc3161 import TimestampAuthority, TimestampError
    from ledger.tlog.signed_note import Note

    case = _first("timestamp")
    authority = TimestampAuthority(rfc3161.certificates(case["root"].encode()))
    signed = Note(case["text"], ())
    tokens = tuple(b64decode(each["token"]) for each in _cases("timestamp"))

    def read(data: bytes) -> None:
        rfc3161.verify(data, signed, authority)

    roots = _accepts(rfc3161.certificates)
    yield Parser("timestamp", read, (TimestampError,), tokens)
    yield Parser("certificates", roots, (TimestampError,), (case["root"].encode(),))


def _text(data: bytes) -> str:
    """As a text that may hold what no file can: half a character."""
    return data.decode("utf-8", "surrogateescape")


def _json(data: bytes) -> Any:
    """The parsed JSON value; text that is not JSON is returned as a string."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _text(data)


def _bytes(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def _of_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(_text(data))


def _writer(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """A parser of what formats back with `str`."""
    return lambda data: _bytes(read(data))


def _accepts(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """A parser of what has no single form, or is not to be repeated."""

    def parse(data: bytes) -> None:
        read(data)

    return parse


def _cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def _first(name: str) -> dict[str, Any]:
    return _cases(name)[0]


def _seeds(name: str, member: str) -> tuple[bytes, ...]:
    texts = {case[member] for case in _cases(name)}
    return tuple(sorted(each.encode("utf-8", "surrogatepass") for each in texts))


def _hex_seeds(name: str, member: str) -> tuple[bytes, ...]:
    return tuple(sorted({bytes.fromhex(case[member]) for case in _cases(name)}))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=60)
    options = arguments.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit(NO_ATHERIS)
    with atheris.instrument_imports(include=["ledger"]):
        chosen = parsers()

    def one(data: bytes) -> None:
        if data:
            chosen[data[0] % len(chosen)].take(data[1:])

    with TemporaryDirectory() as corpus:
        _write(chosen, Path(corpus))
        limits = [f"-max_total_time={options.seconds}", "-max_len=8192", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *limits, corpus], one)
        atheris.Fuzz()


def _write(chosen: list[Parser], corpus: Path) -> None:
    """A file for each seed; its first byte names the parser."""
    for number, parser in enumerate(chosen):
        for at, seed in enumerate(parser.seeds):
            (corpus / f"{number}-{at}").write_bytes(bytes([number]) + seed)


if __name__ == "__main__":
    main()
