"""Cosignatures v1: a witness's Ed25519 key (type 0x04) signed a checkpoint and a time."""

from collections.abc import Iterator

from specs.vectors.make_note import HEAD
from specs.vectors.signing import ED, LOG, TIME, W1, W2, WITNESS, Key, note
from specs.vectors.vector import Vector, cases, flipped, slack

SAME_NAME = Key(W1.name, WITNESS, "the key before")
AS_LOG = Key(W1.name, LOG)


def vectors() -> Iterator[Vector]:
    """The witness with `key` cosigned `note` at `time`, in POSIX seconds."""
    good = note(HEAD, ED.line(HEAD), W1.line(HEAD, TIME))
    valid = {"key": W1.vkey, "note": good, "time": TIME}
    yield from cases("a cosigned checkpoint", valid, *_mutations(), *_keys())
    several = note(HEAD, ED.line(HEAD), W2.line(HEAD, TIME + 1), W1.line(HEAD, 0))
    yield from cases("of two witnesses, in 1970", {"key": W1.vkey, "note": several, "time": 0})


def _mutations() -> Iterator[tuple[str, Vector]]:
    line, signature = W1.line(HEAD, TIME), W1.signature(HEAD, TIME)
    plain = W1.signed_line(TIME.to_bytes(8) + W1.sign(HEAD.encode()))
    lines = {
        "a second later than was signed": W1.signed_line((TIME + 1).to_bytes(8) + signature[8:]),
        "a bit flipped": W1.signed_line(flipped(signature, 8)),
        "its last bit flipped": W1.signed_line(flipped(signature, -1)),
        "a byte short": W1.signed_line(signature[:-1]),
        "a byte long": W1.signed_line(signature + b"\0"),
        "without the time": W1.signed_line(signature[8:]),
        "over the text alone": plain,
        "of another checkpoint": W1.line(HEAD.replace("\n7\n", "\n8\n"), TIME),
        "by another witness": W2.line(HEAD, TIME),
        "by another key of the same name": SAME_NAME.line(HEAD, TIME),
        "as a log signs": AS_LOG.line(HEAD),
        "another witness's name": line.replace(W1.name, W2.name),
        "a bit that base64 does not use": slack(line),
        "missing": "",
        "twice": line + line,
    }
    for why, changed in lines.items():
        yield f"cosignature: {why}", {"note": note(HEAD, ED.line(HEAD), changed)}
    longer = HEAD + "an extension line\n"
    yield "checkpoint: another text", {"note": note(longer, ED.line(longer), line)}
    yield "time: not the one in the cosignature", {"time": TIME + 1}


def _keys() -> Iterator[tuple[str, Vector]]:
    yield "key: another witness's", {"key": W2.vkey}
    yield "key: another one of the same name", {"key": SAME_NAME.vkey}
    yield "key: a log's", {"key": AS_LOG.vkey}
    yield "key: one letter short", {"key": W1.vkey[:-1]}
