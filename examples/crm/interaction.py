"""One interaction of a customer with the company, as a message platform delivers it.

{"customer": "7590-VHVEG", "kind": "message", "at": "2026-12-01T09:30:00Z",
 "text": "I am angry about the bill and want a refund."}

opened, clicked, meeting       what a customer did with our messages; without `text`
replied, message               what a customer wrote: `text`
web-form, transcript           a new telephone number: `phone`, and the `version` of the record
                               that its writer saw
"""

from datetime import datetime
from typing import Literal

import msgspec

MAX_TEXT = 10_000  # characters
TEXTS = frozenset({"replied", "message"})
FORMS = {"web-form": "contact-registry", "transcript": "care-desk"}  # kind -> system that writes

Kind = Literal["opened", "clicked", "replied", "meeting", "message", "web-form", "transcript"]


class InteractionError(ValueError):
    """The body is no interaction. The message names the member, what was wanted and what found."""


class Interaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`version`: of the customer's telephone number, as the writer of a new one saw it."""

    customer: str
    kind: Kind
    at: datetime
    text: str | None = None
    phone: str | None = None
    version: int | None = None


def parse(body: bytes) -> Interaction:
    """Raises InteractionError."""
    try:
        event = msgspec.json.decode(body, type=Interaction)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # also ValidationError
        raise InteractionError(f"want an interaction as JSON: {error}") from error
    if not 0 < len(event.customer) <= 200:  # noqa: PLR2004 - as in the gate's API
        raise InteractionError(f"$.customer: want 1 to 200 characters, got {len(event.customer)}")
    if event.at.tzinfo is None:
        raise InteractionError("$.at: want a time with its offset from UTC, got one without")
    _require_text(event)
    _require_form(event)
    return event


def _require_text(event: Interaction) -> None:
    if event.kind not in TEXTS:
        if event.text is not None:
            raise InteractionError(f"$.text: {event.kind} has none, got one")
    elif not 0 < len((event.text or "").strip()) <= MAX_TEXT:
        raise InteractionError(f"$.text: {event.kind} wants 1 to {MAX_TEXT} characters")


def _require_form(event: Interaction) -> None:
    given = (event.phone is not None, event.version is not None)
    if event.kind not in FORMS:
        if any(given):
            raise InteractionError(f"$.phone, $.version: {event.kind} has none, got one")
    elif not all(given) or not (event.phone or "").strip() or (event.version or 0) < 0:
        raise InteractionError(
            f"$.phone, $.version: {event.kind} wants a number and the version that was seen"
        )
