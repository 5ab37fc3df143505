"""Releases fitted anew by epoch while the product is served, never because one customer left.

Whether a scene is due follows from the consent log alone: how long ago its release was fitted, and
how many customers' consents changed since. A fit runs in a thread of its own, so that publishing
goes on; one that was interrupted is finished first.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Thread

from gate.contracts.scene import Fallback, Scene
from gate.state.consent_index import NEVER
from portal.operations import release_service
from portal.operations.release_service import TooFewAdmittedError
from portal.operations.wiring import Product
from synthetic.fitting.checkpoint import PartialError
from synthetic.fitting.release import Release
from synthetic.privacy.budget import BudgetExceededError
from synthetic.privacy.customer_cap import Cadence

EVERY = timedelta(minutes=1)  # between looks
CADENCE = Cadence(least=timedelta(days=92), changes=50)  # a scene's budget lasts for four a year
_LOG = logging.getLogger("sovereign")


@dataclass(slots=True)
class Refits:
    """Not thread-safe: one loop asks. `refused`: scenes that get no release before next period."""

    product: Product
    cadence: Cadence = CADENCE
    due_at: datetime | None = None
    refused: dict[str, str] = field(default_factory=dict)  # scene -> period
    _running: Thread | None = None

    def round(self, at: datetime) -> None:
        """Start the next fit that is due, unless one is running; at most one look a minute."""
        if (self.due_at and at < self.due_at) or (self._running and self._running.is_alive()):
            return
        self.due_at = at + EVERY
        if (scene := self.next_due(at)) is not None:
            self._running = Thread(target=self.fit, args=[scene, at], name="fit", daemon=True)
            self._running.start()

    def next_due(self, at: datetime) -> Scene | None:
        """The scene to be fitted next: an interrupted fit first."""
        open_scenes = [
            scene
            for scene in self.product.scenes.values()
            if scene.fallback is Fallback.SYNTHETIC
            and self.refused.get(scene.id) != release_service.period(at)
        ]
        for scene in open_scenes:
            if release_service.unfinished(self.product.home, scene.id).exists():
                return scene
        return next((scene for scene in open_scenes if self.is_due(scene, at)), None)

    def fit(self, scene: Scene, at: datetime) -> None:
        """Fit and serve; a refusal is told once and leaves the last release in force."""
        last = self.product.gate.release(scene.id)
        like = release_service.kept_marginals(last if isinstance(last, Release) else None, scene)
        try:
            release_service.release(self.product, scene, at, like)
        except (BudgetExceededError, TooFewAdmittedError) as error:
            self.refused[scene.id] = release_service.period(at)
            _LOG.warning("%s is not fitted again: %s", scene.id, error)
        except PartialError as error:
            _LOG.warning("%s: %s", scene.id, error)
        except Exception:  # noqa: BLE001 - whatever it was, serving goes on, and so does this fit
            _LOG.exception("%s could not be fitted", scene.id)

    def is_due(self, scene: Scene, at: datetime) -> bool:
        """Whether a release is old enough, and enough changed since; a first one is never old."""
        last = self.product.gate.release(scene.id)
        if not isinstance(last, Release):
            return changed_since(self.product, scene.id, 0) >= self.cadence.changes
        changes = changed_since(self.product, scene.id, last.ledger_size)
        return self.cadence.due(last.fitted_at, at, changes)


def changed_since(product: Product, scene: str, size: int) -> int:
    """How many customers said anything about the scene after the first `size` entries."""
    with product.gate.lock:
        state, _ = product.gate.current(0)
        indexes = state.indexes(scene)
        return int(((indexes >= size) & (indexes != NEVER)).sum())
