"""The budget ledger: recomputes what every scene has spent from public records alone.

A fit writes two records. Before any noise is drawn, a *reservation* debits the scene's account:

    {"format": "synthetic-reservation/v2", "scene": "segmentation", "period": "2026",
     "rho": "17/500", "at": "2026-11-21T09:00:00Z", "ledger_size": 31337, "ledger_root": "3c5e…",
     "nonce": "9f…"}

The release then names its reservation and states the account right after it. What is reserved stays
spent, whether or not a release follows: a process that is killed in between has spent its budget,
and a reservation pays for one release only. A release without a reservation is charged as well, and
reported. Records of v1 state neither root nor account.

A company that set a limit of its own for its scenes states it in each reservation: `"limit":
"1/16"`. It holds from there on, and is at most (MAX_EPSILON, MAX_DELTA).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import sha256
from json import dumps
from typing import Any

from synthetic.privacy.budget import (
    Account,
    BudgetExceededError,
    LossError,
    PrivacyLoss,
    exact,
    measurement_loss,
    parse_exact,
)

RESERVATION = "synthetic-reservation/v2"
RELEASE = "synthetic-release/v2"
EARLIER = {RESERVATION: "synthetic-reservation/v1", RELEASE: "synthetic-release/v1"}

MAX_EPSILON, MAX_DELTA = Fraction(10), Fraction(1, 10**6)  # of a limit

Body = Mapping[str, Any]
# Records a debit durably and returns the account right after it, or raises. If the debit is already
# recorded, it records nothing.
Reserve = Callable[[dict[str, object]], Account]
Limits = Mapping[str, PrivacyLoss]  # scene -> what may be spent in one period


class MalformedRecordError(ValueError):
    """A record of the budget ledger cannot be read."""


class UsedReservationError(Exception):
    """A release was already made under this reservation, which pays for one only."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A debit, recorded before its measurements. `nonce`: hex, a new one for every fit."""

    scene: str
    period: str
    loss: PrivacyLoss
    at: datetime
    ledger_size: int
    nonce: str
    ledger_root: str = ""  # of the consent log at `ledger_size`, hex; empty without a log
    limit: PrivacyLoss | None = None  # of the scene in the period, where it is not the usual one

    @property
    def id(self) -> str:
        """SHA-256 of the body's canonical JSON, hex."""
        return body_id(self.body())

    @classmethod
    def from_body(cls, body: Body) -> "Reservation":
        """The inverse of `body`. Raises KeyError, TypeError, ValueError."""
        if body["format"] != RESERVATION:
            raise MalformedRecordError(f"want {RESERVATION}, found {body['format']!r}")
        return cls(
            str(body["scene"]),
            str(body["period"]),
            PrivacyLoss(parse_exact(body["rho"])),
            datetime.strptime(body["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            int(body["ledger_size"]),
            str(body["nonce"]),
            str(body["ledger_root"]),
            _stated_limit(body),
        )

    def body(self) -> dict[str, object]:
        stated = {"limit": exact(self.limit.rho)} if self.limit else {}
        return {
            "format": RESERVATION,
            "scene": self.scene,
            "period": self.period,
            "rho": exact(self.loss.rho),
            "at": self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ledger_size": self.ledger_size,
            "ledger_root": self.ledger_root,
            "nonce": self.nonce,
            **stated,
        }


@dataclass(slots=True)
class Spending:
    """The accounts that follow from the records. `findings`: broken rules, in order."""

    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def account(self, scene: str, period: str, limits: Limits) -> Account:
        limit = limits.get(scene, PrivacyLoss(Fraction(0)))
        return self.accounts.get((scene, period), Account(limit))


def verify(bodies: Iterable[Body], limits: Limits) -> Spending:
    """Replay the records in log order, exactly: without rounding and without private data.

    Raises MalformedRecordError for a malformed record; broken rules become findings.
    """
    return _replayed(bodies, limits).spending


@dataclass(frozen=True, slots=True)
class Admission:
    """`account`: right after the reservation. `recorded`: it is already in the ledger."""

    account: Account
    recorded: bool


def admit(bodies: Iterable[Body], reservation: Body, limits: Limits) -> Admission:
    """Whether a reservation may be recorded. A `Reserve` calls it under the lock of the log.

    Raises BudgetExceededError if the reservation would exceed its scene's limit, and
    UsedReservationError if a release already names it. LossError: it states too large a limit.
    """
    replay = _replayed(bodies, limits)
    debit = body_id(reservation)
    if debit in replay.used:
        raise UsedReservationError(
            f"reservation {debit[:16]} already paid for a release: start a new fit with a new "
            "reservation"
        )
    if debit in replay.open:
        return Admission(replay.open[debit].account, recorded=True)
    scene, period = str(reservation["scene"]), str(reservation["period"])
    account = replay.spending.account(scene, period, limits)
    if (limit := _stated_limit(reservation)) is not None:
        if not is_allowed(limit):
            raise LossError(f"the limit {exact(limit.rho)} is above epsilon {MAX_EPSILON}")
        account = Account(limit, account.spent)
    return Admission(account.spend(PrivacyLoss(parse_exact(reservation["rho"]))), recorded=False)


def unfinished(bodies: Iterable[Body]) -> list[str]:
    """The ids of reservations without a release, in log order."""
    return [*_replayed(bodies, {}).open]


def stated(account: Account, delta: Fraction) -> dict[str, object]:
    """An account as JSON for records: as exact rho, and as (epsilon, delta) by zCDP."""
    sides = {"spent": account.spent, "left": account.left}
    figures = {
        name: {"rho": exact(loss.rho), "epsilon": exact(loss.epsilon(delta))}
        for name, loss in sides.items()
    }
    return {"delta": exact(delta), **figures}


def parse_account(stated_account: Mapping[str, Any]) -> Account:
    """The inverse of `stated`. Raises LossError."""
    spent, left = (
        PrivacyLoss(parse_exact(stated_account[name]["rho"])) for name in ("spent", "left")
    )
    return Account(spent + left, spent)


def loss_of(body: Body) -> PrivacyLoss:
    """The loss of a release, recomputed from its measurements, selections and series alone."""
    spent = [
        measurement_loss(str(m["noise"]), int(m["sensitivity"]), parse_exact(m["scale"]))
        for m in body["measurements"]
    ]
    for each in body["selections"]:
        one = measurement_loss(
            str(each["noise"]), int(each["sensitivity"]), parse_exact(each["scale"])
        )
        spent.append(PrivacyLoss(one.rho * len(each["candidates"])))
    for each in body.get("series", ()):  # of each period of a series over events
        scale, most = parse_exact(each["scale"]), int(each["sensitivity"])
        spent.append(measurement_loss(str(each["noise"]), most, scale))
    return PrivacyLoss(sum((loss.rho for loss in spent), Fraction(0)))


@dataclass(frozen=True, slots=True)
class _Debit:
    """A reservation, and the account right after it."""

    scene: str
    period: str
    loss: PrivacyLoss
    account: Account


def is_allowed(limit: PrivacyLoss) -> bool:
    """Whether anybody may lose so much."""
    return limit.epsilon(MAX_DELTA) <= MAX_EPSILON


def _stated_limit(body: Body) -> PrivacyLoss | None:
    return PrivacyLoss(parse_exact(body["limit"])) if "limit" in body else None


def _replayed(bodies: Iterable[Body], limits: Limits) -> "_Replay":
    replay = _Replay(limits)
    for position, body in enumerate(bodies):
        replay.take(position, body)
    return replay


def body_id(body: Body) -> str:
    """SHA-256 of a record's canonical JSON, hex; a release names its reservation by it."""
    text = dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


class _Replay:
    """Replays records. `open`: reservations without a release so far; `used`: the others."""

    def __init__(self, limits: Limits) -> None:
        self.spending = Spending()
        self.open: dict[str, _Debit] = {}
        self.used: set[str] = set()
        self._limits = limits

    def take(self, position: int, body: Body) -> None:
        try:
            if (form := body.get("format")) in {RESERVATION, EARLIER[RESERVATION]}:
                self._reserve(position, body)
            elif form in {RELEASE, EARLIER[RELEASE]}:
                self._release(position, body)
            else:
                raise MalformedRecordError(f"want {RESERVATION} or {RELEASE}, found {form!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedRecordError(f"record {position}: {error!r}") from error

    def _reserve(self, position: int, body: Body) -> None:
        scene, period = str(body["scene"]), str(body["period"])
        loss, debit = PrivacyLoss(parse_exact(body["rho"])), body_id(body)
        self._limit(position, scene, period, _stated_limit(body))
        if debit in self.open or debit in self.used:
            self._find(position, "a reservation is recorded twice")
        account = self._charge(position, scene, period, loss)
        self.open[debit] = _Debit(scene, period, loss, account)

    def _limit(
        self, position: int, scene: str, period: str, stated_limit: PrivacyLoss | None
    ) -> None:
        """From here on the scene has the limit that a reservation states, if it states one."""
        if stated_limit is None:
            return
        if not is_allowed(stated_limit):
            limit = exact(stated_limit.rho)
            self._find(position, f"states the limit {limit}, above epsilon {MAX_EPSILON}")
            return
        account = self.spending.account(scene, period, self._limits)
        self.spending.accounts[scene, period] = Account(stated_limit, account.spent)

    def _release(self, position: int, body: Body) -> None:
        scene, period, loss = str(body["scene"]), str(body["period"]), loss_of(body)
        if parse_exact(body["statement"]["rho"]) != loss.rho:
            self._find(position, f"states rho {body['statement']['rho']}, spent {exact(loss.rho)}")
        debit = str(body["reservation"])
        reserved = self.open.pop(debit, None)
        if reserved is None:
            self._find(position, "a release without a reservation of its own")
            self._charge(position, scene, period, loss)
            return
        self.used.add(debit)
        if (reserved.scene, reserved.period) != (scene, period):
            self._find(
                position,
                f"reserved for {reserved.scene} in {reserved.period}, released for {scene} in "
                f"{period}",
            )
            self._charge(position, scene, period, loss)
        elif reserved.loss < loss:
            self._find(position, f"reserved {exact(reserved.loss.rho)}, spent {exact(loss.rho)}")
            self._charge(position, scene, period, PrivacyLoss(loss.rho - reserved.loss.rho))
        if body["format"] == RELEASE:
            self._compare(position, body, reserved.account)

    def _compare(self, position: int, body: Body, account: Account) -> None:
        due = stated(account, parse_exact(body["statement"]["delta"]))
        if body["account"] != due:
            self._find(position, f"states the account as {body['account']}, it was {due}")

    def _charge(self, position: int, scene: str, period: str, loss: PrivacyLoss) -> Account:
        account = self.spending.account(scene, period, self._limits)
        try:
            account = account.spend(loss)
        except BudgetExceededError:
            self._find(position, f"the budget of {scene} in {period} is exceeded")
            account = Account(account.limit, account.spent + loss)
        self.spending.accounts[scene, period] = account
        return account

    def _find(self, position: int, what: str) -> None:
        self.spending.findings.append(f"record {position}: {what}")
