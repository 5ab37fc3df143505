"""C2SP checkpoints: an origin, a size and a root, in three lines."""

from base64 import b64decode, b64encode
from dataclasses import dataclass

from ledger.tlog.merkle import HASH_SIZE, Hash

MOST_LEAVES = (1 << 63) - 1
_WANTED = "want an origin, a size and a root in canonical lines, found"


class MalformedCheckpointError(ValueError):
    """The text is not a checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: Hash
    extensions: tuple[str, ...] = ()  # ours has none: only some signatures cover them

    def __str__(self) -> str:
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint:
    """Raises MalformedCheckpointError for anything that would not format back to the same text."""
    try:
        origin, size, root, *extensions, _ = text.split("\n")
        found = Checkpoint(origin, int(size), b64decode(root, validate=True), (*extensions,))
    except ValueError as error:
        raise MalformedCheckpointError(f"{_WANTED}: {text[:120]!r}") from error
    well_formed = origin and all(extensions) and len(found.root) == HASH_SIZE
    if not well_formed or not 0 <= found.size <= MOST_LEAVES or str(found) != text:
        raise MalformedCheckpointError(f"{_WANTED}: {text[:120]!r}")
    return found
