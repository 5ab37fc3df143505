"""Fast parser for read-log entries; caches the parts that repeat.

    {"action":"read", … ,"determined_by": "5b…" ,"fields":["age"], … ,"subject": "4b…" ,"views":{…}}
    `------- beginning -----------------´      `------- shape ------------------´      `-- shape -´

Millions of leaves have few distinct beginnings (a second at one ledger position) and fewer shapes.
Each of these is decoded once and checked to be in canonical form. The two parts in between are
compared byte for byte with the expected ones.
"""

import re

import msgspec
from msgspec import UNSET

from gate.readlog import batch_entry
from gate.readlog.batch_entry import BatchList, DecisionBatch
from gate.readlog.writer import OWN, ReadLogEntry
from gate.replay.history import ActiveState
from gate.state import consent_bits

ABOUT_ONE = frozenset({"evaluate", OWN, "read"})
ABOUT_MANY = frozenset({"rows", "search", "statistics", "table"})
MAX_REMEMBERED = 65_536  # cached beginnings, and cached shapes
_RESTS, _SUBJECT, _NULL = b'"determined_by":', b'"subject":', b"null"
_DIGEST = re.compile(r"[0-9a-f]{64}")  # SHA-256 in hex
_DECODER = msgspec.json.Decoder(ReadLogEntry)


class MalformedLeafError(ValueError):
    """The bytes are not a read-log entry in canonical form."""


class Shape:
    """The part that many leaves share: an entry without its customer.

    `follows`: cached results under the active plan, by consent bits: see gate.replay.check_entry.
    """

    __slots__ = ("active", "follows", "reading")

    def __init__(self, logged: ReadLogEntry) -> None:
        self.reading = logged
        self.active: ActiveState | None = None  # set on first use
        self.follows: dict[int, bool] = {}


class Beginning:
    """The beginning of a leaf: action, second, sets of customers or none, and ledger position."""

    __slots__ = ("answered", "cohort", "is_about_many", "minute", "root", "shapes", "size")

    def __init__(self, logged: ReadLogEntry, shapes: dict[bytes, Shape]) -> None:
        self.size, self.root = logged.consent.size, logged.consent.root
        self.minute, self.cohort = consent_bits.minute(logged.at), logged.cohort
        self.answered = None if logged.answered is UNSET else logged.answered
        self.is_about_many = logged.action in ABOUT_MANY
        self.shapes = shapes


Leaf = tuple[Beginning, Shape, bytes, bytes]  # and determined_by, and subject: JSON


class Leaves:
    """Parses the leaves of one read log."""

    def __init__(self) -> None:
        self._beginnings: dict[bytes, Beginning] = {}
        self._shapes: dict[str, dict[bytes, Shape]] = {}

    def parse(self, leaf: bytes) -> Leaf:
        """Split a leaf into its parts. Raises MalformedLeafError."""
        try:
            rests = leaf.index(_RESTS) + len(_RESTS)
            middle = leaf.index(b",", rests)
            tag = leaf.index(_SUBJECT, middle) + len(_SUBJECT)
        except ValueError as error:
            raise MalformedLeafError("not a read-log entry") from error
        end = tag + len(_NULL) if leaf.startswith(_NULL, tag) else leaf.find(b'"', tag + 1) + 1
        known, text = self._beginnings.get(leaf[:rests]), leaf[middle:tag] + leaf[end:]
        shape = known.shapes.get(text) if known is not None else None
        if known is None or shape is None:
            known, shape = self._learn(leaf[:rests], leaf[middle:tag], leaf[end:])
        return known, shape, leaf[rests:middle], leaf[tag:end]

    def shape(self, batch: DecisionBatch, wording: msgspec.Raw) -> Shape:
        """The shape of a wording of a batch's list. Raises MalformedListError."""
        shapes, text = self._shapes.setdefault(batch.action, {}), bytes(wording)
        if (known := shapes.get(text)) is None:
            if len(shapes) >= MAX_REMEMBERED:
                shapes.clear()
            listing = BatchList((("", None, 0),), (wording,))
            known = shapes[text] = Shape(listing.entry(batch, 0))
        return known

    def _learn(self, head: bytes, middle: bytes, end: bytes) -> tuple[Beginning, Shape]:
        plain = head + _NULL + middle + _NULL + end
        try:
            logged = _DECODER.decode(plain)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedLeafError(f"not a read-log entry: {error}") from error
        if logged.encode() != plain or not _is_written(logged):
            raise MalformedLeafError("the entry is not in canonical form")
        shapes = self._shapes.setdefault(logged.action, {})
        for full in (self._beginnings, shapes):
            if len(full) >= MAX_REMEMBERED:
                full.clear()
        known = self._beginnings[head] = Beginning(logged, shapes)
        shape = shapes.setdefault(middle + end, Shape(logged))
        return known, shape


def _is_written(logged: ReadLogEntry) -> bool:
    """Whether a journal writes an entry with these members."""
    sets = logged.cohort, None if logged.answered is UNSET else logged.answered
    many = logged.action in ABOUT_MANY
    return (
        (many or logged.action in ABOUT_ONE)
        and all(each is None or (many and _DIGEST.fullmatch(each)) for each in sets)
        and (sets[1] is None or sets[0] is not None)
        and batch_entry.is_moment(logged.at, logged.consent)
        and logged.rows >= 0
        and (logged.on_behalf_of is UNSET or logged.action in ABOUT_ONE)
        and (not logged.plan or _DIGEST.fullmatch(logged.plan) is not None)
    )
