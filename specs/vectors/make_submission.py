"""What a log sends to a witness (`POST /add-checkpoint`), and the status that it is answered."""

from collections.abc import Iterator, Sequence

from specs.model import tree
from specs.vectors.signing import ED, ORIGIN, STRANGER, checkpoint, note
from specs.vectors.vector import Vector, b64, cases, flipped, slack

OLD, NEW = 5, 9


def _entries(size: int, mark: str = "") -> list[bytes]:
    return [f"{mark}{n}".encode() for n in range(size)]


def _text(size: int, mark: str = "", origin: str = ORIGIN) -> str:
    return checkpoint(size, tree.mth(_entries(size, mark)), origin)


def _sent(old: int | str, proof: Sequence[bytes], text: str, lines: str | None = None) -> str:
    hashes = "".join(f"{b64(each)}\n" for each in proof)
    return f"old {old}\n{hashes}\n{note(text, ED.line(text) if lines is None else lines)}"


def _proof(old: int, new: int, mark: str = "") -> list[bytes]:
    return tree.proof(old, _entries(new, mark))


FIRST = _sent(0, [], _text(OLD))
GROWN = _sent(OLD, _proof(OLD, NEW), _text(NEW))


def vectors() -> Iterator[Vector]:
    """A witness that trusts `keys` and accepted `before` (or nothing) answers with `status`."""
    nothing = {"keys": [ED.vkey], "before": None}
    first = nothing | {"submission": FIRST, "status": 200}
    yield from cases("the first checkpoint", first, *_first())
    grown = nothing | {"before": FIRST, "submission": GROWN, "status": 200}
    yield from cases("a checkpoint that extends the one before", grown, *_judged(), *_forms())
    same = grown | {"submission": _sent(OLD, [], _text(OLD))}
    yield from cases("the same checkpoint once more", same)
    empty = nothing | {"submission": _sent(0, [], _text(0)), "status": 200}
    yield from cases("an empty log", empty)


def _first() -> Iterator[tuple[str, Vector]]:
    proof = _sent(0, [bytes(32)], _text(OLD))
    yield "a proof where none belongs", {"submission": proof, "status": 422}
    root = f"{ORIGIN}\n0\n{b64(bytes(32))}\n"
    yield "no entries with a root", {"submission": _sent(0, [], root), "status": 422}
    yield "as if there had been one before", {"submission": GROWN, "status": 409}


def _judged() -> Iterator[tuple[str, Vector]]:
    """Well formed, and refused because of its content."""
    proof, text = _proof(OLD, NEW), _text(NEW)
    other = _text(NEW, origin="other.example/log")
    wrong = ED.signed_line(flipped(ED.signature(text)))
    refused = {
        "another log": (404, _sent(OLD, proof, other)),
        "signed by a stranger": (403, _sent(OLD, proof, text, STRANGER.line(text))),
        "the signature is wrong": (403, _sent(OLD, proof, text, wrong)),
        "an old size above the new one": (400, _sent(NEW + 1, proof, text)),
        "another old size": (409, _sent(OLD - 1, _proof(OLD - 1, NEW), text)),
        "no old size": (409, _sent(0, [], text)),
        "another root at the old size": (422, _sent(OLD, [], _text(OLD, "x"))),
        "another history": (422, _sent(OLD, _proof(OLD, NEW, "x"), _text(NEW, "x"))),
        "no proof": (422, _sent(OLD, [], text)),
        "a hash missing": (422, _sent(OLD, proof[:-1], text)),
        "a hash too many": (422, _sent(OLD, [*proof, bytes(32)], text)),
        "two hashes swapped": (422, _sent(OLD, [proof[1], proof[0], *proof[2:]], text)),
        "a bit flipped in the proof": (422, _sent(OLD, [flipped(proof[0]), *proof[1:]], text)),
        "smaller than the one before": (400, _sent(OLD, [], _text(OLD - 1))),
    }
    yield from ((why, {"submission": s, "status": n}) for why, (n, s) in refused.items())


def _forms() -> Iterator[tuple[str, Vector]]:
    encoded = b64(_proof(OLD, NEW)[0])
    malformed = {
        "nothing": "",
        "no old line": GROWN.replace(f"old {OLD}\n", ""),
        "old: a zero before": GROWN.replace("old ", "old 0"),
        "old: a sign": GROWN.replace("old ", "old +"),
        "old: negative": GROWN.replace("old ", "old -"),
        "old: two spaces": GROWN.replace("old ", "old  "),
        "a hash a byte short": GROWN.replace(encoded, b64(_proof(OLD, NEW)[0][:-1])),
        "a hash with a bit that base64 does not use": GROWN.replace(encoded, slack(encoded)),
        "more hashes than a proof can have": _sent(OLD, [bytes(32)] * 64, _text(NEW)),
        "no empty line": GROWN.replace("\n\n", "\n", 1),
        "two empty lines": GROWN.replace("\n\n", "\n\n\n", 1),
        "no signature": GROWN[: GROWN.index("— ")],
        "line ends of another system": GROWN.replace("\n", "\r\n"),
        "cut off": GROWN[:-1],
        "no checkpoint": _sent(OLD, [], "a text\n"),
    }
    yield from ((why, {"submission": each, "status": 400}) for why, each in malformed.items())
