"""How answers are written: JSON for a point; Arrow IPC, JSON Lines or CSV for a table."""

import io
from typing import Any

import msgspec

from gate.read import Answer
from gate.table import TableAnswer

ARROW = "application/vnd.apache.arrow.stream"
JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
FORMS = (ARROW, JSON_LINES, CSV)

_BATCH_ROWS = 8192


def point(answer: Answer) -> dict[str, Any]:
    """One customer's answer: a value and a view for each field, and what they rest on."""
    return {
        "decision": answer.decision.allowed,
        "reason": answer.decision.reason,
        "fields": {
            field: {"value": answer.values.get(field), "view": view}
            for field, view in answer.views.items()
        },
        "release": answer.release,
        "ledger_size": answer.decision.ledger_size,
        "determined_by": answer.decision.determined_by,
        "read_log": answer.read_log,
        "entry": answer.entry,
    }


def negotiate(accept: str) -> str | None:
    """The first of the accepted types that can be written; Arrow if anything goes."""
    for each in accept.split(","):
        kind = each.split(";")[0].strip().lower()
        if kind in FORMS:
            return kind
        if kind in {"*/*", "application/*"}:
            return ARROW
    return None


def encode(answer: TableAnswer, form: str) -> bytes:
    """The table in one of FORMS. What the answer rests on is in the schema's metadata (Arrow)."""
    sink = io.BytesIO()
    if form == JSON_LINES:
        _json_lines(answer.table, sink)
    elif form == CSV:
        from pyarrow import csv

        csv.write_csv(_plain(answer.table), sink)
    else:
        _arrow(answer, sink)
    return sink.getvalue()


def _arrow(answer: TableAnswer, sink: io.BytesIO) -> None:
    import pyarrow as pa

    about = {
        "mode": answer.mode,
        "release": answer.release or "",
        "ledger_size": str(answer.ledger_size),
        "read_log": answer.read_log,
        "entry": str(answer.entry),
    }
    table = answer.table.replace_schema_metadata(about)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH_ROWS)


def _json_lines(table: Any, sink: io.BytesIO) -> None:
    encode_lines = msgspec.json.Encoder().encode_lines
    batches = table.to_batches(max_chunksize=_BATCH_ROWS)
    sink.writelines(encode_lines(batch.to_pylist()) for batch in batches)


def _plain(table: Any) -> Any:
    """CSV knows no dictionaries: view columns become strings."""
    import pyarrow as pa

    kinds = [pa.string() if pa.types.is_dictionary(each) else each for each in table.schema.types]
    return table.cast(pa.schema(zip(table.column_names, kinds, strict=True)))
