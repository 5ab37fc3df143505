"""Decides the rows of named customers again, piece by piece, just before they leave.

As gate.reads.bulk.recheck does for rows; but a customer who was named stays in the answer: what
they no longer allow is withheld, with the reason of now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Any

from gate.decision.decide import Verdict, View
from gate.policy.compiled import Plan
from gate.reads.bulk import record_batches
from gate.reads.bulk.named_request import NamedDecisions, NamedRequest, decide_named
from gate.reads.bulk.named_values import ALLOWED, GIVEN, REASON
from gate.reads.bulk.recheck import PIECE_BYTES, ScenePausedError
from gate.reads.point import Gate
from gate.state import consent_bits

WITHHELD = 0  # its code in every column of views: see named_values.labelled


class NamedRecheck:
    """Takes values out of an answer whose customers no longer grant them. For one answer.

    Time passes as on the monotonic clock since the request, so that grants that expire meanwhile
    end as well.
    """

    def __init__(
        self, gate: Gate, plan: Plan, request: NamedRequest, decided: NamedDecisions
    ) -> None:
        self._gate, self._plan, self._request, self._decided = gate, plan, request, decided
        self._began = monotonic()
        self.missed: list[str] = []  # customers of whom something was taken out

    def pieces(self, batch: Any) -> Iterator[Any]:
        """The rows of the batch in pieces, without values that may no longer be read.

        Raises ScenePausedError, and what following the ledger raises: then the answer ends without
        its end mark.
        """
        at = 0
        while at < batch.num_rows:
            rest = batch.slice(at)
            piece = rest.slice(0, record_batches.rows_in(rest, PIECE_BYTES))
            yield self._still_allowed(piece, at)
            at += piece.num_rows

    def _still_allowed(self, piece: Any, first: int) -> Any:
        gate, plan = self._gate, self._plan
        if plan.scene.id in gate.suspended or gate.options.clock_doubt():
            raise ScenePausedError(plan.scene.id)
        at = self._request.at + timedelta(seconds=monotonic() - self._began)
        asked = self._request.subjects[first : first + piece.num_rows]
        now = decide_named(gate, replace(self._request, subjects=asked, minimum_size=0), plan, at)
        before = self._decided
        same_minute = consent_bits.minute(at) == consent_bits.minute(self._request.at)
        if same_minute and (now.point.size, now.erasures) == (before.point.size, before.erasures):
            return piece
        return self._withheld(piece, asked, now.verdicts)

    def _withheld(self, piece: Any, asked: Sequence[str], now: Sequence[Verdict]) -> Any:
        """The piece without the values that these verdicts do not allow."""
        import pyarrow as pa
        import pyarrow.compute as pc

        changed = [False] * piece.num_rows
        columns = dict(zip(piece.schema.names, piece.columns, strict=True))
        for name in self._request.fields:
            labels = columns[f"{name}.view"].dictionary
            views = [View(each) for each in columns[f"{name}.view"].to_pylist()]
            gone = [
                view in GIVEN and each.views.get(name) is not view
                for view, each in zip(views, now, strict=True)
            ]
            if not any(gone):
                continue
            changed = [was or here for was, here in zip(changed, gone, strict=True)]
            kind = piece.schema.field(name).type
            columns[name] = pc.if_else(pa.array(gone), pa.scalar(None, kind), columns[name])
            codes = [
                WITHHELD if here else code
                for here, code in zip(
                    gone, columns[f"{name}.view"].indices.to_pylist(), strict=True
                )
            ]
            columns[f"{name}.view"] = pa.DictionaryArray.from_arrays(
                pa.array(codes, pa.int8()), labels
            )
        if not any(changed):
            return piece
        self.missed += [who for who, here in zip(asked, changed, strict=True) if here]
        reasons = pa.array([each.reason.value for each in now], pa.string())
        columns[REASON] = pc.if_else(pa.array(changed), reasons, columns[REASON])
        columns[ALLOWED] = pc.and_(columns[ALLOWED], pa.array([not each for each in changed]))
        return pa.record_batch([*columns.values()], schema=piece.schema)
