"""Checkpoints that an ML-DSA-44 key signed (type 0x06), alone and together with an Ed25519 key."""

from collections.abc import Iterator

from specs.vectors.make_note import HEAD
from specs.vectors.signing import ED, MLDSA, PQ, W1, Key, note, subtree
from specs.vectors.vector import Vector, cases, flipped

WITNESS = Key(W1.name, MLDSA)
LONGER = HEAD + "an extension line\n"
LATEST = 1 << 63


def vectors() -> Iterator[Vector]:
    """All of `keys` must have signed `note`."""
    alone = {"keys": [PQ.vkey], "note": note(HEAD, PQ.line(HEAD))}
    yield from cases("a checkpoint", alone, *_mutations())
    both = {"keys": [ED.vkey, PQ.vkey], "note": note(HEAD, ED.line(HEAD), PQ.line(HEAD))}
    wrong = PQ.signed_line(flipped(PQ.signature(HEAD), 100))
    yield from cases(
        "a checkpoint signed with both kinds of keys",
        both,
        ("the signature by ML-DSA-44 is missing", {"note": note(HEAD, ED.line(HEAD))}),
        ("the signature by Ed25519 is missing", {"note": note(HEAD, PQ.line(HEAD))}),
        ("the signature by ML-DSA-44 is wrong", {"note": note(HEAD, ED.line(HEAD), wrong)}),
    )
    timed = {"keys": [WITNESS.vkey], "note": note(HEAD, WITNESS.line(HEAD, 1_767_268_800))}
    yield from cases("a witness, which says when", timed)


def _mutations() -> Iterator[tuple[str, Vector]]:
    line, signature = PQ.line(HEAD), PQ.signature(HEAD)
    size = HEAD.replace("\n7\n", "\n8\n")
    late = subtree(PQ.name, LATEST, HEAD)
    notes = {
        "signature: a bit of the time flipped": (HEAD, PQ.signed_line(flipped(signature, 7))),
        "signature: a bit of the challenge flipped": (HEAD, PQ.signed_line(flipped(signature, 8))),
        "signature: a bit of the response flipped": (HEAD, PQ.signed_line(flipped(signature, 99))),
        "signature: a bit of the hint flipped": (HEAD, PQ.signed_line(flipped(signature, -84))),
        "signature: its last bit flipped": (HEAD, PQ.signed_line(flipped(signature, -1))),
        "signature: a byte short": (HEAD, PQ.signed_line(signature[:-1])),
        "signature: a byte long": (HEAD, PQ.signed_line(signature + b"\0")),
        "signature: over the text, not the message": (
            HEAD,
            PQ.signed_line(bytes(8) + PQ.sign(HEAD.encode())),
        ),
        "signature: by another name": (
            HEAD,
            PQ.signed_line(bytes(8) + PQ.sign(subtree("other.example", 0, HEAD))),
        ),
        "signature: a time after all times": (
            HEAD,
            PQ.signed_line(LATEST.to_bytes(8) + PQ.sign(late)),
        ),
        "checkpoint: another size": (size, line),
        "checkpoint: another root": (HEAD.replace("AAEC", "AAED"), line),
        "checkpoint: an extension line, which is not covered": (LONGER, line),
    }
    yield from ((why, {"note": note(*parts)}) for why, parts in notes.items())
    yield "key: a byte short", {"keys": [PQ.vkey[:-4]]}
    yield "key: of a witness", {"keys": [WITNESS.vkey]}
    yield "key: of Ed25519", {"keys": [ED.vkey]}
