"""Re-consent: sends at most one neutral reminder per scene and contract interval (M29).

Reminders are only for permissions that expired, or that are superseded because the contract was
widened. A customer who withdrew or never allowed the use has answered and gets none. A reminder is
recorded in the register before it is sent, so an unrecorded one is never sent, and none is sent
twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from gate.contracts.scene import Scene
from gate.reads.point import Gate
from gate.state import consent_bits
from steward.agreements.neutral_reminder import Reminder
from steward.oversight.register import Register, RegisterEntry, Writing

REMINDED = "reminded"

Deliver = Callable[[str, str], None]  # sends (subject, text) to the customer's channel


class ReminderStatus(StrEnum):
    """Why a customer may be reminded."""

    EXPIRED = "expired"
    SUPERSEDED = "lapsed"


class RefusedReminderError(ValueError):
    """No reminder may be sent. Nothing was recorded or sent."""


class NothingEndedError(RefusedReminderError):
    """The customer has an active permission, withdrew it, or never gave one."""


class RepeatedReminderError(RefusedReminderError):
    """The customer was reminded of this scene within the contract's interval."""


@dataclass(frozen=True, slots=True)
class Sent:
    number: int
    words: str


class Reminders:
    """Sends reminders. Thread-safe. `address`: URL where customers decide, the same for all."""

    def __init__(
        self, register: Register, gate: Gate, text: Reminder, address: str, deliver: Deliver
    ) -> None:
        self._register, self._gate, self._text = register, gate, text
        self._address, self._deliver = address, deliver

    def due(self, scene: Scene, at: datetime) -> list[str]:
        """Customers whose permission ended and who had no reminder within the interval."""
        if not scene.needs_consent:
            return []  # nobody is asked to take an objection back
        with self._gate.lock:
            state, _ = self._gate.current(0)
            ended = [each for each in state.subjects if _standing(state.bits(scene.id, each), at)]
        known = self._last(scene)
        return [each for each in ended if _free(known.get(self._register.about(each)), scene, at)]

    def send(self, subject: str, scene: Scene, locale: str, at: datetime) -> Sent:
        """Record one reminder, then send it. Raises NothingEndedError or RepeatedReminderError.

        After a crash between the two, it counts as sent and is not sent again.
        """
        with self._gate.lock:
            state, _ = self._gate.current(0)
            consent = state.bits(scene.id, subject)
        if not scene.needs_consent or (standing := _standing(consent, at)) is None:
            raise NothingEndedError(
                f"{scene.id}: no permission has ended; remind only of expired or superseded ones"
            )
        day = _ended(consent, standing, at)
        words = self._text.words(scene, day.date(), self._address, locale)
        with self._register.writing() as writing:
            self._require_free(writing, subject, scene, at)
            shown = {
                "scene": scene.id,
                "standing": standing.value,
                "locale": locale,
                "words": sha256(words.encode()).hexdigest(),
            }
            number = writing.append(REMINDED, subject, shown, None, at)
        self._deliver(subject, words)
        return Sent(number, words)

    def _require_free(self, writing: Writing, subject: str, scene: Scene, at: datetime) -> None:
        """Check inside the transaction, so that concurrent reminders are sent once."""
        reminded = writing.about(subject, REMINDED)
        last = max((each.at for each in reminded if _is_of(each, scene)), default=None)
        if last is not None and not _free(last, scene, at):
            raise RepeatedReminderError(
                f"{scene.id}: reminded at {last:%Y-%m-%dT%H:%M:%SZ}, want {scene.reminder.days} "
                "days in between"
            )

    def _last(self, scene: Scene) -> dict[str, datetime]:
        """Pseudonym -> time of the customer's last reminder of the scene."""
        entries = self._register.entries(REMINDED)
        return {each.about: each.at for each in entries if _is_of(each, scene)}


def _is_of(entry: RegisterEntry, scene: Scene) -> bool:
    return bool(entry.open["scene"] == scene.id)


def _standing(consent: int, at: datetime) -> ReminderStatus | None:
    if not consent & consent_bits.ALL_FIELDS:
        return None  # withdrawn, or never granted
    end = consent_bits.expiry(consent)
    if end == consent_bits.SUPERSEDED:
        return ReminderStatus.SUPERSEDED
    return ReminderStatus.EXPIRED if end <= consent_bits.minute(at) else None


def _ended(consent: int, standing: ReminderStatus, at: datetime) -> datetime:
    if standing is ReminderStatus.SUPERSEDED:
        return at.astimezone(UTC)
    return consent_bits.EPOCH + timedelta(minutes=consent_bits.expiry(consent))


def _free(last: datetime | None, scene: Scene, at: datetime) -> bool:
    return last is None or at >= last + scene.reminder
