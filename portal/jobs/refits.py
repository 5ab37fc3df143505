"""Job: fit new releases on a schedule, never because a single customer left.

Whether a scene is due follows from the consent log alone: the age of its release, and the number of
customers whose consent changed since. An interrupted fit is finished first. A scene whose fit fails
waits longer each time; the other scenes are fitted meanwhile.

    home/fits/attempts.json    {"anomaly-detection": {"failures": 2, "error": "…",
                                                      "not_before": "2026-11-21T12:04:00Z"}}
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

from gate.contracts.scene import Scene
from gate.state.consent_rows import NEVER
from ledger.tlog import atomic_file
from portal.jobs import failure
from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations import release_service
from portal.operations.release_service import TooFewAdmittedError
from portal.operations.wiring import Product
from synthetic.fitting.checkpoint import PartialError
from synthetic.fitting.release import Release
from synthetic.privacy.budget import BudgetExceededError
from synthetic.privacy.customer_cap import Cadence

NAME = "refits"
LIMIT = timedelta(hours=2)  # one fit
EVERY = timedelta(minutes=1)  # between checks
FIRST_RETRY, MAX_RETRY = timedelta(minutes=1), timedelta(hours=6)
INTERRUPTED = "interrupted: the process ended during the fit"
_LOG = logging.getLogger("sovereign")


def job(product: Product, every: timedelta = EVERY) -> Job:
    return Job(NAME, every, Refits(product).run, limit=LIMIT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The failed fits of a scene. `failures`: how many in a row."""

    failures: int
    not_before: datetime
    error: str


