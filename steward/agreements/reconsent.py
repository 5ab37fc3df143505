"""Re-consent: one neutral reminder in the time the contract sets, and none for a refusal (M29).

Only a permission that ran out, or that lapsed because the contract was widened, may be reminded
of. Who withdrew or never allowed has answered. A reminder is an entry of the register before it is
handed on: what is not logged is not sent, and what was logged is not sent twice.
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
from steward.oversight.register import Register, Writing

REMINDED = "reminded"

Deliver = Callable[[str, str], None]  # hands the words to the customer's channel: subject, text


class ReminderStatus(StrEnum):
    """Why somebody may be reminded."""

    EXPIRED = "expired"
    SUPERSEDED = "lapsed"


class RefusedReminderError(ValueError):
    """No reminder may be sent. Nothing was recorded, nothing was sent."""


class NothingEndedError(RefusedReminderError):
    """The customer holds a permission, withdrew it, or never gave one."""


class RepeatedReminderError(RefusedReminderError):
    """The customer was reminded of this scene within the time the contract sets."""


@dataclass(frozen=True, slots=True)
class Sent:
    number: int
    words: str


class Reminders:
    """Thread-safe. `address`: where the customer decides, the same for everybody."""

    def __init__(
        self, register: Register, gate: Gate, text: Reminder, address: str, deliver: Deliver
    ) -> None:
        self._register, self._gate, self._text = register, gate, text
        self._address, self._deliver = address, deliver

    def due(self, scene: Scene, at: datetime) -> list[str]:
        """Whose permission ended and who was not reminded within the contract's time."""
        with self._gate.lock:
            state, _ = self._gate.current(0)
            ended = [each for each in state.subjects if _standing(state.bits(scene.id, each), at)]
        known = self._last(scene)
        return [each for each in ended if _free(known.get(self._register.about(each)), scene, at)]

    def send(self, subject: str, scene: Scene, locale: str, at: datetime) -> Sent:
        """Record one reminder and hand it on. Raises NothingEnded- or RepeatedReminderError.

        Crash between the two: it counts as sent and is not sent again.
        """
        with self._gate.lock:
            state, _ = self._gate.current(0)
            held = state.bits(scene.id, subject)
        if scene.locked or (standing := _standing(held, at)) is None:
            raise NothingEndedError(
                f"{scene.id}: no permission ended; a reminder is for one that ran out or lapsed"
            )
        day = _ended(held, standing, at)
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
        """Inside the transaction, so that two who remind at once are one."""
        sql = (
            "SELECT max(at) FROM entry WHERE about = ? AND kind = ?"
            " AND json_extract(open, '$.scene') = ?"
        )
        asked = [self._register.about(subject), REMINDED, scene.id]
        (last,) = writing.database.execute(sql, asked).fetchone()
        if last is not None and not _free(datetime.fromisoformat(last), scene, at):
            raise RepeatedReminderError(
                f"{scene.id}: reminded at {last}, want {scene.reminder.days} days in between"
            )

    def _last(self, scene: Scene) -> dict[str, datetime]:
        """By pseudonym, when somebody was last reminded of the scene."""
        entries = self._register.entries(REMINDED)
        return {each.about: each.at for each in entries if each.open["scene"] == scene.id}


def _standing(held: int, at: datetime) -> ReminderStatus | None:
    if not held & consent_bits.FIELDS:
        return None  # withdrawn, or never granted
    end = held >> consent_bits.EXPIRY_SHIFT
    if end == consent_bits.SUPERSEDED:
        return ReminderStatus.SUPERSEDED
    return ReminderStatus.EXPIRED if end <= consent_bits.minute(at) else None


def _ended(held: int, standing: ReminderStatus, at: datetime) -> datetime:
    if standing is ReminderStatus.SUPERSEDED:
        return at.astimezone(UTC)
    return consent_bits.EPOCH + timedelta(minutes=held >> consent_bits.EXPIRY_SHIFT)


def _free(last: datetime | None, scene: Scene, at: datetime) -> bool:
    return last is None or at >= last + scene.reminder
