"""A log as it is published, in memory: from its entries and its signed checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.tlog import merkle, tiles
from ledger.tlog.fetcher import UnreadableError


@dataclass(frozen=True)
class PublishedFiles:
    files: Mapping[str, bytes]

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise UnreadableError(path, "not there")
        return self.files[path]


def published(found: Sequence[bytes], signed: str) -> dict[str, bytes]:
    files, hashes, width = {"checkpoint": signed.encode()}, merkle.leaf_hashes(found), tiles.WIDTH
    for index, _ in tiles.widths(len(found), 0):
        part = [*found[index * width : (index + 1) * width]]
        files[tiles.path("entries", index, len(part))] = tiles.bundle(part)
    for level in tiles.levels(len(found)):
        parts = [hashes[at : at + width] for at in range(0, len(hashes), width)]
        for index, part in enumerate(parts):
            files[tiles.path(str(level), index, len(part))] = b"".join(part)
        hashes = [merkle.complete_root(part) for part in parts if len(part) == width]
    return files
