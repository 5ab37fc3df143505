"""What our code says of a vector: one function a file, which returns if it accepts, or raises."""

import io
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.events import canonical_json, envelope
from ledger.statemap import (
    map_auditor,
    map_proof,
    transition,
    transition_auditor,
    verifiable_map,
    vrf,
)
from ledger.statemap.map_auditor import Consent
from ledger.statemap.transition_auditor import CountedLog
from ledger.tlog import checkpoint, cosignature, merkle, policy, rfc3161, signed_note, tiles
from ledger.tlog.auditor import KeyDemand
from ledger.tlog.cosignature import CosignatureError
from ledger.tlog.fetcher import LogFiles
from ledger.tlog.merkle import ProofError
from ledger.tlog.rfc3161 import TimestampAuthority, TimestampError
from ledger.tlog.signed_note import Note
from ledger.vault import commitments
from ledger.verify import event_profile, evidence, receipt
from ledger.witness.witness import Witness
from tests.ledger.published import PublishedFiles, published

Vector = dict[str, Any]
REFUSALS = (ValueError, ProofError, CosignatureError, TimestampError)  # the errors of parsers


class RefusedError(ValueError):
    """Our code answers with a value, and it is another one than the vector says."""


def _note(case: Vector) -> None:
    keys = [policy.log_key(vkey) for vkey in case["keys"]]
    signed_note.verify(signed_note.parse(case["note"]), keys)


def _checkpoint(case: Vector) -> None:
    found = checkpoint.parse(case["text"])
    _require((found.origin, found.size, found.root.hex()), _all(case, "origin", "size", "root"))


def _path(case: Vector) -> None:
    _require(tiles.path(case["kind"], case["index"], case["width"]), case["path"])


def _tile(case: Vector) -> None:
    hashes = tiles.split(bytes.fromhex(case["tile"]))
    _require(len(hashes), case["width"])
    _require(_root(hashes), case["root"])


def _bundle(case: Vector) -> None:
    hashes = merkle.leaf_hashes(tiles.unbundle(bytes.fromhex(case["bundle"])))
    _require(_root(hashes), case["root"])


def _root(hashes: list[bytes]) -> str:
    def read(level: int, index: int) -> bytes:
        return merkle.complete_root(hashes[index << level : index + 1 << level])

    return merkle.root(len(hashes), read).hex()


def _inclusion(case: Vector) -> None:
    leaf, root = (bytes.fromhex(case[name]) for name in ("leaf", "root"))
    proof = [bytes.fromhex(each) for each in case["proof"]]
    merkle.verify_inclusion(leaf, case["index"], case["size"], root, proof)


def _consistency(case: Vector) -> None:
    old, new = (bytes.fromhex(case[name]) for name in ("old_root", "new_root"))
    proof = [bytes.fromhex(each) for each in case["proof"]]
    merkle.verify_consistency(case["old"], case["new"], old, new, proof)


def _cosignature(case: Vector) -> None:
    at = cosignature.key(case["key"]).verify(signed_note.parse(case["note"]))
    _require(int(at.timestamp()), case["time"])


def _policy(case: Vector) -> None:
    policy.parse(case["policy"].encode()).verify(signed_note.parse(case["note"]))


def _receipt(case: Vector) -> None:
    trusted = policy.parse(case["policy"].encode())
    receipt.verify_under(receipt.parse(case["receipt"]), trusted)


def _event(case: Vector) -> None:
    """By both of our decoders: the ledger's, and the offline verifier's."""
    data = case["event"].encode("utf-8", "surrogatepass")
    try:
        envelope.decode(data)
    except envelope.MalformedEventError:
        _require_not(data)
        raise
    event_profile.require_event(commitments.parse(data))


def _require_not(data: bytes) -> None:
    """The offline verifier refuses these bytes too, as canonical JSON or as an event."""
    try:
        found = commitments.parse(data)
        if commitments.canonical(found) != data:
            return
        event_profile.require_event(found)
    except ValueError:
        return
    raise AssertionError(f"the offline verifier takes this for an event: {data!r}")


def _instruction(case: Vector) -> None:
    said = canonical_json.parse(case["event"].encode())
    event_profile.require_event(said)
    extra = {"event": said, "signer": canonical_json.parse(case["signer"].encode())}
    extra["signature"] = canonical_json.parse(case["signature"].encode())
    receipt.Receipt(0, (), Note("", ()), extra).signer()


def _commitment(case: Vector) -> None:
    derived = commitments.secrets(bytes.fromhex(case["data_key"]), case["seq"])
    parts = (derived.opening.tag, derived.opening.salt, derived.sealing_key)
    _require(tuple(each.hex() for each in parts), _all(case, "tag", "salt", "sealing_key"))
    entry = commitments.personal_entry(derived.opening, case["event"].encode())
    _require(entry.hex(), case["entry"])


