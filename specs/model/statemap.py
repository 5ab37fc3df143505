"""A short model of the verifiable map: a dictionary, and the root by recursion over all labels."""

from hashlib import sha256


def root(values: dict[bytes, bytes]) -> bytes:
    return _root(sorted(values.items()), 0) if values else sha256(b"").digest()


def _root(leaves: list[tuple[bytes, bytes]], bit: int) -> bytes:
    if len(leaves) == 1:
        return sha256(leaves[0][0] + leaves[0][1]).digest()
    left = [leaf for leaf in leaves if not _is_one(leaf[0], bit)]
    right = [leaf for leaf in leaves if _is_one(leaf[0], bit)]
    if not (left and right):
        return _root(leaves, bit + 1)
    return sha256(_root(left, bit + 1) + _root(right, bit + 1) + bytes([bit])).digest()


def _is_one(label: bytes, bit: int) -> bool:
    return f"{int.from_bytes(label, 'big'):0{8 * len(label)}b}"[bit] == "1"
