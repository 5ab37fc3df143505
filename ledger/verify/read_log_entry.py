"""Parses entries of read logs and their lists strictly, on the standard library.

gate/readlog/writer.py and gate/readlog/batch_entry.py define both. What is not understood is
refused: an unknown member could name a customer in a way that a search would miss.
"""

import re
from collections.abc import Mapping
from typing import Any

from ledger.vault import commitments
from ledger.verify import masked_persons

OWN = "own"  # a customer looked at their own row
ABOUT_ONE = frozenset({"evaluate", OWN, "read"})
STATISTICS = "statistics"  # counted into totals: nothing of anybody left
ABOUT_MANY = frozenset({"rows", "search", STATISTICS, "table"})
POLICY = "policy"  # about resources that are no customer's data
# Entries with a list, and the action of each decision in it.
WITH_LIST = {"batch": "evaluate", "named": "named", POLICY: POLICY}
_WORDING = frozenset(
    {"fields", "plan", "reason", "release", "rows", "scene", "service", "views"}
)  # what a wording of a list has, and every entry that is not a batch
_ENTRY = _WORDING | {"action", "at", "cohort", "consent", "determined_by", "subject"}
_OPTIONAL = frozenset({"answered", "mode", "on_behalf_of"})
_BATCH = frozenset({"action", "at", "consent", "decisions", "list", "service"})
_TEXTS = ("action", "at", "plan", "reason", "scene", "service")
_TAG = re.compile(r"[0-9a-f]{64}|[0-9a-f]{48}")  # 24 bytes in entries of earlier versions
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MASKED = re.compile(r"[0-9a-f]{16}")  # a position, since version 2 of the file of read keys
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class EntryError(ValueError):
    """The bytes are not what a journal writes."""


def parse(leaf: bytes) -> dict[str, Any]:
    """The members of an entry. Raises EntryError."""
    entry = _object(leaf)
    action = entry.get("action")
    if isinstance(action, str) and action in WITH_LIST:
        _want(entry.keys() == _BATCH, "the members of a batch")
        _require_texts(entry)
        _want(_is_digest(entry["list"]), "the digest of a list")
        _want(type(entry["decisions"]) is int and entry["decisions"] > 0, "a number of decisions")
        return entry
    _want(entry.keys() - _OPTIONAL == _ENTRY, "the members of a read-log entry")
    _require_texts(entry)
    _require_wording(entry)
    if "on_behalf_of" in entry:
        masked = masked_persons.is_masked_person(entry["on_behalf_of"])
        _want(action == "read" and masked, "a masked id, in a read of one customer")
    sets = (entry["cohort"], entry.get("answered"))
    if action == OWN:
        unnamed = entry["service"] == entry["scene"] == entry["plan"] == ""
        _want(unnamed, "no service, scene or plan, in a customer's access to their own row")
    if action in ABOUT_ONE:
        _want(_is_tag(entry["subject"]) and sets == (None, None), "a tag and no set")
        _want(_is_position(entry["determined_by"]), "a position, masked or not")
    else:
        _want(action in ABOUT_MANY and entry["subject"] is None, "a known action, and no tag")
        _want(entry["determined_by"] is None, "no position")
        _want(all(each is None or _is_digest(each) for each in sets), "digests of sets")
    return entry


def asking(entry: Mapping[str, Any], person: str = "") -> str:
    """Who asked for what, for people. `person`: what to say of the one a service asked for."""
    if entry["action"] == OWN:
        return "own by the customer"
    return f"{entry['action']} by {entry['service']}{person} for {entry['scene']}"


def decisions(data: bytes, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The decisions of the list of an entry, each as the entry of a decision on one customer.

    The caller has compared the digest. Raises EntryError.
    """
    listing = _object(data)
    _want(listing.keys() == {"decisions", "wordings"}, "decisions and wordings")
    rows, wordings = listing["decisions"], listing["wordings"]
    _want(isinstance(rows, list) and isinstance(wordings, list), "two lists")
    _want(len(rows) == batch["decisions"], f"{batch['decisions']} decisions")
    for each in wordings:
        _want(isinstance(each, dict) and each.keys() == _WORDING, "the members of a wording")
        _require_texts(each)
        _require_wording(each)
    return [_decision(row, wordings, batch) for row in rows]


def _decision(row: Any, wordings: list[Any], batch: dict[str, Any]) -> dict[str, Any]:
    _want(isinstance(row, list) and len(row) == len(("tag", "entry", "wording")), "three members")
    tag, position, number = row
    _want(_is_tag(tag), "a tag")
    _want(_is_position(position), "a position, masked or not")
    _want(type(number) is int and 0 <= number < len(wordings), "the number of a wording")
    about = {"at": batch["at"], "determined_by": position, "subject": tag}
    return {**wordings[number], **about, "action": WITH_LIST[batch["action"]]}


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = commitments.parse(data)
        formatted = commitments.canonical(value)
    except (ValueError, RecursionError) as error:
        raise EntryError(f"not JSON: {error}") from error
    _want(isinstance(value, dict) and formatted == data, "an object in canonical form")
    members: dict[str, Any] = value
    return members


def _require_texts(members: dict[str, Any]) -> None:
    texts = (members[name] for name in _TEXTS if name in members)
    _want(all(isinstance(each, str) for each in texts), "texts")
    _want("at" not in members or bool(_TIME.fullmatch(members["at"])), "a time in UTC")


def _require_wording(members: dict[str, Any]) -> None:
    views = members["views"]
    named = isinstance(views, dict) and all(isinstance(each, str) for each in views.values())
    _want(named, "a view for each field")


def _is_tag(value: Any) -> bool:
    return isinstance(value, str) and _TAG.fullmatch(value) is not None


def _is_position(value: Any) -> bool:
    """Whether a journal writes it of one customer: masked, or as earlier versions did."""
    if isinstance(value, str):
        return _MASKED.fullmatch(value) is not None
    return value is None or (type(value) is int and value >= 0)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _want(condition: bool, wanted: str) -> None:
    if not condition:
        raise EntryError(f"want {wanted}: not what a journal writes")
