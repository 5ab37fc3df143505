"""C2SP tlog-checkpoint: the origin, size and root of a log, one per line."""

from base64 import b64decode, b64encode
from dataclasses import dataclass

from ledger.tlog.merkle import HASH_SIZE, Hash

MAX_LEAVES = (1 << 63) - 1
_WANTED = "want an origin, a size and a root in canonical lines, found"


class MalformedCheckpointError(ValueError):
    """The text is not a checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: Hash
    extensions: tuple[str, ...] = ()  # our logs write none, as not all signatures cover them

    def __str__(self) -> str:
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint:
    """Parse a checkpoint; it formats back to the same text. Raises MalformedCheckpointError."""
    try:
        origin, size, root, *extensions, _ = text.split("\n")
        parsed = Checkpoint(origin, int(size), b64decode(root, validate=True), (*extensions,))
    except ValueError as error:
        raise MalformedCheckpointError(f"{_WANTED}: {text[:120]!r}") from error
    well_formed = origin and all(extensions) and len(parsed.root) == HASH_SIZE
    if not well_formed or not 0 <= parsed.size <= MAX_LEAVES or str(parsed) != text:
        raise MalformedCheckpointError(f"{_WANTED}: {text[:120]!r}")
    return parsed
