"""What an unfinished fit has measured so far, kept in its own house so that the fit can go on.

    {"format": "synthetic-partial/v1", "terms": {"mechanism": "graphical", …},
     "reservation": {"format": "synthetic-reservation/v2", …},
     "stages": [{"name": "every column", "ledger_size": 31337, "ledger_root": "3c5e…",
                 "measurements": [{"clique": ["age"], …}], "selections": []}]}

The file is there before its reservation is recorded, and gains each stage as soon as the stage is
measured. So whoever finds the file after a crash knows all that was measured under the reservation:
a stage that is missing was never seen by anybody, and may be measured now. It holds noisy integers
only. Where a reservation has no file, nothing is measured under it again: it stays spent.
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

Terms = Mapping[str, Any]  # what must be the same when a fit goes on; JSON


class PartialError(Exception):
    """What is kept of an unfinished fit cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class FitStage:
    """What was measured in one go, and on which state of the consent log."""

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
    """So many measurements and selections were made on an earlier state of the consent log."""

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
    """A fit whose debit is written down. `stages`: measured already, in order."""

    reservation: Reservation
    stages: tuple[FitStage, ...] = ()


class Partial:
    """One unfinished fit. Use under `held`; every change is fully persisted when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._body: dict[str, Any] = {}

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def reservation(self) -> Reservation:
        """The debit that is written down here. Raises PartialError."""
        try:
            return Reservation.from_body(json.loads(self.path.read_bytes())["reservation"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise PartialError(f"{self.path} is no {FORMAT} ({error!r}): {_AWAY}") from error

    def begin(self, reservation: Reservation, terms: Terms) -> Begun:
        """Write down a debit that is about to be recorded."""
        self._body = {"format": FORMAT, "terms": dict(terms), "reservation": reservation.body()}
        self._body["stages"] = []
        self._write()
        return Begun(reservation)

    def go_on(self, domain: Domain, terms: Terms) -> Begun:
        """The fit that is kept here, which must be on the same terms. Raises PartialError."""
        try:
            self._body = json.loads(self.path.read_bytes())
            self._require_terms(terms)
            stages = tuple(_stage(each, domain) for each in self._body["stages"])
            begun = Begun(Reservation.from_body(self._body["reservation"]), stages)
        except (OSError, KeyError, TypeError, ValueError, MeasurementError) as error:
            raise PartialError(f"{self.path} is no {FORMAT} ({error!r}): {_AWAY}") from error
        if total([stage.loss for stage in stages]) > begun.reservation.loss:
            raise PartialError(f"{self.path} measured more than it reserved: {_AWAY}")
        return begun

    def keep(self, stage: FitStage) -> None:
        """Crash before this returns: the stage was seen by nobody. After it: it is measured."""
        self._body["stages"].append(stage.body())
        self._write()

    def drop(self) -> None:
        """After the release is recorded, or when nothing was measured."""
        self.path.unlink(missing_ok=True)

    def _require_terms(self, terms: Terms) -> None:
        kept: Terms = self._body["terms"]
        if self._body["format"] != FORMAT:
            raise PartialError(f"{self.path} is {self._body['format']!r}, want {FORMAT!r}: {_AWAY}")
        if other := sorted(n for n in {*kept, *terms} if kept.get(n) != terms.get(n)):
            raise PartialError(
                f"{self.path} was begun on other terms (of {', '.join(other)}): go on with those, "
                f"or {_AWAY}"
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
            os.fsync(folder)  # or the name could still be that of the old file after a power cut
        finally:
            os.close(folder)


@contextmanager
def held(path: Path) -> Iterator[Partial]:
    """The unfinished fit at `path`, which need not be there, and nobody else's meanwhile.

    Raises PartialError while another process goes on with it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PartialError(f"another process is fitting with {path}: wait for it") from error
        yield Partial(path)


def segments(stages: Iterable[FitStage]) -> tuple[Segment, ...]:
    """Stages in order, those on one state of the log together."""
    found = []
    for state, group in groupby(stages, key=lambda each: (each.ledger_size, each.ledger_root)):
        alike = [*group]
        measured = sum(len(each.measurements) for each in alike)
        found.append(Segment(*state, measured, sum(len(each.selections) for each in alike)))
    return tuple(found)


def resumed(body: Mapping[str, Any]) -> tuple[Segment, ...]:
    """The segments of a release's body. Raises KeyError, TypeError, ValueError."""
    found = tuple(
        Segment(
            int(each["ledger_size"]),
            str(each["ledger_root"]),
            int(each["measurements"]),
            int(each["selections"]),
        )
        for each in body["resumed"]
    )
    rising = [*(each.ledger_size for each in found), int(body["ledger_size"])]
    _require(rising == sorted({*rising}), f"resumed at sizes {rising[:-1]}, want them to rise")
    for name in ("measurements", "selections"):
        made, listed = len(body[name]), [getattr(each, name) for each in found]
        _require(min([*listed, 0]) == 0, f"resumed after {listed} {name}, want 0 or more")
        _require(sum(listed) <= made, f"resumed after {sum(listed)} {name} of {made}")
    return found


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


_AWAY = "remove it to fit anew, and what it reserved stays spent"


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
