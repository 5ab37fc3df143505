"""Tiles of hashes, bundles of entries, and their paths."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from specs.model import tree
from specs.vectors.vector import Vector, cases, flipped

WIDTH = 256


def paths() -> Iterator[Vector]:
    """The tile or bundle `index` of that `kind` and `width` has this path."""
    for kind, index, width, path in (
        ("0", 0, 256, "tile/0/000"),
        ("0", 1_234_067, 256, "tile/0/x001/x234/067"),
        ("1", 999, 255, "tile/1/999.p/255"),
        ("2", 1000, 1, "tile/2/x001/000.p/1"),
        ("entries", 0, 5, "tile/entries/000.p/5"),
        ("entries", 273, 112, "tile/entries/273.p/112"),
        ("entries", 1_234_567_890, 256, "tile/entries/x001/x234/x567/890"),
    ):
        valid = {"kind": kind, "index": index, "width": width, "path": path}
        yield from cases(path, valid, *_paths(valid))


def _paths(valid: Vector) -> Iterator[tuple[str, Vector]]:
    path, width = valid["path"], valid["width"]
    yield "index: one more", {"index": valid["index"] + 1}
    yield "width: another", {"width": width - 1 or 2}
    yield "kind: another", {"kind": "3"}
    yield "path: a zero before", {"path": path.replace("/", "/x000/", 2).replace("/x000/", "/", 1)}
    yield "path: cut off", {"path": path[:-1]}
    if width == WIDTH:
        yield "path: a full tile named as partial", {"path": f"{path}.p/256"}
    else:
        yield "path: a zero before the width", {"path": path.replace(".p/", ".p/0")}


def tiles() -> Iterator[Vector]:
    """The hashes in `tile` lead to `root`: they are all of this level of a tree."""
    for name, level, count in (("a single hash", 0, 1), ("partial", 0, 7), ("full", 0, 256)):
        yield from _tile(name, [_leaf(i) for i in range(count)], level)
    blocks = [[b"%d" % i for i in range(at, at + WIDTH)] for at in range(0, 3 * WIDTH, WIDTH)]
    yield from _tile("three hashes of level 1", [tree.mth(each) for each in blocks], 1)


def _leaf(number: int) -> bytes:
    return tree.mth([b"%d" % number])


def _tile(name: str, hashes: Sequence[bytes], level: int) -> Iterator[Vector]:
    data = b"".join(hashes)
    valid = {"level": level, "width": len(hashes), "tile": data.hex(), "root": _root(hashes).hex()}
    changed = {
        "tile: none": b"",
        "tile: a byte short": data[:-1],
        "tile: a byte long": data + b"\0",
        "tile: a hash too many": data + bytes(32),
        "tile: its first bit flipped": flipped(data),
        "tile: its last bit flipped": flipped(data, -1),
    }
    if len(hashes) > 1:
        changed |= {
            "tile: a hash too few": data[:-32],
            "tile: two hashes swapped": data[32:64] + data[:32] + data[64:],
            "tile: a hash doubled in place of the next": data[:32] + data[:32] + data[64:],
        }
    yield from cases(
        name,
        valid,
        *((why, {"tile": each.hex()}) for why, each in changed.items()),
        ("width: one more", {"width": len(hashes) + 1}),
        ("root: a bit flipped", {"root": flipped(bytes.fromhex(str(valid["root"]))).hex()}),
    )


def _root(hashes: Sequence[bytes]) -> bytes:
    """The tree over nodes instead of entries."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + _root(hashes[:k]) + _root(hashes[k:])).digest()


def bundles() -> Iterator[Vector]:
    """The entries of `bundle` are the leaves under `root`."""
    for name, entries in (
        ("one entry", [b"one"]),
        ("an empty entry between two", [b"one", b"", b"three"]),
        ("an entry whose length takes both bytes", [bytes(range(256)) + bytes(44)]),
        ("full", [b"%d" % i for i in range(256)]),
    ):
        yield from _bundle(name, entries)
    full = b"".join(_entry(b"") for _ in range(WIDTH))
    root = tree.mth([b""] * WIDTH)
    yield from cases(
        "full of empty entries",
        {"bundle": full.hex(), "root": root.hex()},
        ("bundle: one entry too many for any", {"bundle": (full + _entry(b"")).hex()}),
    )


def _bundle(name: str, entries: Sequence[bytes]) -> Iterator[Vector]:
    data = b"".join(map(_entry, entries))
    valid = {"bundle": data.hex(), "root": tree.mth(entries).hex()}
    changed = {
        "none": b"",
        "a byte short": data[:-1],
        "a byte long": data + b"\0",
        "an empty entry more": data + _entry(b""),
        "a length one more": data[:1] + bytes([(data[1] + 1) % 256]) + data[2:],
        "a bit of an entry flipped": flipped(data, 2),
        "an entry doubled": _entry(entries[0]) + data,
    }
    if len(entries) > 1:
        changed["an entry left out"] = data[len(_entry(entries[0])) :]
        changed["two entries joined"] = b"".join(
            map(_entry, [entries[0] + entries[1], *entries[2:]])
        )
    mutations = ((f"bundle: {why}", {"bundle": each.hex()}) for why, each in changed.items())
    yield from cases(name, valid, *mutations)


def _entry(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
