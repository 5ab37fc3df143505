"""One fit from the command line: begun, watched, interrupted, gone on with."""

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
    """Somebody stopped a fit. The message says what is spent, and how to go on."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """`to`: where the public record is written; what is unfinished lies beside it until then.

    `bounds`: how many rows of a customer count, and the column that says whose a row is.
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
        """Raises PartialError where an interrupted fit waits, and what `fit` raises."""
        with checkpoint.held(self.unfinished) as kept:
            if kept.exists:
                raise PartialError(
                    f"{kept.path} holds a fit that was interrupted: go on with --resume, or remove "
                    "it to fit anew, and what it reserved stays spent"
                )
            return self._run(kept, table, at)

    def go_on(self, table: Any, at: datetime) -> Release:
        """Raises PartialError where nothing waits, and what `fit` raises."""
        with checkpoint.held(self.unfinished) as kept:
            if not kept.exists:
                raise PartialError(f"{kept.path} is not there: nothing was interrupted; fit anew")
            reserved = kept.reservation()
            try:
                return self._run(kept, table, at)
            except UsedReservationError:  # killed between recording the release and saying so
                release = Release.from_body(self.records.released_under(reserved.id) or {})
                self._write(release)
                return release

    def _run(self, kept: Partial, table: Any, at: datetime) -> Release:
        contribution, customer = self.bounds
        with self._interruptible(kept), _watched(f"Fitting {self.contract.id}") as progress:
            release = fit(
                table,
                scene=self.contract.id,
                domain=self.contract.domain,
                workload=[*self.contract.workload, *((name,) for name in self.contract.trends)],
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
                partial=kept,
                progress=progress,
            )
            self.records.append(release.body())
            # Crash here: going on finds the release in the records, and only writes it again.
            self._write(release)
            kept.drop()
        return release

    def _write(self, release: Release) -> None:
        text = json.dumps(release.body(), ensure_ascii=False)
        atomic_file.write(self.to, f"{text}\n".encode())

    @contextmanager
    def _interruptible(self, kept: Partial) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise InterruptedFitError(self._stopped(kept)) from None

    def _stopped(self, kept: Partial) -> str:
        if not kept.exists:
            return "Stopped before anything was measured: nothing is spent."
        debit = kept.reservation()
        return (
            f"Stopped. rho {debit.loss.rho} of {debit.scene} in {debit.period} is spent, and stays "
            "so; nothing that was measured is lost. Go on with the same command and --resume."
        )


@contextmanager
def _watched(what: str) -> Iterator[Progress]:
    """A bar on the terminal that moves at every stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{what}: counting", total=None)

        def told(stage: str, done: int, of: int) -> None:
            bar.update(task, description=f"{what}: {stage}", completed=done, total=of)

        yield told
