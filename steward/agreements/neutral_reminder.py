"""Checks that a reminder is neutral: no incentive, no preselection, no pressure (M29).

Consent must be freely given (GDPR Art. 4(11), 7(4); PIPL Art. 14, 16). The texts and refused words
are data in `specs/stewardship/reminder.yaml`. The only variables of a text are the scene, the day
and the address, so no unchecked wording can be inserted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from re import Pattern
from string import Formatter

from gate.contracts import odcs, strict_yaml
from gate.contracts.scene import Scene
from gate.contracts.specs import specs_folder
from steward.language.catalogue import FOLDER, shipped
from steward.language.stewardship import StewardshipWords
from steward.oversight.risk import every, normalise, pattern

NOTHING: Mapping[str, StewardshipWords] = {}
VARIABLES = {"scene", "day", "address"}
KINDS = {"incentive", "preselection", "pressure"}
MAX_LETTERS = 600


class BiasedReminderError(ValueError):
    """The reminder is not neutral and is not sent. `violations`: the rules it breaks."""

    def __init__(self, locale: str, violations: tuple[str, ...]) -> None:
        super().__init__(f"the reminder in {locale} is refused: {'; '.join(violations)}")
        self.violations = violations


class ReminderFileError(ValueError):
    """The file of texts and refused words cannot be used."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """Reminder texts by locale, checked to be neutral."""

    text: Mapping[str, str]

    def words(self, scene: Scene, day: date, address: str, locale: str) -> str:
        return self.text[locale].format(
            scene=odcs.spoken(scene.title, locale), day=day.isoformat(), address=address
        )


def load(path: Path | None = None, own: Mapping[str, StewardshipWords] = NOTHING) -> Reminder:
    """Load and check the texts. Raises ReminderFileError or BiasedReminderError.

    `own`: languages that a company adds. A text may break the rules of no language.
    """
    path = path or specs_folder() / "stewardship" / "reminder.yaml"
    try:
        declared = strict_yaml.load(path.read_bytes())
        texts = {each: odcs.string(declared["text"][each], "text") for each in shipped(FOLDER)}
        words = {kind: every(declared["refused"][kind], texts) for kind in KINDS}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReminderFileError(f"{path}: want text and refused words: {error}") from error
    for each in own.values():
        words = {kind: [*words[kind], *each.refused[kind]] for kind in KINDS}
    refused = {kind: pattern(words[kind]) for kind in KINDS}
    texts |= {locale: each.reminder for locale, each in own.items()}
    for locale, text in texts.items():
        require_neutral(text, locale, refused)
    return Reminder(texts)


def require_neutral(text: str, locale: str, refused: Mapping[str, Pattern[str]]) -> None:
    """Check one text. Raises BiasedReminderError with every rule that it breaks."""
    if broken := (*_structure(text), *_loaded(text, refused)):
        raise BiasedReminderError(locale, broken)


def _structure(text: str) -> tuple[str, ...]:
    broken = []
    try:
        parts = [*Formatter().parse(text)]
    except ValueError as error:
        return (f"its variables cannot be read: {error}",)
    named = [name for _, name, _, _ in parts if name is not None]
    if strange := set(named) - VARIABLES:
        broken.append(f"variables {sorted(strange)}, want only {sorted(VARIABLES)}")
    if missing := VARIABLES - set(named):
        broken.append(f"no {sorted(missing)}, want all of {sorted(VARIABLES)}")
    if any(format_ or conversion for _, name, format_, conversion in parts if name is not None):
        broken.append("a variable has a format, want it plain")
    if len(text) > MAX_LETTERS:
        broken.append(f"{len(text)} characters, want at most {MAX_LETTERS}")
    if "!" in normalise(text):
        broken.append("an exclamation mark")
    return tuple(broken)


def _loaded(text: str, refused: Mapping[str, Pattern[str]]) -> tuple[str, ...]:
    plain = normalise(text)
    matches = {kind: words.search(plain) for kind, words in refused.items()}
    return tuple(f"{kind}: {match.group()!r}" for kind, match in sorted(matches.items()) if match)
