"""Runs one fit for the command line: begins, shows progress, stops on Ctrl-C, resumes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from gate.contracts.scene import Scene
from ledger.tlog import atomic_file
from portal.operations.budget_records import Records
from portal.operations.release_service import period
from synthetic.fitting import checkpoint
from synthetic.fitting.checkpoint import Partial, PartialError
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.fitting.stages import Progress
from synthetic.privacy.budget_ledger import UsedReservationError


class InterruptedFitError(Exception):
    """A fit was interrupted. The message says what is spent, and how to continue."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """One fit. `to`: file for the public record; an unfinished fit is stored next to it.

    `bounds`: maximum number of rows per customer, and the column with the customer of each row.
    """

    contract: Scene
    records: Records
    to: Path
    loss: tuple[Fraction, Fraction]
    bounds: tuple[int, str | None] = (1, None)
    like: Release | None = None

    @property
    def unfinished(self) -> Path:
        return self.to.with_suffix(".partial.json")

    def begin(self, table: Any, at: datetime) -> Release:
        """Run a new fit. Raises PartialError if one was interrupted, and what `fit` raises."""
        with checkpoint.locked(self.unfinished) as partial:
            if partial.exists:
                raise PartialError(
                    f"{partial.path} is an interrupted fit: continue with --resume, or remove it "
                    "and fit again, in which case its reserved budget stays spent"
                )
            return self._run(partial, table, at)

    def resume(self, table: Any, at: datetime) -> Release:
        """Continue a fit. Raises PartialError if none was interrupted, and what `fit` raises."""
        with checkpoint.locked(self.unfinished) as partial:
            if not partial.exists:
                raise PartialError(
                    f"no file {partial.path}: nothing was interrupted; run without --resume"
                )
            reserved = partial.reservation()
            try:
                return self._run(partial, table, at)
            except UsedReservationError:  # killed after recording the release, before writing it
                release = Release.from_body(self.records.released_under(reserved.id) or {})
                self._write(release)
                return release

    def _run(self, partial: Partial, table: Any, at: datetime) -> Release:
        contribution, customer = self.bounds
        with self._interruptible(partial), _watched(f"Fitting {self.contract.id}") as progress:
            release = fit(
                table,
                scene=self.contract.id,
                domain=self.contract.domain,
                workload=self.contract.group_bys,
                targets=self.contract.predicts,
                loss=self.loss,
                at=at,
                ledger_size=0,
                contribution=contribution,
                customer=customer,
                contract=f"{self.contract.id} {self.contract.version} {self.contract.digest}",
                period=period(at),
                reserve=self.records.reserve,
                like=self.like,
                partial=partial,
                progress=progress,
            )
            self.records.append(release.body())
            # Crash here: resuming finds the release in the records, and only writes it.
            self._write(release)
            partial.drop()
        return release

    def _write(self, release: Release) -> None:
        text = json.dumps(release.body(), ensure_ascii=False)
        atomic_file.write(self.to, f"{text}\n".encode())

    @contextmanager
    def _interruptible(self, partial: Partial) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise InterruptedFitError(self._stopped(partial)) from None

    def _stopped(self, partial: Partial) -> str:
        if not partial.exists:
            return "Stopped before anything was measured: nothing is spent."
        debit = partial.reservation()
        return (
            f"Stopped. rho {debit.loss.rho} of {debit.scene} in {debit.period} is spent, and stays "
            "so; nothing that was measured is lost. Continue with the same command and --resume."
        )


@contextmanager
def _watched(what: str) -> Iterator[Progress]:
    """Show a progress bar on the terminal that moves at every stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{what}: counting", total=None)

        def show(stage: str, done: int, of: int) -> None:
            bar.update(task, description=f"{what}: {stage}", completed=done, total=of)

        yield show