class Attempts:
    """The scenes whose last fit failed. Not thread-safe; fully persisted when a method returns.

    An attempt counts as failed from its beginning until it succeeds, so that a fit that crashes the
    process is not repeated at once at every start.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "fits" / "attempts.json"

    def all(self) -> dict[str, Attempt]:
        """By scene. Raises JobError if the file cannot be read."""
        if not self._path.exists():
            return {}
        try:
            body = json.loads(self._path.read_bytes())
            return {scene: _attempt(each) for scene, each in body.items()}
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise JobError(
                f"{self._path} cannot be read ({type(error).__name__}): remove it, and every scene "
                "is retried at once"
            ) from error

    def begin(self, scene: str, at: datetime) -> None:
        earlier = self.all()
        failures = earlier[scene].failures + 1 if scene in earlier else 1
        self._write(earlier | {scene: Attempt(failures, at + wait_after(failures), INTERRUPTED)})

    def failed(self, scene: str, error: str, at: datetime) -> None:
        """Record a failure. The wait begins at the end of the attempt, `at`."""
        known = self.all()
        failures = known[scene].failures
        self._write(known | {scene: Attempt(failures, at + wait_after(failures), error)})

    def ended(self, scene: str) -> None:
        """Forget the scene: its fit succeeded, or a retry would be refused in the same way."""
        self._write({name: each for name, each in self.all().items() if name != scene})

    def _write(self, attempts: dict[str, Attempt]) -> None:
        bodies = {
            scene: {
                "failures": each.failures,
                "not_before": each.not_before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "error": each.error,
            }
            for scene, each in attempts.items()
        }
        atomic_file.write(self._path, json.dumps(bodies, ensure_ascii=False, indent=1).encode())


class Refits:
    """Fits due scenes. Not thread-safe. `refused`: scenes without a fit until the next period."""

    def __init__(self, product: Product, cadence: Cadence | None = None) -> None:
        """`cadence`: of every scene; None: of each, that of the budget plan."""
        self.product, self._cadence = product, cadence
        self.refused: dict[str, str] = {}  # scene -> period
        self.attempts = Attempts(product.home)

    def run(self, at: datetime) -> datetime | None:
        """Fit the scene that is due, if one is; returns when to check again.

        Raises JobError while a scene's last fit failed.
        """
        scene = self.next_due(at)
        if scene is None:
            self._forget_passed(at)
        else:
            self.fit(scene, at)
        again = at if scene is not None else at + EVERY  # at once: another may be due
        if attempts := self.attempts.all():
            worst = max(each.failures for each in attempts.values())
            raise JobError(_summary(attempts), retry_at=again, failures=worst)
        return again if scene is not None else None

    def next_due(self, at: datetime) -> Scene | None:
        """The scene to fit next: an interrupted fit first, then one that is due; else None."""
        open_scenes = [*self._open(at)]
        for scene in open_scenes:
            if release_service.unfinished(self.product.home, scene.id).exists():
                return scene
        return next((scene for scene in open_scenes if self.is_due(scene, at)), None)

    def fit(self, scene: Scene, at: datetime) -> None:
        """Fit a scene and serve the release. After a refusal the last release stays active."""
        last = self.product.gate.release(scene.id)
        like = release_service.reusable_marginals(
            last if isinstance(last, Release) else None, scene, self.product.scenes.values()
        )
        self.attempts.begin(scene.id, at)
        began = monotonic()
        # If we crash here or in the fit, the attempt counts as failed and is retried later.
        try:
            release_service.release(self.product, scene, at, like)
        except (BudgetExceededError, TooFewAdmittedError) as error:
            self.refused[scene.id] = release_service.period(at)
            _LOG.warning("%s is not fitted again: %s", scene.id, error)
        except PartialError as error:
            if release_service.unfinished(self.product.home, scene.id).exists():
                self._failed(scene, error, at, began)
                return
            _LOG.warning(
                "%s: %s", scene.id, error
            )  # the partial fit is dropped; it is fitted again if due
        except Exception as error:  # noqa: BLE001 - whatever it was, other scenes are still fitted
            self._failed(scene, error, at, began)
            return
        self.attempts.ended(scene.id)

    def is_due(self, scene: Scene, at: datetime) -> bool:
        """Whether the release is old enough, or missing, and enough consents changed."""
        last = self.product.gate.release(scene.id)
        due = self._cadence or release_service.budget_plan(self.product).cadence(scene)
        if not isinstance(last, Release):
            return changed_since(self.product, scene.id, 0) >= due.changes
        changes = changed_since(self.product, scene.id, last.ledger_size)
        return due.due(last.fitted_at, at, changes)

    def _failed(self, scene: Scene, error: Exception, at: datetime, began: float) -> None:
        ended = at + timedelta(seconds=int(monotonic() - began))
        self.attempts.failed(scene.id, failure.line(error), ended)

    def _open(self, at: datetime) -> Iterator[Scene]:
        """The scenes that may be fitted now: synthetic, not waiting, not refused."""
        attempts, period = self.attempts.all(), release_service.period(at)
        for scene in self.product.scenes.values():
            waits = scene.id in attempts and at < attempts[scene.id].not_before
            refused = self.refused.get(scene.id) == period
            if scene.releases and not waits and not refused:
                yield scene

    def _forget_passed(self, at: datetime) -> None:
        """Forget failed scenes whose wait is over; called when no scene is due."""
        for scene, attempt in self.attempts.all().items():
            if attempt.not_before <= at:
                self.attempts.ended(scene)


def wait_after(failures: int) -> timedelta:
    """The wait after `failures` failures in a row; it doubles each time."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 20)), MAX_RETRY)


def changed_since(product: Product, scene: str, size: int) -> int:
    """How many customers gave an instruction on the scene after the first `size` entries."""
    with product.gate.lock:
        state, _ = product.gate.current(0)
        indexes = state.indexes(scene)
        return int(((indexes >= size) & (indexes != NEVER)).sum())


def _attempt(body: dict[str, str | int]) -> Attempt:
    until = datetime.strptime(str(body["not_before"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return Attempt(int(body["failures"]), until, str(body["error"]))


def _summary(attempts: dict[str, Attempt]) -> str:
    return "; ".join(
        f"{scene}: {each.error}, next attempt {each.not_before:%Y-%m-%d %H:%M:%S} UTC"
        for scene, each in sorted(attempts.items())
    )
