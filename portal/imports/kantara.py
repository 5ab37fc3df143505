"""Parses Kantara Consent Receipts 1.1 (Kantara Initiative, 2018): one, a list, or one per line.

    {"version": "KI-CR-v1.1.0", "consentTimestamp": 1709283600, "consentReceiptID": "c1d2…",
     "piiPrincipalId": "c00001", "language": "en", "policyUrl": "https://…", …,
     "services": [{"service": "mail", "purposes": [{"purpose": "direct-marketing",
       "consentType": "EXPLICIT", "piiCategory": ["name", "email"],
       "termination": "2026-03-01T00:00:00Z", "primaryPurpose": true,
       "thirdPartyDisclosure": false}]}]}

Each purpose is a row. Consent of a type other than EXPLICIT is refused.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gate.contracts.scene import Scene
from ledger.vault.commitments import canonical
from portal.imports import row
from portal.imports.row import Bad, ImportRow, MappingError, Names, RowError

VERSION = "KI-CR-v1.1.0"
EXPLICIT = "EXPLICIT"


def rows(
    data: bytes, names: Names, scenes: Mapping[str, Scene], now: datetime
) -> Iterator[ImportRow | Bad]:
    """One row per purpose of every receipt, in order. Raises MappingError if it is not JSON."""
    for place, receipt in enumerate(_receipts(data), 1):
        try:
            yield from [*_purposes(place, receipt, names, scenes, now)]
        except RowError as error:
            yield Bad(place, str(error))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"[:100]
            yield Bad(place, f"want a consent receipt 1.1, found {why}: see its specification")


def _receipts(data: bytes) -> list[Any]:
    try:
        found = json.loads(data)
    except ValueError:
        try:
            found = [json.loads(line) for line in data.splitlines() if line.strip()]
        except ValueError as error:
            raise MappingError(f"want JSON, found {error}: export the receipts again") from error
    return found if isinstance(found, list) else [found]


def _purposes(
    place: int,
    receipt: Mapping[str, Any],
    names: Names,
    scenes: Mapping[str, Scene],
    now: datetime,
) -> Iterator[ImportRow]:
    if (found := receipt["version"]) != VERSION:
        raise RowError(f"want version {VERSION}, found {str(found)[:20]!r}: convert it first")
    at = _moment(receipt["consentTimestamp"], names, now)
    purposes = [each for service in receipt["services"] for each in service["purposes"]]
    if not purposes:
        raise RowError("want a purpose, found none: remove the receipt")
    for purpose in purposes:
        if (kind := purpose["consentType"]) != EXPLICIT:
            raise RowError(f"want consentType {EXPLICIT}, found {str(kind)[:20]!r}: remove it")
        within = row.scene(str(purpose["purpose"]), names, scenes)
        items = [str(each) for each in purpose.get("piiCategory", [])]
        yield ImportRow(
            place,
            row.subject(str(receipt["piiPrincipalId"])),
            within.id,
            row.fields(items, names, within),
            granted=True,
            at=at,
            until=row.end(_termination(purpose), names, at),
            words=canonical({"policyUrl": str(receipt.get("policyUrl", "")), "purpose": purpose}),
        )


def _moment(stamp: object, names: Names, now: datetime) -> datetime:
    """A timestamp in seconds since 1970, as specified, or text as other programs write it."""
    if isinstance(stamp, int) and not isinstance(stamp, bool):
        return row.past(datetime.fromtimestamp(stamp, UTC).isoformat(), Names(), now)
    return row.past(str(stamp), names, now)


def _termination(purpose: Mapping[str, Any]) -> str:
    """The end, if it is a time. The specification allows any text; other text means no end."""
    text = str(purpose.get("termination", ""))
    try:
        row.moment(text, Names())
    except RowError:
        return ""
    return text
