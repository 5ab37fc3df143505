"""The steward's report on one release: compared, audited, tried, written."""

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
    """`customer`: the column that says whose a row is, if a customer may have several."""

    release: Release
    targets: Sequence[str]
    customer: str | None = None

    def report(self, rows: Any, held_out: Any | None, *, audit: bool) -> EvaluationReport:
        """`rows`: of the fit; `held_out`: of others. Raises DomainError."""
        table = self._bounded(rows)
        audited = audit_within(self.release, AUDIT_S) if audit else None
        found = self._utilities(table, held_out) if held_out is not None else []
        return evaluate.report(self.release, table, audited, found)

    def write(self, found: EvaluationReport, to: Path) -> tuple[Path, Path]:
        """The page at `to`, and the same as JSON beside it."""
        beside = to.with_suffix(".json")
        atomic_file.write(to, evaluate.html(found).encode())
        atomic_file.write(beside, json.dumps(found.body(), indent=2, ensure_ascii=False).encode())
        return to, beside

    def _utilities(self, table: Any, held_out: Any) -> list[Utility]:
        if not self.targets:
            raise DomainError("nothing says what models predict: name a column with --target")
        other = self._bounded(held_out)
        tried = (utility(self.release, table, other, self._known(name)) for name in self.targets)
        return [each for each in tried if each is not None]

    def _known(self, name: str) -> str:
        self.release.domain.shape([name])  # a target that is no column is refused
        return name

    def _bounded(self, rows: Any) -> Any:
        if self.customer is None:
            return rows
        most = self.release.statement.contribution
        return counts.bounded(rows, self.release.domain, self.customer, most)
