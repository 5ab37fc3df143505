"""A second implementation of the event profile, on the standard library, for the verifier.

ledger/events/envelope.py defines events as typed structs; this module checks their JSON by the same
rules without msgspec. tests/ledger/test_profile.py compares the two.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ledger.events import customer_keys
from ledger.events.customer_keys import KeyFormError
from ledger.tlog import signed_note
from ledger.vault.commitments import canonical

MAX_INTEGER = (1 << 53) - 1
MAX_DEPTH = 16
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class ProfileError(ValueError):
    """The JSON value is not an event of the profile. The message names the member."""


def require_event(value: Any) -> None:
    """Raise ProfileError unless `value` is the JSON of an event."""
    _require_one_of(_EVENTS, "event", value)
    if value["type"] == "instruction":
        _require_class(value)
    try:
        canonical(value)
    except ValueError as error:
        raise ProfileError(f"the event has a lone surrogate, want Unicode text: {error}") from error


Rule = Callable[[str, Any], None]


def _require_one_of(kinds: Mapping[str, Mapping[str, Rule]], name: str, value: Any) -> None:
    _want(isinstance(value, dict), name, value, "an object")
    kind = value.get("type")
    _want(isinstance(kind, str) and kind in kinds, name, kind, f"a type of {sorted(kinds)}")
    parts = {key: each for key, each in value.items() if key != "type"}
    optional = {key: rule for key, rule in _OPTIONAL.get(kind, {}).items() if key in parts}
    _require_parts({**kinds[kind], **optional}, name, parts)


def _require_class(instruction: Mapping[str, Any]) -> None:
    if instruction["act"]["type"] in _OF_THE_COMPANY:
        _want(instruction["evidence"] == "D", "evidence", instruction["evidence"], "D")


def _require_parts(parts: Mapping[str, Rule], name: str, value: Any) -> None:
    _want(isinstance(value, dict), name, value, "an object")
    _want(value.keys() == parts.keys(), name, sorted(value), f"the members {sorted(parts)}")
    for part, rule in parts.items():
        rule(part, value[part])


def _text(name: str, value: Any) -> None:
    _want(isinstance(value, str), name, value, "text")


def _integer(name: str, value: Any) -> None:
    whole = type(value) is int and abs(value) <= MAX_INTEGER
    _want(whole, name, value, "an integer within ±(2^53 - 1)")


def _time(name: str, value: Any) -> None:
    try:
        parsed = datetime.strptime(value, _TIME).replace(tzinfo=UTC)
        canonical_form = parsed.isoformat().replace("+00:00", "Z")
    except (ValueError, TypeError):
        canonical_form = ""
    _want(bool(value) and value == canonical_form, name, value, "a UTC time in whole seconds")


def _until(name: str, value: Any) -> None:
    if value is not None:
        _time(name, value)
        _want(value.endswith(":00Z"), name, value, "a whole minute, or null")


def _end(name: str, value: Any) -> None:
    _until(name, value)
    _want(value is not None, name, value, "a time, not null")


def _texts(name: str, value: Any) -> None:
    listed = isinstance(value, list) and all(isinstance(each, str) for each in value)
    _want(listed and len({*value}) == len(value), name, value, "a list of texts, each once")


def _names(name: str, value: Any) -> None:
    _texts(name, value)
    _want(len(value) > 0, name, value, "at least one name")


def _names_or_all(name: str, value: Any) -> None:
    if value is not None:
        _names(name, value)


def _bytes(size: int) -> Rule:
    """A rule for canonical base64 of `size` bytes: the form that encodes back to itself."""
    length, unused = -(-size // 3) * 4, {0: "", 1: "AQgw", 2: "AEIMQUYcgkosw048"}[size % 3]

    def rule(name: str, value: Any) -> None:
        formed = isinstance(value, str) and len(value) == length and _BASE64.fullmatch(value)
        stripped = value.rstrip("=") if formed else ""
        exact = formed and len(stripped) * 6 // 8 == size and (not unused or stripped[-1] in unused)
        _want(bool(exact), name, value, f"base64 of {size} bytes")

    return rule


def _tree(name: str, value: Any, depth: int = MAX_DEPTH) -> None:
    _want(depth > 0, name, "more", f"nesting within {MAX_DEPTH}")
    if isinstance(value, dict):
        _want(all(key.isascii() for key in value), name, sorted(value), "ASCII keys")
        for each in value.values():
            _tree(name, each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            _tree(name, each, depth - 1)
    elif not (value is None or isinstance(value, (bool, str))):
        _integer(name, value)


def _object(name: str, value: Any) -> None:
    _want(isinstance(value, dict), name, value, "an object")
    _tree(name, value)


def _truth(name: str, value: Any) -> None:
    _want(isinstance(value, bool), name, value, "true or false")


def _true(name: str, value: Any) -> None:
    _want(value is True, name, value, "true, or no such member")


def _one_of(*values: str) -> Rule:
    def rule(name: str, value: Any) -> None:
        _want(isinstance(value, str) and value in values, name, value, f"one of {values}")

    return rule


def _public(name: str, value: Any) -> None:
    _text(name, value)
    try:
        signed_note.decode_base64(value)
    except ValueError as error:
        raise ProfileError(f"{name} is {error}") from error


def _key(name: str, value: Any) -> None:
    _require_parts(_KEY, name, value)
    try:
        customer_keys.parse(value)
    except KeyFormError as error:
        raise ProfileError(f"{name}: {error}") from error


def _evidence(name: str, value: Any) -> None:
    _want(isinstance(value, str) and value in {"A", "B", "C", "D"}, name, value, "A, B, C or D")


def _act(name: str, value: Any) -> None:
    _require_one_of(_ACTS, name, value)


def _wording(name: str, value: Any) -> None:
    _require_parts({"locale": _text, "digest": _bytes(32)}, name, value)


def _want(condition: bool, name: str, value: Any, wanted: str) -> None:
    if not condition:
        raise ProfileError(f"{name} is {str(value)[:80]!r}, want {wanted}")


_TRIGGER: dict[str, Rule] = {"scene": _text, "template": _text, "signal": _text}
_GRANT: dict[str, Rule] = {"scene": _text, "fields": _names, "until": _until}
_ACTS: dict[str, dict[str, Rule]] = {
    "granted": _GRANT,
    "withdrawn": {"scene": _text, "fields": _names_or_all},
    "trigger-set": _TRIGGER | {"threshold": _integer},
    "trigger-cleared": _TRIGGER,
    "imported": _GRANT | {"source": _text},
    "limited": _GRANT,
    "source-deleted": {},
    "merged": {"customer": _text, "silent": _texts},
    "split": {"customer": _text},
    "renamed": {"customer": _text},
    "key-enrolled": {"key": _key},
    "key-replaced": {"old": _bytes(32), "key": _key},
    "key-removed": {"old": _bytes(32)},
    "recovery-requested": {"key": _key, "proof": _text, "not_before": _time},
    "recovery-cancelled": {"request": _bytes(32)},
    "key-recovered": {"request": _bytes(32)},
    "mandate-given": {"key": _key, "scenes": _names, "until": _end},
    "mandate-ended": {"mandate": _bytes(32)},
}
_OF_THE_COMPANY = frozenset({"limited", "source-deleted", "merged", "split", "renamed"})
_KEY: dict[str, Rule] = {
    "kind": _one_of(*customer_keys.KINDS),
    "algorithm": _one_of(*customer_keys.FORMS),
    "public": _public,
    "rp": _text,
    "origins": _texts,
    "backup_eligible": _truth,
    "backed_up": _truth,
    "attestation": _text,
}
_OPTIONAL: dict[str, dict[str, Rule]] = {
    "instruction": {"mandate": _bytes(32), "time_uncertain": _true},
    "source-deleted": {"into": _text},
}
_INSTRUCTION: dict[str, Rule] = {
    "origin": _text,
    "subject": _text,
    "seq": _integer,
    "prev": _bytes(32),
    "nonce": _bytes(16),
    "at": _time,
    "wording": _wording,
    "evidence": _evidence,
    "act": _act,
}
_EVENTS: dict[str, dict[str, Rule]] = {
    "instruction": _INSTRUCTION,
    "scene-published": {"scene": _text, "version": _text, "digest": _text, "at": _time},
    "policy-published": {"digest": _text, "at": _time},
    "decision-policy-published": {"digest": _text, "at": _time},
    "service-registered": {"service": _text, "key": _text, "at": _time},
    "key-rotated": {"origin": _text, "keys": _texts, "at": _time},
    "signal-reported": {"source": _text, "signal": _text, "value": _integer, "at": _time},
    "budget-reserved": {"scene": _text, "body": _object, "at": _time},
    "synthetic-released": {"release": _text, "scene": _text, "body": _object, "at": _time},
    "read-log-opened": {"origin": _text, "key": _text, "at": _time},
    "read-log-anchored": {"origin": _text, "size": _integer, "root": _text, "at": _time},
    "read-log-closed": {"origin": _text, "size": _integer, "root": _text, "at": _time},
    "read-log-removed": {"origin": _text, "at": _time},
    "reads-kept": {"days": _integer, "at": _time},
    "subject-erased": {"at": _time},
    "entry-erased": {"entry": _integer, "at": _time},
    "manifest-published": {"model": _text, "manifest": _text, "size": _integer, "at": _time},
}
