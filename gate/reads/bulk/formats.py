"""Serialises answers: JSON for one customer; Arrow IPC, JSON Lines or CSV for tables and rows.

The header `Sovereign-Completion` of a stream says how its table was completed: a structured item
(RFC 9651) with the mode, the release it rests on, and the error bar in per cent.

    release-anchored;release="segmentation-9f2c…";mean=1.412;p95=4.873;covers="noise of the counts"
    naive;release="segmentation-9f2c…";covers="who withdrew is not corrected for"
    none

The header `Sovereign-Evidence` says where the read log has the entry of the answer, and how much of
the consent ledger the answer rests on.

    entry=12;ledger_size=7;read_log="gate.example/reads/one"
"""

import io
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import msgspec

from gate.reads.bulk.table import TableAnswer
from gate.reads.request import Answer

ARROW = "application/vnd.apache.arrow.stream"
JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
FORMS = (ARROW, JSON_LINES, CSV)
COMPLETION, EVIDENCE = "Sovereign-Completion", "Sovereign-Evidence"


def point(answer: Answer) -> dict[str, Any]:
    """One customer's answer as JSON: per field a value and a view, and what they rest on."""
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
    """The value of the header named by COMPLETION."""
    parts = [answer.mode]
    if answer.release is not None:
        parts.append(f"release={_quoted(answer.release)}")
    if answer.error is not None:
        figures = {"mean": answer.error.mean, "p95": answer.error.p95}
        parts += [f"{k}={share * 100:.3f}" for k, share in figures.items() if isfinite(share)]
        parts.append(f"covers={_quoted(answer.error.covers)}")
    return ";".join(parts)


def evidence(answer: TableAnswer) -> str:
    """The value of the header named by EVIDENCE: parameters of RFC 9651."""
    log = _quoted(answer.read_log)
    return f"entry={answer.entry};ledger_size={answer.ledger_size};read_log={log}"


def _quoted(text: str) -> str:
    """An RFC 9651 string, which allows printable ASCII only."""
    plain = "".join(each if " " <= each <= "~" else "?" for each in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def negotiate(accept: str) -> str | None:
    """The first supported type in an Accept header; Arrow for `*/*`; None if there is none."""
    for each in accept.split(","):
        kind = each.split(";")[0].strip().lower()
        if kind in FORMS:
            return kind
        if kind in {"*/*", "application/*"}:
            return ARROW
    return None


def chunks(answer: TableAnswer, form: str) -> Iterator[bytes]:
    """Serialise the answer in one of FORMS, chunk by chunk; memory is bounded by one batch.

    For Arrow, the schema's metadata says what the answer rests on. Raises what the batches raise;
    the stream then lacks its end marker, so that a reader can tell that it is incomplete.
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
    """Functions that write one batch and that finish the stream."""
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
    """CSV has no dictionary type, so view columns are written as strings."""
    import pyarrow as pa
    from pyarrow import csv

    kinds = [pa.string() if pa.types.is_dictionary(each) else each for each in schema.types]
    plain = pa.schema(list(zip(schema.names, kinds, strict=True)))
    writer = csv.CSVWriter(sink, plain)
    return lambda batch: writer.write(batch.cast(plain)), writer.close


def _taken(sink: io.BytesIO) -> bytes:
    """The bytes written since the last call."""
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written
