"""Job: follow the consent log and open cases, with their notices, for changes of consent."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from gate.state import snapshot
from portal.jobs.runner import Job
from portal.operations.wiring import SNAPSHOT, Product
from steward.change_flow import ChangeFlow, Channels
from steward.language import catalogue
from steward.notify import masked_name, recipients
from steward.notify.outbox import UNROUTED, Outbox
from steward.notify.recipients import RecipientError, Recipients
from synthetic.fitting.release import Release

NAME = "cases"
EVERY, MAX_RETRY = timedelta(seconds=2), timedelta(seconds=10)


class Following:
    """Opens cases. Not thread-safe. While `steward.toml` is unusable, notices wait unrouted."""

    def __init__(self, home: Path, flow: Callable[[Channels], ChangeFlow]) -> None:
        """`flow` builds the change flow from the channels, at the first run."""
        self._make = flow
        self._routes = Routes(home)

    def run(self, at: datetime) -> int:
        """Follow the log to its end; returns the number of changes.

        While the clock is in doubt, grants do not end by it, so no case is opened for an expiry.
        """
        self._routes.look()
        return self._flow.run(at)

    @cached_property
    def _flow(self) -> ChangeFlow:
        return self._make(self._routes.channels)


class Routes:
    """The channels of notices, loaded once per run, so that all notices of a run use the same.

    Not thread-safe. Notices without a route get one before any new notice is filed, so that the
    notices of one case stay in order.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._recipients: Recipients | None = None

    def look(self) -> None:
        try:
            self._recipients = recipients.load(self._home)
        except RecipientError:
            self._recipients = None  # the delivery job reports it
        else:
            self._outbox.route(self._recipients.channels)

    def channels(self, role: str) -> list[str]:
        """The channels of a role, at least one."""
        return self._recipients.channels(role) if self._recipients else [f"{UNROUTED}/{role}"]

    @cached_property
    def _outbox(self) -> Outbox:
        return Outbox(self._home)


def job(product: Product, every: timedelta = EVERY) -> Job:
    following = Following(product.home, lambda channels: flow_of(product, channels))

    def work(at: datetime) -> None:
        following.run(at)

    return Job(NAME, every, work, max_retry=MAX_RETRY)


def flow_of(product: Product, channels: Channels | None = None) -> ChangeFlow:
    """The change flow in the product's own process: it reads names through the product's gate."""

    def released(scene: str) -> Release | None:
        served = product.gate.served(scene)
        current = served.anchor or served.last
        return current if isinstance(current, Release) else None

    return ChangeFlow(
        product.home,
        product.ledger,
        product.scenes,
        product.ledger.origin,
        channels or (lambda role: recipients.channels(product.home, role)),
        released,
        masked_name.through(product.gate, product.company.roles.desk),
        lambda: snapshot.load(product.home / SNAPSHOT, product.scenes, product.ledger),
        catalogue.load(product.company),
    )
