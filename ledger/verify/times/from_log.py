"""Time bounds from a log's published files: what witnesses cosigned, and timestamps (RFC 3161)."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.fetcher import DirectorySource, LogFiles
from ledger.tlog.policy import LogPolicy
from ledger.verify.times import attested, timestamp_token
from ledger.verify.times.attested import Attested, Bounds
from ledger.verify.times.timestamp_token import TokenError
from ledger.witness import cosigned_history

STAMPS = "timestamps"
MAX_NOTE = 1 << 16  # bytes of a checkpoint file


@dataclass(frozen=True, slots=True)
class PublishedTimes:
    """What the tile directory `folder` has of times. `roots`: of the trusted authorities."""

    folder: Path
    roots: Sequence[x509.Certificate] = ()

    def bounds(self, trust: LogPolicy, index: int, head: Checkpoint) -> Bounds:
        """The tightest bounds of entry `index`, by checkpoints of the history that `head` ends.

        Raises TimeError, TokenError, MalformedHistoryError, UnreadableError, OSError.
        """
        notes = [*cosigned_history.read(self.folder)]
        seen = attested.tightest(trust, DirectorySource(self.folder), notes, index, head)
        stamped = attested.bounds_of(index, self.stamps(head))
        latest = [each for each in (seen.after, stamped.after) if each is not None]
        first = [each for each in (seen.before, stamped.before) if each is not None]
        absent = trust.is_witnessed and not notes and not latest
        return Bounds(
            max(latest, key=lambda each: each.at, default=None),
            min(first, key=lambda each: each.by, default=None),
            f"the log has no files of cosigned checkpoints in {cosigned_history.FOLDER}/"
            if absent
            else "",
        )

    def stamps(self, head: Checkpoint) -> Iterator[Attested]:
        """The checkpoints that a trusted authority stamped, up to `head`, by their sizes."""
        if not self.roots:
            return
        source = DirectorySource(self.folder)
        nodes = LogFiles(source, max(head.size, attested.published(source))).nodes()
        for size, token in tokens(self.folder):
            if size <= head.size:
                older = Checkpoint(head.origin, size, merkle.root(size, nodes))
                yield stamped(token, older, self.roots)


def tokens(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Sizes and bytes of the tokens beside the tiles, by size. Raises TokenError, OSError."""
    stored = folder / STAMPS
    found = []
    for path in stored.glob("*.tsr") if stored.is_dir() else []:
        if not (path.stem.isascii() and path.stem.isdigit()):
            raise TokenError(f"{STAMPS}/{path.name}: want a size as the name")
        found.append((int(path.stem), path))
    for size, path in sorted(found):
        with path.open("rb") as file:
            yield size, file.read(timestamp_token.MAX_SIZE + 1)


def stamped(token: bytes, head: Checkpoint, roots: Sequence[x509.Certificate]) -> Attested:
    """When an authority stamped a checkpoint. Raises TokenError."""
    try:
        found = timestamp_token.verify(token, str(head).encode(), roots)
    except TokenError as error:
        raise TokenError(f"{STAMPS}/{head.size}.tsr: {error}") from error
    return Attested(head, found.at, found.at, f"the authority {found.authority}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every verifier that speaks of times."""
    parser.add_argument(
        "--log",
        type=Path,
        help="the consent log's tile directory: when witnesses saw the log without an entry",
    )
    parser.add_argument(
        "--timestamp-roots",
        type=Path,
        help="with --log: root certificates (PEM) of the timestamp authorities that you trust",
    )
    parser.add_argument(
        "--at-least",
        type=Path,
        metavar="CHECKPOINT",
        help="a signed checkpoint that you know: refuse a verdict under an older one",
    )


def chosen_times(chosen: argparse.Namespace) -> PublishedTimes | None:
    """What `--log` and `--timestamp-roots` name. Raises OSError, TokenError."""
    if chosen.log is None:
        return None
    if not (chosen.log / "checkpoint").is_file():
        raise FileNotFoundError(2, "no tile directory with a checkpoint", str(chosen.log))
    pem = chosen.timestamp_roots
    roots = timestamp_token.roots_of(pem.read_bytes()) if pem else []
    return PublishedTimes(chosen.log, roots)


def require_newest(chosen: argparse.Namespace, head: Checkpoint, trust: LogPolicy | None) -> None:
    """Raise TimeError or LogPolicyError unless `head` is as new as `--at-least` wants.

    `trust`: the policy that the known checkpoint must satisfy; None: it is not asked for.
    """
    if chosen.at_least is None:
        return
    with chosen.at_least.open("rb") as file:
        note = signed_note.parse(file.read(MAX_NOTE).decode("utf-8"))
    wanted = checkpoint.parse(note.text) if trust is None else trust.verify(note)
    attested.require_at_least(head, wanted)
    if chosen.log is not None:
        attested.require_prefix(DirectorySource(chosen.log), wanted, head)


def moment(text: str) -> datetime:
    """A time as events write it. Raises ValueError."""
    return datetime.strptime(text, attested.FORMAT).replace(tzinfo=UTC)
