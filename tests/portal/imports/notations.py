"""What other systems write for a status, a time, an item or a customer's number."""

import unicodedata
from collections.abc import Iterator
from typing import Any

STATUSES = (
    *("", " ", "NULL", "null", "None", "N/A", "n/a", "-", "?", "0", "1", "2", "-1", "1.0"),
    *("true", "false", "TRUE", "FALSE", "yes", "no", "Yes", "No", "y", "n", "J", "N", "Y", "T"),
    *("Granted", "GRANTED", "granted ", " granted", "granted.", "granted?", "grant", "grantd"),
    *("not granted", "ungranted", "granted=false", "granted/withdrawn", "granted;withdrawn"),
    *("Withdrawn", "WITHDRAWN", "withdrawn ", "withdrawn?", "not withdrawn", "withdrew"),
    *("revoked", "revoked?", "expired", "denied", "rejected", "cancelled", "pending", "unknown"),
    *("opted-in", "opted-out", "opt in", "opt out", "subscribed", "unsubscribed", "active"),
    *("inactive", "erteilt", "widerrufen", "zugestimmt", "abgelehnt", "accordé", "retiré"),
    *(
        "concedido",
        "revocado",
        "同意",
        "不同意",
        "已撤回",
        "ｇｒａｎｔｅｄ",
        "gr\u0430nted",
        "granted\u200b",
    ),
    *("granted\u00a0", "=TRUE()", "☑", "☐", "x", "on", "off", "NaN", "#N/A", "#REF!"),
)
TIMES = (
    *("", " ", "NULL", "0", "-", "NaT", "NaN", "#VALUE!", "now", "yesterday", "never"),
    *("unlimited", "infinity", "-infinity", "∞", "forever", "bis auf Widerruf", "none", "1 year"),
    *("P1Y", "365", "2026-02-30", "2026-13-01", "2026-00-10", "2026-03-00", "2026-3-1"),
    *("2026/03/01", "01/03/2026", "03/01/2026", "13/01/2026", "1.3.2026", "01.03.2026", "1.3.26"),
    *("01-03-26", "26-03-01", "01.03.68", "20260301", "20260301T090000Z", "2026-060", "2026-W09"),
    *("2026-W09-7", "2026", "2026-03", "March 1, 2026", "1 mars 2026", "Mär 2026", "2026年3月1日"),
    *("1772355600", "1772355600000", "1772355600.5", "1.7723556E+09", "46082", "46082.375"),
    *("2026-03-01T09:00:00", "2026-03-01 09:00", "2026-03-01T09:00Z", "2026-03-01 09:00:00Z"),
    *("2026-03-01T09:00:00 Z", "2026-03-01T09:00:00z", "2026-03-01t09:00:00Z"),
    *("2026-03-01T09:00:00+0100", "2026-03-01T09:00:00+01", "2026-03-01T09:00:00+25:00"),
    *("2026-03-01T09:00:00-00:00", "2026-03-01T09:00:00+14:00", "2026-03-01T09:00:00 CET"),
    *("2026-03-01T09:00:00[Europe/Berlin]", "2026-03-01T24:00:00Z", "2026-03-01T23:59:60Z"),
    *("2026-03-01T09:60:00Z", "2026-03-01T9:00:00Z", "2026-03-01T09:00:00.Z"),
    *("2026-03-01T09:00:00.123456789Z", "2026-03-01T09:00:00.1234567890Z"),
    *("2026-03-01T09:00:00,5Z", "2026-03-01Z", "2026-03-01 ", " 2026-03-01", "'2026-03-01"),
    *(
        "２０２６-03-01",
        "2026‐03‐01",
        "2026-03-01\u200b",
        "-0044-03-15",
        "0000-00-00",
        "0001-01-01",
    ),
    *("44 BC", "1899-12-30", "1900-01-00", "1969-12-31", "1970-01-01", "1970-01-01T00:00:00Z"),
    *("1970-01-01T01:00:00+01:00", "2038-01-19T03:14:07Z", "2999-12-31", "9998-12-31"),
    *("9999-12-31", "9999-12-31T23:59:59Z", "10000-01-01", "99999-01-01", "01.01.1970"),
    *("31.12.9999", "31.12.9998", "29.02.2025", "01.03.2026 ", "1. 3. 2026", "０1.03.2026"),
)
CELLS = {
    "status": STATUSES,
    "at": TIMES,
    "until": TIMES,
    "fields": (
        *("", " ", ";", "*", "**", "*;name", "all", "ALL", "ANY", "none", "name", "name;email"),
        *("name;name", "name;", ";name", "name;;email", "Name", "NAME", "name,email", "name|email"),
        *("name email", "name; email", "shoe size", "name;shoe size", "age", "[name]", '["name"]'),
        *("1", "-name", "!name", "ｎａｍｅ", "name\u200b", "n\u0430me", "name:false", "name=no"),
    ),
    "scene": (
        *("", "*", "all", "Direct-Marketing", "direct-marketing ", "direct marketing", "spying"),
        *("direct-marketing;segmentation", "contract-service", "direct_marketing", "marketing"),
        *("direct-marketin", "NULL", "segmentation", "Werbung", "werbung", "not direct-marketing"),
    ),
    "subject": (
        *("", " ", "NULL", "0", "*", "c00099", "c0004", "c000411", "41", "00041", "4.1E+01"),
        *("1.23457E+11", '="00123"', "'00123", "c00041,c00042", "c00041;c00042", "c00041 c00042"),
        *("C00041", "c00041@bank.example", "客户", "José", "Jose\u0301", "c0004l", "cОOO41", "NaN"),
        "x" * 300,
    ),
}
EXTRA_HEADS = ("", "revoked", "withdrawn_at", "opt_out", "Until", "valid_to", "note", "Widerruf")
_TYPES: tuple[Any, ...] = (None, True, False, 0, 1, [], {}, "", "x")
ABSENT = object()
MEMBERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "receipt": {
        "state": (*_TYPES, "ACTIVE", "REVOKED", "Active", "EXPIRED", "not ACTIVE", "ACTIVE "),
        "State": ("REVOKED", "ACTIVE"),
        "status": ("revoked", "active"),
        "revokedAt": ("2026-04-01",),
        "expiry": ("2026-04-01", None),
        "version": (*_TYPES, "KI-CR-v1.0.0", "ki-cr-v1.1.0", "KI-CR-v1.1.0 ", "1.1"),
        "piiPrincipalId": (*_TYPES, "c00099", "C00042", "c00042 ", "ｃ00042", "c00042\x00"),
        "consentTimestamp": (
            *_TYPES,
            *(-1, 46_082, 86_399, 1_772_355_600_000, 1 << 52, 32_503_680_000),
            *TIMES[:60],
        ),
        "services": _TYPES,
        "jurisdiction": ("REVOKED", {"state": "REVOKED"}),
    },
    "service": {"state": ("REVOKED",), "purposes": _TYPES, "service": ("crm", {"end": "now"})},
    "purpose": {
        "state": ("REVOKED",),
        "consentType": (*_TYPES, "IMPLICIT", "Explicit", "explicit", "EXPLICIT ", "OPT-OUT"),
        "purpose": (*_TYPES, "spying", "Segmentation", "contract-service", "segmentation"),
        "piiCategory": (
            *_TYPES,
            *(["*"], ["name", "name"], ["name", "shoe size"], ["Name"], ["name", None]),
            *(["*", "name"], [["name"]], ["name;email"], [""], ["age"]),
        ),
        "termination": (*_TYPES, *TIMES),
        "Termination": ("2026-04-01",),
        "thirdPartyName": ("consent withdrawn",),
    },
}


