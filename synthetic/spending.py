"""The budget ledger: what every scene has spent, recomputed from public records alone.

A fit writes two records. Before any noise is drawn, a *reservation* debits the account:

    {"format": "synthetic-reservation/v1", "scene": "segmentation", "period": "2026",
     "rho": "17/500", "at": "2026-11-21T09:00:00Z", "ledger_size": 31337, "nonce": "9f…"}

Afterwards the release names its reservation. What is reserved stays spent, whether or not a release
follows: a process that is killed in between has spent its budget, and nobody can fit twice on it.
A release without a reservation is charged all the same, and reported.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import sha256
from json import dumps
from typing import Any

from synthetic.budget import (
    Account,
    BudgetExceededError,
    LossError,
    PrivacyLoss,
    exact,
    measurement_loss,
    parse_exact,
)

RESERVATION = "synthetic-reservation/v1"
RELEASE = "synthetic-release/v1"

Body = Mapping[str, Any]
Reserve = Callable[
    [dict[str, object]], None
]  # records a debit durably before it returns, or raises
Limits = Mapping[str, PrivacyLoss]  # scene -> what may be spent in one period


class MalformedRecordError(ValueError):
    """A record of the budget ledger cannot be read."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A debit that precedes its measurements. `nonce`: hex, drawn anew for every fit."""

    scene: str
    period: str
    loss: PrivacyLoss
    at: datetime
    ledger_size: int
    nonce: str

    @property
    def id(self) -> str:
        """SHA-256 of the body's canonical JSON, hex."""
        text = dumps(self.body(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return sha256(text.encode()).hexdigest()

    def body(self) -> dict[str, object]:
        return {
            "format": RESERVATION,
            "scene": self.scene,
            "period": self.period,
            "rho": exact(self.loss.rho),
            "at": self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ledger_size": self.ledger_size,
            "nonce": self.nonce,
        }


@dataclass(slots=True)
class Spending:
    """What the records say. `findings`: every way in which they break the rules, in order."""

    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def account(self, scene: str, period: str, limits: Limits) -> Account:
        limit = limits.get(scene, PrivacyLoss(Fraction(0)))
        return self.accounts.get((scene, period), Account(limit))


def verify(bodies: Iterable[Body], limits: Limits) -> Spending:
    """Replay the records in the order of the log. Exact: no rounding, no private data.

    Raises MalformedRecordError when a record cannot be read; broken rules are findings.
    """
    replay = _Replay(limits)
    for position, body in enumerate(bodies):
        replay.take(position, body)
    return replay.spending


def admit(bodies: Iterable[Body], reservation: Body, limits: Limits) -> None:
    """What a `Reserve` asks under the lock that also guards the log, right before it appends.

    Raises BudgetExceededError when the reservation would pass its scene's limit.
    """
    scene, period = str(reservation["scene"]), str(reservation["period"])
    account = verify(bodies, limits).account(scene, period, limits)
    account.spend(PrivacyLoss(parse_exact(reservation["rho"])))


def loss_of(body: Body) -> PrivacyLoss:
    """What a release cost, recomputed from its measurements and selections alone."""
    spent = [
        measurement_loss(str(m["noise"]), int(m["sensitivity"]), parse_exact(m["scale"]))
        for m in body["measurements"]
    ]
    for each in body["selections"]:
        one = measurement_loss(
            str(each["noise"]), int(each["sensitivity"]), parse_exact(each["scale"])
        )
        spent.append(PrivacyLoss(one.rho * len(each["candidates"])))
    return PrivacyLoss(sum((loss.rho for loss in spent), Fraction(0)))


class _Replay:
    def __init__(self, limits: Limits) -> None:
        self.spending = Spending()
        self._limits = limits
        self._open: dict[str, tuple[str, str, PrivacyLoss]] = {}

    def take(self, position: int, body: Body) -> None:
        try:
            match body.get("format"):
                case "synthetic-reservation/v1":
                    self._reserve(position, body)
                case "synthetic-release/v1":
                    self._release(position, body)
                case other:
                    raise MalformedRecordError(f"want {RESERVATION} or {RELEASE}, found {other!r}")
        except (KeyError, TypeError, LossError) as error:
            raise MalformedRecordError(f"record {position}: {error!r}") from error

    def _reserve(self, position: int, body: Body) -> None:
        found = Reservation(
            str(body["scene"]),
            str(body["period"]),
            PrivacyLoss(parse_exact(body["rho"])),
            datetime.strptime(body["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            int(body["ledger_size"]),
            str(body["nonce"]),
        )
        if found.id in self._open:
            self._find(position, "a reservation is recorded twice")
        self._charge(position, found.scene, found.period, found.loss)
        self._open[found.id] = (found.scene, found.period, found.loss)

    def _release(self, position: int, body: Body) -> None:
        scene, loss = str(body["scene"]), loss_of(body)
        if parse_exact(body["statement"]["rho"]) != loss.rho:
            self._find(position, f"states rho {body['statement']['rho']}, spent {exact(loss.rho)}")
        reserved = self._open.pop(str(body["reservation"]), None)
        if reserved is None:
            self._find(position, "a release without a reservation of its own")
            self._charge(position, scene, str(body["period"]), loss)
        elif reserved[:2] != (scene, str(body["period"])):
            self._find(position, f"reserved for {reserved[:2]}, released for {scene}")
            self._charge(position, scene, str(body["period"]), loss)
        elif reserved[2] < loss:
            self._find(position, f"reserved {exact(reserved[2].rho)}, spent {exact(loss.rho)}")
            more = PrivacyLoss(loss.rho - reserved[2].rho)
            self._charge(position, scene, str(body["period"]), more)

    def _charge(self, position: int, scene: str, period: str, loss: PrivacyLoss) -> None:
        account = self.spending.account(scene, period, self._limits)
        try:
            account = account.spend(loss)
        except BudgetExceededError:
            self._find(position, f"the budget of {scene} in {period} is exceeded")
            account = Account(account.limit, account.spent + loss)
        self.spending.accounts[scene, period] = account

    def _find(self, position: int, what: str) -> None:
        self.spending.findings.append(f"record {position}: {what}")
