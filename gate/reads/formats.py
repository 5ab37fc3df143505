"""How answers are written: JSON for a point; Arrow IPC, JSON Lines or CSV for tables and rows.

Beside a stream, in the header `Sovereign-Completion`, stands how it was completed: a structured
item (RFC 9651), the mode, with the release that it rests on and the error bar in per cent.

    release-anchored;release="segmentation-9f2c…";mean=1.412;p95=4.873;covers="noise of the counts"
    naive;release="segmentation-9f2c…";covers="who withdrew is not corrected for"
    none
"""

import io
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import msgspec

from gate.reads.point import Answer
from gate.reads.table import TableAnswer

ARROW = "application/vnd.apache.arrow.stream"
JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
FORMS = (ARROW, JSON_LINES, CSV)
COMPLETION = "Sovereign-Completion"


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


def completion(answer: TableAnswer) -> str:
    """The value of the header COMPLETION."""
    said = [answer.mode]
    if answer.release is not None:
        said.append(f"release={_quoted(answer.release)}")
    if answer.error is not None:
        figures = {"mean": answer.error.mean, "p95": answer.error.p95}
        said += [f"{k}={share * 100:.3f}" for k, share in figures.items() if isfinite(share)]
        said.append(f"covers={_quoted(answer.error.covers)}")
    return ";".join(said)


def _quoted(text: str) -> str:
    """A string of RFC 9651, which is printable ASCII."""
    plain = "".join(each if " " <= each <= "~" else "?" for each in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def negotiate(accept: str) -> str | None:
    """The first of the accepted types that can be written; Arrow if anything goes."""
    for each in accept.split(","):
        kind = each.split(";")[0].strip().lower()
        if kind in FORMS:
            return kind
        if kind in {"*/*", "application/*"}:
            return ARROW
    return None


def chunks(answer: TableAnswer, form: str) -> Iterator[bytes]:
    """The answer in one of FORMS, piece by piece; about one batch is held at a time.

    What the answer rests on is in the schema's metadata (Arrow). A stream that breaks off raises:
    then it has no end, and whoever reads it must not take it for whole.
    """
    sink = io.BytesIO()
    write, end = _writer(answer, form, sink)
    for batch in answer.batches or ():
        write(batch)
        yield _taken(sink)
    end()
    yield _taken(sink)


def _writer(
    answer: TableAnswer, form: str, sink: io.BytesIO
) -> tuple[Callable[[Any], object], Callable[[], object]]:
    """How a batch is written, and what is done at the end."""
    if form == JSON_LINES:
        lines = msgspec.json.Encoder().encode_lines
        return lambda batch: sink.write(lines(batch.to_pylist())), lambda: None
    if form == CSV:
        return _csv(answer.schema, sink)
    return _arrow(answer, sink)


def _arrow(
    answer: TableAnswer, sink: io.BytesIO
) -> tuple[Callable[[Any], object], Callable[[], object]]:
    import pyarrow as pa

    bar = answer.error
    about = {
        "mode": answer.mode,
        "release": answer.release or "",
        "error_mean": f"{bar.mean:.6f}" if bar and isfinite(bar.mean) else "",
        "error_p95": f"{bar.p95:.6f}" if bar and isfinite(bar.p95) else "",
        "error_covers": bar.covers if bar else "",
        "ledger_size": str(answer.ledger_size),
        "read_log": answer.read_log,
        "entry": str(answer.entry),
    }
    writer = pa.ipc.new_stream(sink, answer.schema.with_metadata(about))
    return writer.write_batch, writer.close


def _csv(schema: Any, sink: io.BytesIO) -> tuple[Callable[[Any], object], Callable[[], object]]:
    """CSV knows no dictionaries: view columns become strings."""
    import pyarrow as pa
    from pyarrow import csv

    kinds = [pa.string() if pa.types.is_dictionary(each) else each for each in schema.types]
    plain = pa.schema(list(zip(schema.names, kinds, strict=True)))
    writer = csv.CSVWriter(sink, plain)
    return lambda batch: writer.write(batch.cast(plain)), writer.close


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time."""
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written
