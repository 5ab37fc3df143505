"""Signals reported by services, such as a model's measured accuracy, signed by the service.

    sovereign/signal/v1
    {"at":"2026-01-01T12:00:00Z","signal":"anomaly-model-accuracy","source":"model-monitor",
     "type":"signal-reported","value":9200}

    — model-monitor Az3grlgtzPICa5OS8npVmf1Myq…=

A report is a C2SP signed note over the canonical JSON of the event, on one line. The key is that of
the service's last `ServiceRegistered` event in the log, so anyone with the log can verify that a
freeze, or its absence, rests on a number signed by the reporting service.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import Lock
from typing import Protocol

from gate.state import consent_bits
from ledger.events import envelope
from ledger.events.envelope import (
    MalformedEventError,
    PublicEvent,
    ServiceRegistered,
    SignalReported,
)
from ledger.tlog import signed_note
from ledger.tlog.signed_note import NoteError, Signer, Verifier

HEADER = "sovereign/signal/v1\n"
WHOLE = 10_000  # 100 %, in the unit of signals
MAX_BYTES = 8192  # of a signed report


class SignalError(ValueError):
    """The report is refused. The message says why and what to do."""


class Announced(Protocol):
    """A public event and its index in the log."""

    @property
    def index(self) -> int: ...
    @property
    def event(self) -> object: ...


class Announcing(Protocol):
    """The part of a consent ledger that records the company's public events."""

    @property
    def size(self) -> int: ...
    def announced(self, since: int = 0) -> Iterator[Announced]: ...
    def announce(self, events: Sequence[PublicEvent]) -> Sequence[Announced]:
        """Durable when it returns."""
        ...


def accuracy(predicted: Sequence[object], actual: Sequence[object]) -> int:
    """The share of correct predictions in ten-thousandths, rounded down: 91.996 % is 9199.

    Raises SignalError when there is nothing to compare.
    """
    if not actual or len(predicted) != len(actual):
        raise SignalError(f"{len(predicted)} predictions for {len(actual)} cases, want one each")
    right = sum(a == b for a, b in zip(predicted, actual, strict=True))
    return right * WHOLE // len(actual)


def signed(report: SignalReported, signer: Signer) -> str:
    """The signed report; the signer's name must be the report's source."""
    return str(signed_note.sign(f"{HEADER}{envelope.encode(report).decode()}\n", [signer]))


class Signals:
    """Verifies reports and records them in one ledger. Thread-safe."""

    def __init__(self, ledger: Announcing) -> None:
        self._ledger, self._lock = ledger, Lock()
        self._seen = 0
        self._keys: dict[str, Verifier] = {}
        self._last: dict[tuple[str, str], SignalReported] = {}

    def register(self, vkey: str, at: datetime) -> None:
        """Register a service's key, named by the key, in place of an earlier one.

        Raises SignalError.
        """
        try:
            verifier = signed_note.verifier(vkey)
        except NoteError as error:
            raise SignalError(f"{error}; send the key as its owner printed it") from error
        with self._lock:
            self._follow()
            if self._keys.get(verifier.name) != verifier:
                self._ledger.announce([ServiceRegistered(verifier.name, vkey, at)])
                self._follow()

    def accept(self, text: str, now: datetime) -> SignalReported:
        """Verify a signed report and record it; durable when it returns.

        Idempotent for the last report. Raises SignalError, and then records nothing.
        """
        with self._lock:
            self._follow()
            report = self._verified(text)
            if consent_bits.minute(report.at) > consent_bits.minute(now):
                raise SignalError(
                    f"dated {report.at}, it is {now}; set the clock and send it again"
                )
            last = self._last.get((report.source, report.signal))
            if last == report:
                return report
            if last is not None and report.at <= last.at:
                raise SignalError(f"dated {report.at}, want later than {last.at}; evaluate again")
            self._ledger.announce([report])
            self._follow()
        return report

    def _verified(self, text: str) -> SignalReported:
        if len(text) > MAX_BYTES:
            raise SignalError(f"{len(text)} characters, want at most {MAX_BYTES}")
        try:
            note = signed_note.parse(text)
            report = _report(note.text)
            if (verifier := self._keys.get(report.source)) is None:
                raise SignalError(f"{report.source!r} is not registered; register its key first")
            signed_note.verify(note, [verifier])
        except (NoteError, MalformedEventError) as error:
            raise SignalError(
                f"not a signed report: {error}; see steward/oversight/model_signals.py"
            ) from error
        return report

    def _follow(self) -> None:
        upto = self._ledger.size
        for each in self._ledger.announced(self._seen):
            match each.event:
                case ServiceRegistered(service=service, key=key):
                    self._register(service, key)
                case SignalReported(source=source, signal=signal) as report:
                    self._last[source, signal] = report
                case _:  # other public acts are of no interest here
                    pass
        self._seen = upto

    def _register(self, service: str, vkey: str) -> None:
        """Remember a registered key; ignore one that cannot be parsed or names another service."""
        self._keys.pop(service, None)
        try:
            verifier = signed_note.verifier(vkey)
        except NoteError:
            return
        if verifier.name == service:
            self._keys[service] = verifier


def _report(text: str) -> SignalReported:
    """Parse the text of a report. Raises SignalError and MalformedEventError."""
    body = text.removeprefix(HEADER)
    event = envelope.decode(body.removesuffix("\n").encode())
    if body == text or not isinstance(event, SignalReported):
        raise SignalError(f"want {HEADER.strip()} and a signal-reported event on the line after it")
    return event
