"""Parses a stream of rows (JSON Lines), and finds whether it is whole.

    {"customer": "c00007", "age": 31, "age.view": "personal"}

Every row must have the fields that were asked for, with their views, and nothing else. A stream is
whole if HTTP says so (its length or its last chunk has arrived), its last line is complete, and of
a read by name there is one row for each id, in the order of the ids.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from sovereign_client.errors import IncompleteError, UnknownAnswerError
from sovereign_client.values import Fields, Value, marked

CUSTOMER, ALLOWED, REASON = "customer", "customer.allowed", "customer.reason"
MAX_LINE = 1 << 24  # bytes: a stream without line ends does not fill the memory
_CUT = "use the rows that came before as a part only, or read again"


@dataclass(frozen=True, slots=True)
class TableRow(Fields):
    """A row of a table: somebody's fields, personal or synthetic, without an id."""


@dataclass(frozen=True, slots=True)
class CustomerRow(Fields):
    """A customer who granted all fields that were asked for."""

    customer: str


@dataclass(frozen=True, slots=True)
class NamedRow(Fields):
    """One of the customers who were named. `allowed`, `reason`: as in an Answer."""

    customer: str
    allowed: bool
    reason: str


R = TypeVar("R", bound=Fields)
R_co = TypeVar("R_co", bound=Fields, covariant=True)


class RowKind(Protocol[R_co]):
    """Makes a row of an endpoint: of its marked fields, and the members that are no fields."""

    members: Sequence[str]

    def __call__(self, values: dict[str, Value], about: Mapping[str, Any]) -> R_co: ...


class TableRows:
    members: Sequence[str] = ()

    def __call__(self, values: dict[str, Value], about: Mapping[str, Any]) -> TableRow:  # noqa: ARG002 - no other members
        return TableRow(values)


class CustomerRows:
    members: Sequence[str] = (CUSTOMER,)

    def __call__(self, values: dict[str, Value], about: Mapping[str, Any]) -> CustomerRow:
        return CustomerRow(values, _text(about, CUSTOMER))


class NamedRows:
    """Rows of customers who were named. Raises UnknownAnswerError for another order than `ids`."""

    members: Sequence[str] = (CUSTOMER, ALLOWED, REASON)

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = iter([*ids])

    def __call__(self, values: dict[str, Value], about: Mapping[str, Any]) -> NamedRow:
        customer = _text(about, CUSTOMER)
        if customer != next(self._ids, None):  # whose it is stays out of messages, which are logged
            raise UnknownAnswerError("want the rows of the ids in their order, found another's")
        allowed = about[ALLOWED]
        if not isinstance(allowed, bool):
            raise UnknownAnswerError(f"{ALLOWED}: want true or false, found {allowed!r}")
        return NamedRow(values, customer, allowed, _text(about, REASON))


def _text(about: Mapping[str, Any], member: str) -> str:
    text = about[member]
    if not isinstance(text, str):
        raise UnknownAnswerError(f"{member}: want a text, found a {type(text).__name__}")
    return text


class RowParser(Generic[R]):
    """Parses one stream, chunk by chunk. `expected`: how many rows there must be; None: any."""

    def __init__(
        self, kind: RowKind[R], fields: Sequence[str], expected: int | None = None
    ) -> None:
        self._kind, self._fields, self._expected = kind, [*dict.fromkeys(fields)], expected
        views = [f"{each}.view" for each in self._fields]
        self._members = {*kind.members, *self._fields, *views}
        self._line = msgspec.json.Decoder(dict[str, Any])
        self._rest, self._count = b"", 0

    def rows(self, chunk: bytes) -> list[R]:
        """The rows that are complete with this chunk. Raises UnknownAnswerError."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise UnknownAnswerError(f"a row of more than {MAX_LINE} bytes")
        self._count += len(lines)
        return [self._row(line) for line in lines]

    def end(self) -> None:
        """Check that nothing is missing. Raises IncompleteError."""
        if self._rest:
            raise IncompleteError(f"the answer ends inside row {self._count + 1}: {_CUT}")
        if self._expected is not None and self._count != self._expected:
            raise IncompleteError(f"want {self._expected} rows, found {self._count}: {_CUT}")

    def _row(self, line: bytes) -> R:
        try:
            row = self._line.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise UnknownAnswerError(f"a row is not understood: {error}") from error
        if row.keys() != self._members:
            wanted, found = sorted(self._members), sorted(row)
            raise UnknownAnswerError(f"a row: want the members {wanted}, found {found}")
        values = {each: marked(each, row[each], row[f"{each}.view"]) for each in self._fields}
        return self._kind(values, row)


def require_end(headers: Mapping[str, str], http_version: str) -> None:
    """Refuse an answer that only a closed connection ends, for a cut one would look complete.

    `headers`: with names in lower case, or a mapping that ignores case. Raises IncompleteError.
    """
    coding = headers.get("transfer-encoding", "").rpartition(",")[2].strip().lower()
    marked_end = coding == "chunked" or "content-length" in headers
    if not marked_end and http_version != "HTTP/2":
        raise IncompleteError(
            "want an answer with a length or in chunks, found one that ends with the connection:"
            " check the proxy before the gate (HTTP/1.1)"
        )
    if "content-encoding" in headers:
        found = headers["content-encoding"]
        raise IncompleteError(f"want no content encoding, found {found!r}: check the proxy")


_PARAMETER = re.compile(r'(?:^|;)(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^;"]*))')
_ESCAPED = re.compile(r"\\(.)")


def _parameters(header: str) -> dict[str, str]:
    matches = _PARAMETER.findall(header)
    return {name: _ESCAPED.sub(r"\1", quoted) or plain for name, quoted, plain in matches}


@dataclass(frozen=True, slots=True)
class Completion:
    """How a table was completed with synthetic rows.

    `mode`: "release-anchored", "naive", or "none". `release`: the release they rest on. `mean` and
    `p95`: the expected relative error of a segment's count (0.014 is 1.4 %), None if unknown.
    `covers`: what the error includes.
    """

    mode: str
    release: str | None = None
    mean: float | None = None
    p95: float | None = None
    covers: str | None = None

    @classmethod
    def parse(cls, header: str) -> "Completion":
        """Parse the header `Sovereign-Completion`. Raises UnknownAnswerError."""
        mode, _, rest = header.partition(";")
        parameters = _parameters(rest)
        try:
            mean, p95 = (
                float(parameters[each]) / 100 if each in parameters else None
                for each in ("mean", "p95")
            )
        except ValueError as error:
            raise UnknownAnswerError(f"Sovereign-Completion: {header!r}: {error}") from error
        return cls(mode, parameters.get("release"), mean, p95, parameters.get("covers"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where an answer is logged, and the size of the ledger that it rests on."""

    read_log: str
    entry: int
    ledger_size: int

    @classmethod
    def parse(cls, header: str) -> "Evidence":
        """Parse the header `Sovereign-Evidence`. Raises UnknownAnswerError."""
        found = _parameters(header)
        try:
            return cls(found["read_log"], int(found["entry"]), int(found["ledger_size"]))
        except (KeyError, ValueError) as error:
            raise UnknownAnswerError(f"Sovereign-Evidence: not understood: {header!r}") from error
