r"""A challenge: which entries of read logs the company is to open.

    {"checkpoint":{"origin":"bank.example/consent","root":"7xL/…=","size":70},
     "drawn":[{"entry":12,"log":"bank.example/reads-1a2b3c4d"}],"from":"2026-11-01T00:00:00Z",
     "handed_over":"2026-12-01T09:00:00Z","nonce":"9f2c… (32 bytes in hex)","of":1234,"sample":1,
     "to":"2026-12-01T00:00:00Z","type":"sovereign/challenge/v1"}

The seed is SHA-256("sovereign/sample/v1\0" ‖ nonce ‖ size(8) ‖ root ‖ origin): it rests on the
regulator's nonce and the first checkpoint that witnesses saw after it was handed over. The number
drawn in turn i is SHA-256(seed ‖ i(8)) modulo the number of entries; repeated ones are left out. A
regulator who hands over the nonce's `seal`, and shows the nonce later, leaves the company nothing
to try checkpoints with, and cannot choose either.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from ledger.tlog.checkpoint import Checkpoint
from ledger.vault import commitments
from ledger.verify.times.attested import FORMAT
from ledger.verify.times.from_log import moment

TYPE = "sovereign/challenge/v1"
MAX_SAMPLE = 10_000
MAX_SIZE = 1 << 22  # bytes
_DOMAIN, _PLACE = b"sovereign/sample/v1\0", b"place"
_NONCE = re.compile(r"[0-9a-f]{64}")


class ChallengeError(ValueError):
    """The file is no challenge, or the entries that it names were not drawn."""


@dataclass(frozen=True, slots=True, order=True)
class DrawnEntry:
    """An entry of a read log, by the log's origin and its index there."""

    log: str
    entry: int


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """What a regulator asks: `sample` entries of [since, until), by a nonce handed over then."""

    nonce: bytes
    handed_over: datetime
    sample: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class SampleChallenge:
    """A request, the checkpoint that it was drawn by, and what was drawn, in order of the draw.

    `of`: how many entries it was drawn from.
    """

    request: ChallengeRequest
    head: Checkpoint
    of: int
    drawn: tuple[DrawnEntry, ...]

    def encode(self) -> bytes:
        """The file: canonical JSON and a line end."""
        asked, head = self.request, self.head
        root = b64encode(head.root).decode()
        value = {
            "checkpoint": {"origin": head.origin, "root": root, "size": head.size},
            "drawn": [{"entry": each.entry, "log": each.log} for each in self.drawn],
            "from": f"{asked.since:{FORMAT}}",
            "handed_over": f"{asked.handed_over:{FORMAT}}",
            "nonce": asked.nonce.hex(),
            "of": self.of,
            "sample": asked.sample,
            "to": f"{asked.until:{FORMAT}}",
            "type": TYPE,
        }
        return commitments.canonical(value) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the file, in hex: what openings answer."""
        return sha256(self.encode()).hexdigest()

    @property
    def seed(self) -> bytes:
        return seed(self.request.nonce, self.head)


def parse(data: bytes) -> SampleChallenge:
    """Parse the file; it formats back to the same bytes. Raises ChallengeError."""
    try:
        value = commitments.parse(data)
        asked = ChallengeRequest(
            nonce(value["nonce"]),
            moment(value["handed_over"]),
            value["sample"],
            moment(value["from"]),
            moment(value["to"]),
        )
        shown = value["checkpoint"]
        head = Checkpoint(shown["origin"], shown["size"], b64decode(shown["root"], validate=True))
        drawn = tuple(_drawn(each) for each in value["drawn"])
        parsed = SampleChallenge(asked, head, value["of"], drawn)
        formatted = parsed.encode()
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ChallengeError(f"not a challenge: {error}") from error
    numbers = (parsed.of, asked.sample, head.size)
    if formatted != data or any(type(each) is not int or each < 0 for each in numbers):
        raise ChallengeError("not a challenge in canonical form")
    return parsed


def nonce(text: Any) -> bytes:
    """32 bytes in hex. Raises ChallengeError."""
    if not isinstance(text, str) or not _NONCE.fullmatch(text):
        raise ChallengeError(
            "the nonce is not 32 bytes in hex: make one with `openssl rand -hex 32`"
        )
    return bytes.fromhex(text)


def is_digest(text: str) -> bool:
    """Whether a text is 32 bytes in hex, as a nonce and its seal are written."""
    return _NONCE.fullmatch(text) is not None


def seal(given: bytes) -> str:
    """What is handed over in place of a nonce: SHA-256 of its 64 hexadecimal digits, in hex."""
    return sha256(given.hex().encode()).hexdigest()


def seed(given: bytes, head: Checkpoint) -> bytes:
    """What a draw rests on: nobody knows it before both the nonce and the checkpoint are there."""
    return sha256(
        _DOMAIN + given + head.size.to_bytes(8) + head.root + head.origin.encode()
    ).digest()


def draw(drawn_by: bytes, of: int, sample: int) -> list[int]:
    """`sample` different numbers below `of`, or all of them, in the order of the draw."""
    chosen: dict[int, None] = {}
    numbers = _numbers(drawn_by, of)
    while len(chosen) < min(sample, of):
        chosen[next(numbers)] = None
    return [*chosen]


def place(drawn_by: bytes, entry: DrawnEntry, of: int) -> int:
    """Which of the `of` decisions in the list of a drawn entry is to be opened."""
    named = _PLACE + entry.entry.to_bytes(8) + entry.log.encode()
    return int.from_bytes(sha256(drawn_by + named).digest()) % of


def _numbers(drawn_by: bytes, of: int) -> Iterator[int]:
    turn = 0
    while True:
        yield int.from_bytes(sha256(drawn_by + turn.to_bytes(8)).digest()) % of
        turn += 1


def _drawn(value: Any) -> DrawnEntry:
    if not isinstance(value["log"], str) or type(value["entry"]) is not int:
        raise ChallengeError(f"want an entry of a log, found {value!r:.80}")
    return DrawnEntry(value["log"], value["entry"])