def heads(name: str) -> Iterator[str]:
    """What may stand in a header for a name that is expected."""
    yield from (
        name.upper(),
        name.title(),
        f"{name} ",
        f" {name}",
        f"{name}\u200b",
        f"\ufeff{name}",
    )
    yield from (f"{name}\u00a0", f"{name}s", name[:-1], name.replace("t", "tt"), f'"{name}"')
    yield from (f"{name}_1", f"_{name}", name.translate({ord("s"): "ſ", ord("a"): "а"}), "")


def written(value: str) -> Iterator[str]:
    """Other ways to write a value."""
    yield from (f"{value} ", f" {value}", f"\t{value}", f"{value}\n", f"{value}\u200b", f"'{value}")
    yield from (f'="{value}"', f"{value}.0", value.upper(), value.lower(), value[:-1], f"0{value}")
    yield unicodedata.normalize("NFD", f"{value}é")
    yield "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in value)


def documents(whole: str) -> dict[str, str]:
    """Texts that are almost the same JSON."""
    return {
        "a member twice": whole.replace('"version"', '"version": "KI-CR-v1.1.0", "version"', 1),
        "a nested member twice": whole.replace(
            '"consentType"', '"consentType": "IMPLICIT", "consentType"', 1
        ),
        "a customer twice": whole.replace('"language"', '"piiPrincipalId": "c00050", "language"'),
        "NaN": whole.replace("1772355600", "NaN", 1),
        "Infinity": whole.replace("1772355600", "Infinity", 1),
        "a fraction": whole.replace("1772355600", "1772355600.0", 1),
        "an exponent": whole.replace("1772355600", "17723556e2", 1),
        "a number as a text": whole.replace("1772355600", '"1772355600"', 1),
        "a zero in front": whole.replace("1772355600", "01772355600", 1),
        "yes for true": whole.replace("true", "yes", 1),
        "True for true": whole.replace("true", "True", 1),
        "single quotes": whole.replace('"', "'"),
        "a comment": f"// exported\n{whole}",
        "a comma too many": f"{whole[:-1]},]",
        "a comma less": whole.replace(", ", " ", 1),
        "two lists": whole + whole,
        "a list in a list": f"[{whole}]",
        "under a member": f'{{"receipts": {whole}}}',
        "half a surrogate": whole.replace("c00041", "\\ud800"),
        "a NUL character": whole.replace("c00041", "c00041\\u0000"),
        "text behind it": f"{whole} end",
        "nothing": "",
        "null": "null",
        "an empty list": "[]",
        "YAML": "- version: KI-CR-v1.1.0\n  sensitive: no\n",
    }
