"""A leaf of the read log, taken apart: what differs from leaf to leaf, and what hardly ever does.

    {"action":"read", … ,"determined_by": 3 ,"fields":["age"], … ,"subject": "4be1…" ,"views":{ … }}
    `------- beginning -----------------´   `------- shape ------------------´        `-- shape --´

Millions of leaves have few beginnings (a second at one point of the ledger) and fewer shapes. So
each of these is decoded once, and held to be exactly what the journal writes: its one form. The two
parts in between are compared byte for byte with what must stand there.
"""

import msgspec

from gate.readlog.batch_entry import BatchList, DecisionBatch
from gate.readlog.writer import ReadLogEntry
from gate.replay.history import ActiveState
from gate.state import consent_bits
from ledger.vault.commitments import TAG_SIZE

MAX_REMEMBERED = 65_536  # beginnings, or shapes, that are remembered
_RESTS, _SUBJECT, _NULL = b'"determined_by":', b'"subject":', b"null"
_TAG = 2 * TAG_SIZE + 2  # a tag in hex, in its quotation marks
_DECODER = msgspec.json.Decoder(ReadLogEntry)


class MalformedLeafError(ValueError):
    """The bytes are not what a journal writes."""


class Shape:
    """What few leaves differ in; `reading` without its customer. `follows` is what was derived
    under the plan in force, by consent word: see gate.replay.check_entry."""

    __slots__ = ("active", "follows", "reading")

    def __init__(self, reading: ReadLogEntry) -> None:
        self.reading = reading
        self.active: ActiveState | None = None  # once found, it stays
        self.follows: dict[int, bool] = {}


class Beginning:
    """A second at one point of the ledger, in one kind of action, and of one cohort or none."""

    __slots__ = ("cohort", "minute", "root", "shapes", "size")

    def __init__(self, reading: ReadLogEntry, shapes: dict[bytes, Shape]) -> None:
        self.size, self.root = reading.consent.size, reading.consent.root
        self.minute, self.cohort = consent_bits.minute(reading.at), reading.cohort
        self.shapes = shapes


Leaf = tuple[Beginning, Shape, bytes, bytes]  # and determined_by, and subject: JSON


class Leaves:
    """Takes the leaves of one read log apart."""

    def __init__(self) -> None:
        self._beginnings: dict[bytes, Beginning] = {}
        self._shapes: dict[str, dict[bytes, Shape]] = {}

    def parse(self, leaf: bytes) -> Leaf:
        """Raises MalformedLeafError."""
        try:
            rests = leaf.index(_RESTS) + len(_RESTS)
            middle = leaf.index(b",", rests)
            tag = leaf.index(_SUBJECT, middle) + len(_SUBJECT)
        except ValueError as error:
            raise MalformedLeafError("it is not an entry of a journal") from error
        end = tag + (len(_NULL) if leaf.startswith(_NULL, tag) else _TAG)
        known, text = self._beginnings.get(leaf[:rests]), leaf[middle:tag] + leaf[end:]
        shape = known.shapes.get(text) if known is not None else None
        if known is None or shape is None:
            known, shape = self._learn(leaf[:rests], leaf[middle:tag], leaf[end:])
        return known, shape, leaf[rests:middle], leaf[tag:end]

    def shape(self, batch: DecisionBatch, wording: msgspec.Raw) -> Shape:
        """What was said of some customers of a batch. Raises MalformedListError."""
        shapes, text = self._shapes.setdefault(batch.action, {}), bytes(wording)
        if (known := shapes.get(text)) is None:
            if len(shapes) >= MAX_REMEMBERED:
                shapes.clear()
            said = BatchList((("", None, 0),), (wording,))
            known = shapes[text] = Shape(said.entry(batch, 0))
        return known

    def _learn(self, head: bytes, middle: bytes, end: bytes) -> tuple[Beginning, Shape]:
        plain = head + _NULL + middle + _NULL + end
        try:
            reading = _DECODER.decode(plain)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedLeafError(f"it is not an entry of a journal: {error}") from error
        if reading.encode() != plain or reading.at.tzinfo is None or reading.consent.size < 0:
            raise MalformedLeafError("it is not in the one form in which a journal writes")
        shapes = self._shapes.setdefault(reading.action, {})
        for full in (self._beginnings, shapes):
            if len(full) >= MAX_REMEMBERED:
                full.clear()
        known = self._beginnings[head] = Beginning(reading, shapes)
        shape = shapes.setdefault(middle + end, Shape(reading))
        return known, shape
