"""Writes the steward's report on one release: comparison, noise audit, model utility."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.tlog import atomic_file
from synthetic.evaluation import evaluate
from synthetic.evaluation.evaluate import EvaluationReport
from synthetic.evaluation.noise_audit import audit_within
from synthetic.evaluation.utility import Utility, utility
from synthetic.fitting.release import Release
from synthetic.model import counts
from synthetic.model.domain import DomainError

AUDIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Reporting:
    """A report on `release`. `customer`: column of each row's customer, if any has several."""

    release: Release
    targets: Sequence[str]
    customer: str | None = None

    def report(self, rows: Any, held_out: Any | None, *, audit: bool) -> EvaluationReport:
        """`rows`: the rows of the fit; `held_out`: rows of other customers. Raises DomainError."""
        table = self._bounded(rows)
        audited = audit_within(self.release, AUDIT_S) if audit else None
        utilities = self._utilities(table, held_out) if held_out is not None else []
        return evaluate.report(self.release, table, audited, utilities)

    def write(self, report: EvaluationReport, to: Path) -> tuple[Path, Path]:
        """Write the HTML page to `to` and its JSON next to it. Returns both paths."""
        to_json = to.with_suffix(".json")
        body = json.dumps(report.body(), indent=2, ensure_ascii=False)
        atomic_file.write(to, evaluate.html(report).encode())
        atomic_file.write(to_json, body.encode())
        return to, to_json

    def _utilities(self, table: Any, held_out: Any) -> list[Utility]:
        if not self.targets:
            raise DomainError("want a column for models to predict, found none: give --target")
        other = self._bounded(held_out)
        measured = (utility(self.release, table, other, self._known(name)) for name in self.targets)
        return [each for each in measured if each is not None]

    def _known(self, name: str) -> str:
        self.release.domain.shape([name])  # refuses a target that is not a column
        return name

    def _bounded(self, rows: Any) -> Any:
        counts.require_readable(rows, self.release.domain)
        if self.customer is None:
            return rows
        max_rows = self.release.statement.contribution
        return counts.bounded(rows, self.release.domain, self.customer, max_rows)
