"""Names files of formats that are not imported, by marks that no other file has.

A file without such a mark is left to the parser, which says what it wants.
"""

import base64
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from portal.imports.mapping import MappingError

KANTARA = "KI-CR-v1"  # the beginning of a receipt's version
_ROWS = "export the consents as CSV in UTF-8, one row each, and write a mapping (--mapping)"
_SIGNATURES = {  # the first bytes of a file
    b"%PDF-": ("a PDF document", _ROWS),
    b"\x1f\x8b": ("a file compressed with gzip", "decompress it first"),
    b"BZh": ("a file compressed with bzip2", "decompress it first"),
    b"\xfd7zXZ\0": ("a file compressed with xz", "decompress it first"),
    b"\x28\xb5\x2f\xfd": ("a file compressed with Zstandard", "decompress it first"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "extract the file with the consents first"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an old Excel workbook or another Office document",
        "save its sheet as CSV in UTF-8",
    ),
    b"SQLite format 3\0": ("an SQLite database", _ROWS),
    b"PAR1": ("a Parquet file", _ROWS),
}
_MARKUP = {
    re.compile(r"(?s)\s*(<\?xml.*?\?>\s*)?<(Consent|Bundle)\b[^>]*http://hl7\.org/fhir"): (
        "a FHIR resource in XML",
        _ROWS,
    ),
    re.compile(r"(?i)\s*(<!doctype html|<html\b)"): ("an HTML page", _ROWS),
    re.compile(r"\s*<\?xml\b"): ("an XML document", _ROWS),
}
_TCF = re.compile(r"C[A-Za-z0-9_-]{37,}(\.[A-Za-z0-9_-]+){0,3}")
_TCF_VERSION, _LETTERS, _TIME = 2, 26, (1 << 36) - 1
_TCF_BEGAN = 15_147_648_000  # 2018, in tenths of a second
_GPP = re.compile(r"DB[A-Za-z0-9_-]{2,}~[A-Za-z0-9_.~-]+")
_COOKIES = (
    "a browser's choice and no customer's: import the consents of your own customers, "
    "as CSV with a mapping"
)
_HEADS = {  # columns that together occur in the exports of one product only
    "HubSpot": (
        {"hsemailoptout"},
        {"hslegalbasis"},
        {"recordid", "unsubscribedfromallemail"},
        {"recordid", "legalbasisforprocessingcontactsdata"},
        {"portalunsubscribe", "portalbounce"},
    ),
    "OneTrust": (
        {"datasubjectidentifier", "collectionpointid"},
        {"datasubjectidentifier", "collectionpointguid"},
        {"datasubjectidentifier", "collectionpointname"},
        {"datasubjectidentifier", "collectionpoint"},
        {"datasubjectid", "collectionpointguid"},
    ),
}


def refuse(data: bytes, *, receipts: bool) -> None:
    """Raise MappingError if the file is unmistakably of another format than the one declared.

    `receipts`: whether the declared one is Kantara receipts, not CSV.
    """
    if (named := _binary(data)) is not None:
        raise _refusal(*named)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return  # the parser names the byte
    for pattern, named in _MARKUP.items():
        if pattern.match(text):
            raise _refusal(*named)
    if (consents := text.split()) and all(map(_is_tcf, consents)):
        raise _refusal("a consent string of the IAB Transparency and Consent Framework", _COOKIES)
    if consents and all(map(_GPP.fullmatch, consents)):
        raise _refusal("a string of the IAB Global Privacy Platform", _COOKIES)
    if (named := _document(text, receipts=receipts)) is not None:
        raise _refusal(*named)


def product(head: Collection[str]) -> str:
    """A sentence about the product that exports these columns; "" if none is known."""
    columns = {re.sub(r"[^a-z0-9]", "", each.lower()) for each in head}
    for name, marks in _HEADS.items():
        if any(mark <= columns for mark in marks):
            return (
                f". This looks like an export of {name}: keep one row for each consent or "
                "withdrawal, with its customer, use and time"
            )
    return ""


def _refusal(what: str, action: str) -> MappingError:
    return MappingError(
        "want a CSV file with a mapping, or Kantara consent receipts 1.1 with --format kantara, "
        f"found what looks like {what}: {action}"
    )


def _binary(data: bytes) -> tuple[str, str] | None:
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(data)
    return next((each for mark, each in _SIGNATURES.items() if data.startswith(mark)), None)


def _zip(data: bytes) -> tuple[str, str]:
    """What a ZIP file is, by the names of its members."""
    if b"xl/workbook" in data:
        return "an Excel workbook (XLSX)", "save its sheet as CSV in UTF-8"
    if b"application/vnd.oasis.opendocument" in data[:200]:
        return "an OpenDocument file", "save its sheet as CSV in UTF-8"
    return "a ZIP archive", "extract the file with the consents first"


def _is_tcf(text: str) -> bool:
    """Whether it is a TC string 2: version, two times and a language stand at their bits."""
    core = text.partition(".")[0]
    if not _TCF.fullmatch(text) or len(core) % 4 == 1:
        return False
    head = int.from_bytes(base64.urlsafe_b64decode(core + "=" * (-len(core) % 4))[:16])
    version, created, updated = head >> 122, head >> 86 & _TIME, head >> 50 & _TIME
    language = head >> 8 & 0xFFF
    letters = max(language >> 6, language & 63) < _LETTERS
    return version == _TCF_VERSION and _TCF_BEGAN <= created <= updated and letters


def _document(text: str, *, receipts: bool) -> tuple[str, str] | None:
    """What a JSON document is, if its members show it."""
    first = text.lstrip()[:1]
    if first not in ("{", "["):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None  # the parser names the place
    members = value[0] if isinstance(value, list) and value else value
    return _members(members, receipts=receipts) if isinstance(members, dict) else None


def _members(members: Mapping[str, Any], *, receipts: bool) -> tuple[str, str] | None:
    resource = members.get("resourceType")
    if isinstance(resource, str) and resource.isalpha():
        return f"a FHIR resource ({resource[:40]})", _ROWS
    realm = {"users", "accessTokenLifespan", "keycloakVersion"} & members.keys()
    if isinstance(members.get("realm"), str) and realm:
        return "an export of Keycloak", _ROWS
    context = json.dumps([members.get("@context"), members.get("dct:conformsTo")])
    if "w3.org/ns/dpv" in context or "w3id.org/dpv" in context or "dpv-27560" in context:
        return "a consent record in the terms of ISO/IEC TS 27560 or DPV", _ROWS
    version = members.get("version")
    if not receipts and isinstance(version, str) and version.startswith(KANTARA):
        return "Kantara consent receipts", "add --format kantara"
    return None
