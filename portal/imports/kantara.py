"""Parses Kantara Consent Receipts 1.1 (Kantara Initiative, 2018): one, a list, or one per line.

    {"version": "KI-CR-v1.1.0", "consentTimestamp": 1709283600, "consentReceiptID": "c1d2…",
     "piiPrincipalId": "c00001", "language": "en", "policyUrl": "https://…", …,
     "services": [{"service": "mail", "purposes": [{"purpose": "direct-marketing",
       "consentType": "EXPLICIT", "piiCategory": ["name", "email"],
       "termination": "2026-03-01T00:00:00Z", "primaryPurpose": true,
       "thirdPartyDisclosure": false}]}]}

Each purpose is a row. Consent of a type other than EXPLICIT is refused, and so is a receipt with a
member that the specification does not have: it could end the consent, as `"state": "REVOKED"` does.
A mapping names the member of the receipt that has the status, and members that nobody reads:

    ignore = ["tenantDomain"]
    [columns]
    status = "state"
    [status]
    ACTIVE = "granted"
    REVOKED = "withdrawn"
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from gate.contracts.scene import Scene
from ledger.events import canonical_json
from ledger.events.canonical_json import StrictJsonError
from ledger.vault.commitments import canonical
from portal.imports import encoding, foreign, row
from portal.imports.mapping import MappingError, Names
from portal.imports.moment import DAY, SECOND, StatedTime
from portal.imports.row import Bad, ImportRow, RowError

VERSION = "KI-CR-v1.1.0"
EXPLICIT = "EXPLICIT"
_TEXT, _TEXTS = "a text", "a list of texts"
_RECEIPT = {
    "version": _TEXT,
    "jurisdiction": _TEXT,
    "consentTimestamp": "",  # checked where it is read, as all with an empty text here
    "collectionMethod": _TEXT,
    "consentReceiptID": _TEXT,
    "publicKey": _TEXT,
    "language": _TEXT,
    "piiPrincipalId": _TEXT,
    "piiControllers": "",
    "policyUrl": _TEXT,
    "services": "",
    "sensitive": "a boolean",
    "spiCat": _TEXTS,
}
_CONTROLLER = {
    "piiController": _TEXT,
    "onBehalf": "a boolean",
    "contact": _TEXT,
    "address": "",
    "email": _TEXT,
    "phone": _TEXT,
    "piiControllerUrl": _TEXT,
}
_ADDRESS = dict.fromkeys(  # of schema.org's PostalAddress, which the specification names
    (
        "@type",
        "addressCountry",
        "addressLocality",
        "addressRegion",
        "postOfficeBoxNumber",
        "postalCode",
        "streetAddress",
    ),
    _TEXT,
)
_SERVICE = {"service": _TEXT, "purposes": ""}
_PURPOSE = {
    "purpose": _TEXT,
    "purposeCategory": _TEXTS,
    "consentType": _TEXT,
    "piiCategory": _TEXTS,
    "primaryPurpose": "a boolean",
    "termination": _TEXT,
    "thirdPartyDisclosure": "a boolean",
    "thirdPartyName": _TEXT,
}
_STATE = re.compile(
    r"(?i)\b(revoke|withdraw|expire|terminat|cancel|reject|denied|deny|invalid|inactive"
    r"|opt(ed)?[-_ ]?out|unsubscribe|widerruf|retir[eé]|revocad|ritirat|ingetrokken)"
    r"|撤[回销]|取消|拒绝"
)


def rows(
    data: bytes, names: Names, scenes: Mapping[str, Scene], now: datetime
) -> Iterator[ImportRow | Bad]:
    """One row per purpose of every receipt, in order. Raises MappingError if it is not JSON."""
    if unknown := sorted(names.columns.keys() - {"status"}):
        raise MappingError(
            f"want only status in [columns] for receipts, found {unknown}: remove it"
        )
    if names.status and "status" not in names.columns:
        raise MappingError("want the member with the status in [columns], found none: name it")
    foreign.refuse(data, receipts=True)
    for place, receipt in enumerate(_receipts(data), 1):
        try:
            yield from [*_purposes(place, receipt, names, scenes, now)]
        except RowError as error:
            yield Bad(place, str(error), _subject(receipt))


def _receipts(data: bytes) -> list[Any]:
    text = encoding.decoded(data).strip()
    try:
        value = canonical_json.parse(text.encode())
    except StrictJsonError as error:
        # More than one value is one receipt per line; whatever else is wrong is final.
        extra = isinstance(error.__cause__, json.JSONDecodeError) and "Extra" in str(error)
        if not extra:
            raise MappingError(_not_json(error)) from error
        return [_line(place, each) for place, each in _lines(text)]
    receipts = value if isinstance(value, list) else [value]
    if not receipts:
        raise MappingError("want a receipt, found an empty list: export the receipts again")
    return receipts


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((n, each) for n, each in enumerate(text.split("\n"), 1) if each.strip())


def _line(place: int, text: str) -> Any:
    try:
        return canonical_json.parse(text.encode())
    except StrictJsonError as error:
        raise MappingError(f"line {place}: {_not_json(error)}") from error


def _not_json(error: StrictJsonError) -> str:
    return (
        f"want JSON, found {error.__cause__ or error}: export the receipts again, or leave out "
        "--format kantara if it is a CSV file"
    )


def _subject(receipt: object) -> tuple[str, ...]:
    customer = receipt.get("piiPrincipalId") if isinstance(receipt, Mapping) else None
    return (customer,) if isinstance(customer, str) else ()


def _purposes(
    place: int,
    document: object,
    names: Names,
    scenes: Mapping[str, Scene],
    now: datetime,
) -> Iterator[ImportRow]:
    receipt = _members(document, "a receipt", _RECEIPT, names)
    if (version := _text(receipt, "version")) != VERSION:
        raise RowError(f"want version {VERSION}, found {version[:20]!r}: convert it first")
    for each in _objects(receipt.get("piiControllers", []), "piiControllers"):
        controller = _members(each, "a controller", _CONTROLLER, names)
        if not isinstance(address := controller.get("address", ""), str):
            _members(address, "an address", _ADDRESS, names)
    subject = row.subject(_text(receipt, "piiPrincipalId"))
    granted = _status(receipt, names)
    at = _moment(_required(receipt, "consentTimestamp"), names, now)
    services = _objects(_required(receipt, "services"), "services")
    purposes = [
        _members(each, "a purpose", _PURPOSE, names)
        for service in services
        for each in _objects(
            _required(_members(service, "a service", _SERVICE, names), "purposes"), "purposes"
        )
    ]
    if not purposes:
        raise RowError("want a purpose, found none: remove the receipt")
    for purpose in purposes:
        if (kind := _text(purpose, "consentType")) != EXPLICIT:
            raise RowError(f"want consentType {EXPLICIT}, found {kind[:20]!r}: remove it")
        within = row.scene(_text(purpose, "purpose"), names, scenes)
        yield ImportRow(
            place,
            subject,
            within.id,
            row.fields(_texts(purpose, "piiCategory"), names, within) if granted else (),
            granted,
            at,
            row.end(_text(purpose, "termination"), names, at.at) if granted else None,
            canonical({"policyUrl": str(receipt.get("policyUrl", "")), "purpose": purpose}),
        )


def _status(receipt: Mapping[str, Any], names: Names) -> bool:
    """What the declared member says; a receipt 1.1 itself has no status, and is a grant."""
    member = names.columns.get("status")
    return True if member is None else row.status(_text(receipt, member), names)


def _members(value: object, what: str, known: Mapping[str, str], names: Names) -> Mapping[str, Any]:
    """An object of which every member is known, or declared, and of its type. Raises RowError."""
    if not isinstance(value, dict):
        raise RowError(f"want an object for {what}, found {_kind(value)}: export it again")
    status = {names.columns["status"]} if "status" in names.columns and known is _RECEIPT else set()
    if unknown := sorted(value.keys() - known.keys() - status - {*names.ignore}):
        raise RowError(
            f"want the members of {what} of version 1.1, found "
            f"{', '.join(repr(each[:40]) for each in unknown[:5])} too: it could end or limit the "
            'consent. Map the status in [columns], or declare in the mapping ignore = ["…"]'
        )
    for name, wanted in known.items():
        if name in value and name not in names.ignore:
            _require_type(name, value[name], wanted)
    return value


def _require_type(name: str, value: object, wanted: str) -> None:
    """Raises RowError: a member of another type, or that names a state, could end the consent."""
    if wanted == _TEXTS:
        whole = isinstance(value, list) and all(isinstance(each, str) for each in value)
        texts = value if isinstance(value, list) else []
    else:
        whole = not wanted or _kind(value) == wanted
        texts = [value]
    if not whole:
        raise RowError(f"want {wanted} in {name}, found {_kind(value)}: export the receipt again")
    if wanted and any(isinstance(each, str) and _STATE.search(each) for each in texts):
        raise RowError(
            f"want no state in {name}, found a word that could say that the consent ended: map the "
            "status in [columns], or declare the member in the mapping's ignore"
        )


def _required(members: Mapping[str, Any], name: str) -> Any:
    if name not in members:
        raise RowError(f"want the member {name}, found none: export the receipt again")
    return members[name]


def _text(members: Mapping[str, Any], name: str) -> str:
    value = _required(members, name)
    if not isinstance(value, str):
        raise RowError(f"want a text in {name}, found {_kind(value)}: export the receipt again")
    return value


def _texts(members: Mapping[str, Any], name: str) -> list[str]:
    value = _required(members, name)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RowError(f"want a list of texts in {name}, found another form: convert it first")
    return value


def _objects(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise RowError(f"want a list in {name}, found {_kind(value)}: export the receipt again")
    return value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number"}
    return kinds.get(type(value), "null")


def _moment(stamp: object, names: Names, now: datetime) -> StatedTime:
    """A timestamp in seconds since 1970, as specified, or text as other programs write it."""
    if isinstance(stamp, str):
        return row.past(stamp, names, now)
    if not isinstance(stamp, int) or isinstance(stamp, bool):
        raise RowError(f"want a time in consentTimestamp, found {_kind(stamp)}: convert it first")
    if stamp * SECOND < DAY or stamp > now.timestamp():
        # A smaller number is no time, or a spreadsheet's number of a day.
        raise RowError(
            "want consentTimestamp in seconds since 1970, after 1970-01-01 and in the past, found "
            f"{stamp}: convert it first"
        )
    return StatedTime(stamp * SECOND, SECOND)
