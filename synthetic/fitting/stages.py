"""The stages of a fit: what is measured in which order, and which stages are taken over.

`graphical` spends most of the budget on the marginals that the scene declares, and the rest on the
columns it predicts and on the pairs that the model misrepresents most (shares: `budget_split`).
`alone` measures every column by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from synthetic.fitting import budget_split
from synthetic.fitting.budget_split import MeasuredMarginals
from synthetic.fitting.checkpoint import Begun, FitStage, PartialError, Segment, segments
from synthetic.fitting.release import Release
from synthetic.model import measure, select
from synthetic.model.counts import Counts
from synthetic.model.domain import Domain
from synthetic.model.graphical_model import INDEPENDENT
from synthetic.model.inference import Beliefs, estimate
from synthetic.model.marginals import Clique, singles
from synthetic.model.measure import Measurement
from synthetic.model.select import Selection
from synthetic.privacy.budget import PrivacyLoss, total
from synthetic.privacy.mechanisms import Noise

Progress = Callable[[str, int, int], None]  # (stage, done, of at most)

(
    COLUMNS,
    DECLARED,
    TARGETS,
    SCORES,
    CHOSEN,
    SHARPENED,
    LIKE_BEFORE,
) = (  # names of stages; they are stored in unfinished fits
    "every column",
    "declared group-bys",
    "beside the targets",
    "scores of round",
    "choice of round",
    "what is left",
    "as measured before",
)
MODEL_CELLS = 500_000  # limit of the junction tree when marginals are chosen


@dataclass
class FitTask:
    """The state of one fit. `now`: the state of the consent log that is measured on.

    Stages that `begun` has are taken from there, in order. The others are measured, and passed to
    `keep`, which stores them before later stages depend on them. Choices depend on released
    integers alone, so a resumed fit has the same stages.
    """

    domain: Domain
    targets: Sequence[str]
    noise: Noise
    contribution: int  # most rows of one customer: the sensitivity of every count and score
    begun: Begun
    now: FitStage
    keep: Callable[[FitStage], None]
    progress: Progress
    measurements: list[Measurement] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    apart: Fraction = Fraction(0)  # rho that is reserved for other measurements
    stages: list[FitStage] = field(default_factory=list)

    @property
    def rho(self) -> Fraction:
        """The budget of all stages."""
        return self.begun.reservation.loss.rho - self.apart

    def resumed(self) -> tuple[Segment, ...]:
        """What was measured on earlier states of the consent log, before an interruption."""
        return segments(each for each in self.stages if each.ledger_size != self.now.ledger_size)

    def run(
        self,
        known: Mapping[Clique, Counts],
        served: Sequence[Clique],
        mechanism: str,
        like: Release | None,
        marginals: MeasuredMarginals,
    ) -> None:
        if like is not None:
            self.again(known, like)
        elif mechanism == INDEPENDENT:
            self.alone(known)
        elif marginals is MeasuredMarginals.DECLARED:
            self.declared(known, served)
        else:
            self.graphical(known, served)
        if self._spent() > self.rho:
            raise AssertionError(f"measured {self._spent()} of {self.rho} reserved")

    def alone(self, known: Mapping[Clique, Counts]) -> None:
        share = PrivacyLoss(self.rho / len(known))

        def measured() -> FitStage:
            sensitivity, noise = self.contribution, self.noise
            measurements = (measure.laplace(known[c], c, sensitivity, share, noise) for c in known)
            return replace(self.now, measurements=tuple(measurements))

        self._stage(COLUMNS, 1, measured)

    def graphical(self, known: Mapping[Clique, Counts], served: Sequence[Clique]) -> None:
        """Measure every column, the declared workload, the targets, then chosen marginals."""
        columns, of = singles(self.domain), 4 + 2 * budget_split.ROUNDS
        self._columns(known, columns, of)
        if served:
            rho = self.rho * budget_split.DECLARED
            self._measure(DECLARED, of, known, served, lambda: self._by_need(rho, served))
        if with_targets := budget_split.with_target(self.domain, self.targets, served):
            rhos = budget_split.even(self.rho * budget_split.TARGETS, with_targets)
            self._measure(TARGETS, of, known, with_targets, lambda: rhos)
        for index in range(budget_split.ROUNDS):
            self._round(
                known, (self.rho - self._spent()) / (budget_split.ROUNDS - index), index + 1, of
            )
        left = self.rho - self._spent()
        if (
            left > self.rho * budget_split.LEFT_OVER
        ):  # nothing is worth choosing: measure the served marginals again
            again = served or columns
            self._measure(SHARPENED, of, known, again, lambda: budget_split.even(left, again))

    def declared(self, known: Mapping[Clique, Counts], served: Sequence[Clique]) -> None:
        """Measure every column and the declared workload, and nothing else."""
        columns = singles(self.domain)
        self._columns(known, columns, 2)
        rest = self.rho - self._spent()
        self._measure(DECLARED, 2, known, served, lambda: self._by_need(rest, served))

    def again(self, known: Mapping[Clique, Counts], like: Release) -> None:
        """Measure every marginal of an earlier release once, with its share of the budget."""
        spent = {clique: Fraction(0) for clique in known}
        for each in like.measurements:
            spent[each.clique] += each.loss.rho
        whole = sum(spent.values(), Fraction(0))
        rhos = [self.rho * part / whole for part in spent.values()]
        self._measure(LIKE_BEFORE, 1, known, [*known], lambda: rhos)

    def _columns(self, known: Mapping[Clique, Counts], columns: Sequence[Clique], of: int) -> None:
        rhos = budget_split.even(self.rho * budget_split.SINGLES, columns)
        self._measure(COLUMNS, of, known, columns, lambda: rhos)

    def _by_need(self, rho: Fraction, served: Sequence[Clique]) -> list[Fraction]:
        return budget_split.by_need(rho, self._beliefs(), served)

    def _round(self, known: Mapping[Clique, Counts], rho: Fraction, number: int, of: int) -> None:
        measured = [each.clique for each in self.measurements]
        candidates = select.candidates(self.domain, self.targets, measured)
        if not candidates or rho <= 0:
            return

        def scored() -> FitStage:
            loss, beliefs = PrivacyLoss(rho * budget_split.SCORES), self._beliefs()
            selection = select.score(
                known, beliefs, candidates, self.contribution, loss, self.noise
            )
            return replace(self.now, selections=(selection,))

        (scores,) = self._stage(f"{SCORES} {number}", of, scored).selections
        left = rho - scores.loss.rho
        chosen = select.best(self.domain, scores, measured, left, MODEL_CELLS)
        if chosen:
            self._measure(
                f"{CHOSEN} {number}", of, known, chosen, lambda: budget_split.even(left, chosen)
            )

    def _measure(
        self,
        name: str,
        of: int,
        known: Mapping[Clique, Counts],
        cliques: Sequence[Clique],
        rhos: Callable[[], Sequence[Fraction]],
    ) -> None:
        def measured() -> FitStage:
            sensitivity, noise = self.contribution, self.noise
            measurements = (
                measure.gaussian(known[clique], clique, sensitivity, PrivacyLoss(rho), noise)
                for clique, rho in zip(cliques, rhos(), strict=True)
            )
            return replace(self.now, measurements=tuple(measurements))

        self._stage(name, of, measured)

    def _stage(self, name: str, of: int, measured: Callable[[], FitStage]) -> FitStage:
        """The next stage: taken from before the interruption, or measured now."""
        before = self.begun.stages[len(self.stages) : len(self.stages) + 1]
        if before and before[0].name != name:
            raise PartialError(
                f"the next stage of the unfinished fit is {before[0].name!r}, want {name!r}: "
                "another version started it; remove its file to start a new fit (its reservation "
                "stays spent)"
            )
        stage = before[0] if before else replace(measured(), name=name)
        if not before:
            self.keep(stage)
        self.stages.append(stage)
        self.measurements += stage.measurements
        self.selections += stage.selections
        self.progress(name, min(len(self.stages), of), of)
        return stage

    def _beliefs(self) -> Beliefs:
        return estimate(self.domain, self.measurements)

    def _spent(self) -> Fraction:
        spent = [m.loss for m in self.measurements] + [s.loss for s in self.selections]
        return total(spent).rho
