"""Reads an answer in Arrow's streaming format. Needs pyarrow: `sovereign-client[arrow]`.

Beside each field's column stands one with its views, `<field>.view`, as strings.
"""

from collections.abc import Sequence

import pyarrow as pa

from sovereign_client.errors import IncompleteError, UnknownAnswerError

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # the end mark of a stream: Arrow IPC, streaming format
VIEWS = frozenset({"personal", "generalised", "synthetic", "withheld"})


def table(content: bytes, fields: Sequence[str]) -> pa.Table:
    """The table in `content`. Raises IncompleteError, UnknownAnswerError."""
    if not content.endswith(END):
        raise IncompleteError("want an Arrow stream with its end mark, found one without")
    try:
        read = pa.ipc.open_stream(content).read_all()
    except pa.ArrowInvalid as error:
        raise UnknownAnswerError(f"want an Arrow stream: {error}") from error
    for each in fields:
        view = f"{each}.view"
        if each not in read.column_names or view not in read.column_names:
            raise UnknownAnswerError(f"want the columns {each} and {view}, found {read.schema}")
        found = {*read.column(view).unique().to_pylist()}
        if not found <= VIEWS:
            raise UnknownAnswerError(
                f"{view}: want {sorted(VIEWS)}, found {sorted(map(str, found))}"
            )
    return read
