"""Checkpoints: an origin, a size and a root, in canonical lines."""

from collections.abc import Iterator
from hashlib import sha256

from specs.vectors.signing import ORIGIN, checkpoint
from specs.vectors.vector import Vector, b64, cases, slack

ROOT = sha256(b"vectors").digest()
GOOD = checkpoint(70_000, ROOT)


def vectors() -> Iterator[Vector]:
    """`text` says `size` and `root` of `origin`."""
    valid = {"text": GOOD, "origin": ORIGIN, "size": 70_000, "root": ROOT.hex()}
    yield from cases("seventy thousand entries", valid, *_mutations(), *_facts())
    empty = sha256(b"").digest()
    yield from cases("empty", valid | _of(0, empty))
    yield from cases("as many as can be", valid | _of((1 << 63) - 1, ROOT))
    yield from cases("one more than doubles count", valid | _of((1 << 53) + 1, ROOT))
    longer = GOOD + "an extension line\nand another\n"
    yield from cases("with extension lines", valid | {"text": longer})


def _of(size: int, root: bytes) -> Vector:
    return {"text": checkpoint(size, root), "size": size, "root": root.hex()}


def _mutations() -> Iterator[tuple[str, Vector]]:
    sizes = {
        "with a zero before": "070000",
        "with a sign": "+70000",
        "negative": "-70000",
        "with a space": " 70000",
        "with an underscore": "70_000",
        "in other digits": "７００００",
        "in scientific notation": "7e4",
        "with a point": "70000.0",
        "in hexadecimal": "0x11170",
        "too large": str(1 << 63),
        "missing": "",
    }
    for why, size in sizes.items():
        yield f"size: {why}", {"text": GOOD.replace("70000", size)}
    encoded = b64(ROOT)
    roots = {
        "a byte short": b64(ROOT[:-1]),
        "a byte long": b64(ROOT + b"\0"),
        "a bit that base64 does not use": slack(encoded),
        "base64 without padding": encoded.rstrip("="),
        "in hexadecimal": ROOT.hex(),
        "a carriage return in base64": encoded[:9] + "\r" + encoded[9:],
        "a space after it": encoded + " ",
        "missing": "",
    }
    for why, root in roots.items():
        yield f"root: {why}", {"text": GOOD.replace(encoded, root)}
    yield "origin: none", {"text": GOOD.replace(ORIGIN, "")}
    yield "origin: no line", {"text": GOOD.replace(ORIGIN + "\n", "")}
    yield "lines: no newline at the end", {"text": GOOD[:-1]}
    yield "lines: an empty one at the end", {"text": GOOD + "\n"}
    yield "lines: an empty one, then an extension", {"text": GOOD + "\nextension\n"}
    yield "lines: ends of another system", {"text": GOOD.replace("\n", "\r\n")}
    yield "lines: size and root swapped", {"text": f"{ORIGIN}\n{encoded}\n70000\n"}
    yield "lines: none", {"text": ""}


def _facts() -> Iterator[tuple[str, Vector]]:
    """Well-formed text with other values."""
    yield "it says another origin", {"origin": "other.example"}
    yield "it says another size", {"size": 70_001}
    yield "it says another root", {"root": bytes(32).hex()}
