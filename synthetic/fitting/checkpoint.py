"""The file of an unfinished fit, with which it can be continued after an interruption.

    {"format": "synthetic-partial/v1", "terms": {"mechanism": "graphical", …},
     "reservation": {"format": "synthetic-reservation/v2", …},
     "stages": [{"name": "every column", "ledger_size": 31337, "ledger_root": "3c5e…",
                 "measurements": [{"clique": ["age"], …}], "selections": []}]}

The file is written before its reservation is recorded, and each stage is added as soon as it is
measured, before anything uses it. So after a crash the file has everything that was measured under
the reservation: a stage that is missing was never used and may be measured again. The file has
noisy integers only. A reservation without a file is not measured under again; it stays spent.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from synthetic.model import measure, select
from synthetic.model.domain import Domain
from synthetic.model.measure import Measurement, MeasurementError
from synthetic.model.select import Selection
from synthetic.privacy.budget import PrivacyLoss, total
from synthetic.privacy.budget_ledger import Reservation

FORMAT = "synthetic-partial/v1"

Terms = Mapping[str, Any]  # JSON; must be the same when a fit is continued


class PartialError(Exception):
    """The stored unfinished fit cannot be continued."""


@dataclass(frozen=True, slots=True)
class FitStage:
    """The measurements of one stage, and the state of the consent log they were made on."""

    name: str
    ledger_size: int
    ledger_root: str
    measurements: tuple[Measurement, ...] = ()
    selections: tuple[Selection, ...] = ()

    @property
    def loss(self) -> PrivacyLoss:
        spent = [each.loss for each in self.measurements]
        return total(spent + [each.loss for each in self.selections])

    def body(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ledger_size": self.ledger_size,
            "ledger_root": self.ledger_root,
            "measurements": [each.body() for each in self.measurements],
            "selections": [each.body() for each in self.selections],
        }


@dataclass(frozen=True, slots=True)
class Segment:
    """Numbers of measurements and selections made on an earlier state of the consent log."""

    ledger_size: int
    ledger_root: str
    measurements: int
    selections: int

    def body(self) -> dict[str, object]:
        return {
            "ledger_size": self.ledger_size,
            "ledger_root": self.ledger_root,
            "measurements": self.measurements,
            "selections": self.selections,
        }


@dataclass(frozen=True, slots=True)
class Begun:
    """A fit with its reservation. `stages`: those that are already measured, in order."""

    reservation: Reservation
    stages: tuple[FitStage, ...] = ()


class Partial:
    """One unfinished fit. Use it inside `locked`; every change is durable when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._body: dict[str, Any] = {}

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def reservation(self) -> Reservation:
        """The reservation in the file. Raises PartialError."""
        try:
            return Reservation.from_body(json.loads(self.path.read_bytes())["reservation"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise PartialError(f"{self.path} is not a {FORMAT} ({error!r}): {_AWAY}") from error

    def begin(self, reservation: Reservation, terms: Terms) -> Begun:
        """Create the file with a reservation that is about to be recorded."""
        self._body = {"format": FORMAT, "terms": dict(terms), "reservation": reservation.body()}
        self._body["stages"] = []
        self._write()
        return Begun(reservation)

    def go_on(self, domain: Domain, terms: Terms) -> Begun:
        """The unfinished fit in the file, which must have the same terms. Raises PartialError."""
        try:
            self._body = json.loads(self.path.read_bytes())
            self._require_terms(terms)
            stages = tuple(_stage(each, domain) for each in self._body["stages"])
            begun = Begun(Reservation.from_body(self._body["reservation"]), stages)
        except (OSError, KeyError, TypeError, ValueError, MeasurementError) as error:
            raise PartialError(f"{self.path} is not a {FORMAT} ({error!r}): {_AWAY}") from error
        if total([stage.loss for stage in stages]) > begun.reservation.loss:
            raise PartialError(f"{self.path} measured more than it reserved: {_AWAY}")
        return begun

    def keep(self, stage: FitStage) -> None:
        """Add a measured stage. Crash before it returns: the stage was not used by anything."""
        self._body["stages"].append(stage.body())
        self._write()

    def drop(self) -> None:
        """Delete the file, after the release is recorded or if nothing was measured."""
        self.path.unlink(missing_ok=True)

    def _require_terms(self, terms: Terms) -> None:
        recorded: Terms = self._body["terms"]
        if self._body["format"] != FORMAT:
            raise PartialError(f"{self.path} is {self._body['format']!r}, want {FORMAT!r}: {_AWAY}")
        if other := sorted(n for n in {*recorded, *terms} if recorded.get(n) != terms.get(n)):
            raise PartialError(
                f"{self.path} was started with other values of {', '.join(other)}: continue it "
                f"with those, or {_AWAY}"
            )

    def _write(self) -> None:
        new = self.path.with_name(f"{self.path.name}.new")
        text = json.dumps(self._body, separators=(",", ":"), ensure_ascii=False)
        with open(new, "wb", opener=_owner_only) as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else the name could be that of the old file after a power failure
        finally:
            os.close(folder)


@contextmanager
def locked(path: Path) -> Iterator[Partial]:
    """Lock the unfinished fit at `path`, whose file need not exist.

    Raises PartialError while another process has the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PartialError(
                f"another process is continuing the fit {path}: wait until it ends"
            ) from error
        yield Partial(path)


def segments(stages: Iterable[FitStage]) -> tuple[Segment, ...]:
    """Group stages, in order, by the state of the log they were measured on."""
    result = []
    for state, group in groupby(stages, key=lambda each: (each.ledger_size, each.ledger_root)):
        alike = [*group]
        measured = sum(len(each.measurements) for each in alike)
        result.append(Segment(*state, measured, sum(len(each.selections) for each in alike)))
    return tuple(result)


def resumed(body: Mapping[str, Any]) -> tuple[Segment, ...]:
    """The segments of a release's body. Raises KeyError, TypeError, ValueError."""
    parsed = tuple(
        Segment(
            int(each["ledger_size"]),
            str(each["ledger_root"]),
            int(each["measurements"]),
            int(each["selections"]),
        )
        for each in body["resumed"]
    )
    rising = [*(each.ledger_size for each in parsed), int(body["ledger_size"])]
    _require(rising == sorted({*rising}), f"resumed at sizes {rising[:-1]}, want them to rise")
    for name in ("measurements", "selections"):
        made, listed = len(body[name]), [getattr(each, name) for each in parsed]
        _require(min([*listed, 0]) == 0, f"resumed after {listed} {name}, want 0 or more")
        _require(sum(listed) <= made, f"resumed after {sum(listed)} {name} of {made}")
    return parsed


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


_AWAY = "remove it to start a new fit (its reservation stays spent)"


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _stage(body: Mapping[str, Any], domain: Domain) -> FitStage:
    return FitStage(
        str(body["name"]),
        int(body["ledger_size"]),
        str(body["ledger_root"]),
        tuple(measure.from_body(each, domain) for each in body["measurements"]),
        tuple(map(select.from_body, body["selections"])),
    )