def _map(case: Vector) -> None:
    label, root, data = (bytes.fromhex(case[name]) for name in ("label", "root", "proof"))
    proof = verifiable_map.parse(data)
    if case["value"] is None:
        verifiable_map.verify_absence(label, root, proof)
    else:
        verifiable_map.verify_presence(label, bytes.fromhex(case["value"]), root, proof)


def _state(case: Vector) -> None:
    keys = [policy.log_key(vkey) for vkey in case["keys"]]
    map_proof.verify(map_proof.parse(case["proof"]), bytes.fromhex(case["label"]), keys)


def _bound(case: Vector) -> None:
    keys = [policy.log_key(vkey) for vkey in case["keys"]]
    maps = policy.parse(f"{case['map_key']}\nquorum none\n".encode()).maps
    proof = map_proof.parse(case["proof"])
    (trusted,) = maps.values()
    where = map_proof.proven_label(proof, case["subject"], trusted)
    head = map_proof.verify(proof, where, keys)
    _require(trusted.origin, head.origin)


def _range(case: Vector) -> None:
    lines = []
    for vkey, *sizes in (each.replace("\t", " ").split(" ") for each in case["keys"]):
        short = "+".join(vkey.split("+")[:2])
        limit = f"range {short} {' '.join(sizes)}\n" if any(sizes) else ""
        lines.append(f"log {vkey}\n{limit}")
    trust = policy.parse(f"{''.join(lines)}quorum none\n".encode())
    trust.verify(signed_note.parse(case["note"]))


def _submission(case: Vector) -> None:
    """By a witness with a memory of its own. Raises unless it cosigns."""
    status = _answer(case)
    if status != case["status"]:
        raise AssertionError(f"answered {status}, want {case['status']}")
    _require(status, 200)


def _answer(case: Vector) -> int:
    keys = [signed_note.verifier(vkey) for vkey in case["keys"]]
    with TemporaryDirectory() as home:
        witness = Witness(Path(home) / "memory", cosignature.generate("w"), keys)
        if case["before"] is not None:
            assert witness.add_checkpoint(case["before"].encode()).status == 200
        return witness.add_checkpoint(case["submission"].encode()).status


def _evidence(case: Vector) -> None:
    trusted = [policy.parse(each.encode()) for each in case["policies"]]
    evidence.verify(evidence.parse(case["evidence"]), trusted)


def _transition(case: Vector) -> None:
    """As `sovereign audit-states --transitions`: both logs whole, then what changed."""
    entries = [each.encode() for each in case["states"]]
    states = PublishedFiles(published(entries, case["states_note"]))
    shown = [bytes.fromhex(each) for each in case["consent"]]
    consent = PublishedFiles(published(shown, case["consent_note"]))
    trust, theirs = (KeyDemand([policy.log_key(vkey)]) for vkey in case["keys"])
    report = map_auditor.audit_states(states, trust, Consent(consent, theirs))
    if not report.clean or report.head is None:
        raise RefusedError(str(report.findings))
    head = theirs.require(signed_note.parse(case["consent_note"]))
    _require((len(entries), len(shown)), (report.head.size, head.size))
    counted = CountedLog(LogFiles(consent, head.size), head)
    file = io.BytesIO(bytes.fromhex(case["transitions"]))
    states_log = CountedLog(LogFiles(states, report.head.size), report.head)
    found = transition_auditor.audit(states_log, counted, transition.read(file))
    _require(found.findings, ())
    _require(found.checked, len(entries) - max(found.since - 1, 0))


def _timestamp(case: Vector) -> None:
    authority = TimestampAuthority(rfc3161.certificates(case["root"].encode()))
    stamp = rfc3161.verify(b64decode(case["token"]), Note(case["text"], ()), authority)
    _require((stamp.at, stamp.serial), (datetime.fromisoformat(case["at"]), case["serial"]))


def _vrf(case: Vector) -> None:
    key, alpha, proof = (bytes.fromhex(case[name]) for name in ("key", "alpha", "proof"))
    _require(vrf.verify(key, alpha, proof).hex(), case["output"])


def _all(case: Vector, *names: str) -> tuple[Any, ...]:
    return tuple(case[name] for name in names)


def _require(found: object, said: object) -> None:
    if found != said:
        raise RefusedError(f"found {found!r}, the vector says {said!r}")


JUDGES: dict[str, Callable[[Vector], None]] = {
    "note": _note,
    "mldsa": _note,
    "order": _note,
    "range": _range,
    "checkpoint": _checkpoint,
    "path": _path,
    "tile": _tile,
    "bundle": _bundle,
    "inclusion": _inclusion,
    "consistency": _consistency,
    "cosignature": _cosignature,
    "policy": _policy,
    "receipt": _receipt,
    "event": _event,
    "instruction": _instruction,
    "commitment": _commitment,
    "map": _map,
    "state": _state,
    "bound": _bound,
    "submission": _submission,
    "evidence": _evidence,
    "transition": _transition,
    "timestamp": _timestamp,
    "vrf": _vrf,
}
