"""The frontier (compact range) of a tree: the roots of its complete subtrees, left to right.

It is enough to append to the tree and to compute its root, and has 20 hashes for a million leaves.
A tree of 7 leaves has the frontier [root of 0–3, root of 4–5, leaf 6].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.tlog.merkle import EMPTY_ROOT, Hash, NodeReader, complete_root, node_hash


@dataclass(slots=True)
class Frontier:
    size: int = 0  # leaves
    nodes: list[Hash] = field(default_factory=list)

    @classmethod
    def of(cls, size: int, read: NodeReader) -> "Frontier":
        """The frontier of a tree whose complete subtrees can be read."""
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        return cls(size, [read(level, (size >> level) - 1) for level in levels])

    def append(self, leaves: Sequence[Hash]) -> None:
        """Append leaf hashes."""
        for leaf in leaves:
            self._push(leaf, 0)

    def append_tile(self, leaves: Sequence[Hash]) -> Hash:
        """Append 2**k leaf hashes at a size that is a multiple of 2**k; return their root."""
        node = complete_root(leaves)
        self._push(node, len(leaves).bit_length() - 1)
        return node

    def root(self) -> Hash:
        if not self.nodes:
            return EMPTY_ROOT
        *left, node = self.nodes
        for each in reversed(left):
            node = node_hash(each, node)
        return node

    def _push(self, node: Hash, level: int) -> None:
        """Append a complete subtree of 2**level leaves; merge the subtrees that it completes."""
        complete = self.size >> level
        self.size += 1 << level
        while complete & 1:
            node, complete = node_hash(self.nodes.pop(), node), complete >> 1
        self.nodes.append(node)
