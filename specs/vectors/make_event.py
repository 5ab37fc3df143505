"""Events: canonical JSON (RFC 8785) in the strict profile of specs/event.md; and their leaves."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from specs.vectors.signing import ORIGIN
from specs.vectors.vector import Vector, canonical, cases, flipped

NOON = "2026-01-01T12:00:00Z"
ZEROS = "A" * 43 + "="
GRANT = {"fields": ["age", "job"], "scene": "segmentation", "type": "granted", "until": None}
ENDING = GRANT | {"until": NOON}
INSTRUCTION: dict[str, Any] = {
    "act": GRANT,
    "at": NOON,
    "evidence": "C",
    "nonce": "A" * 22 + "==",
    "origin": ORIGIN,
    "prev": ZEROS,
    "seq": 1,
    "subject": "c00001",
    "type": "instruction",
    "wording": {"digest": ZEROS, "locale": "zh-CN"},
}
ACTS: tuple[dict[str, Any], ...] = (
    ENDING,
    {"fields": None, "scene": "segmentation", "type": "withdrawn"},
    {"fields": ["age"], "scene": "segmentation", "type": "withdrawn"},
    {
        "scene": "s",
        "signal": "accuracy",
        "template": "below",
        "threshold": 9200,
        "type": "trigger-set",
    },
    {"scene": "s", "signal": "accuracy", "template": "below", "type": "trigger-cleared"},
    GRANT | {"source": "legacy", "type": "imported"},
)
COMPANY_ACTS: tuple[dict[str, Any], ...] = (
    {"type": "source-deleted"},
    {"into": "c00002", "type": "source-deleted"},
    {"customer": "c00002", "silent": [], "type": "merged"},
    {"customer": "c00002", "silent": ["segmentation"], "type": "merged"},
    {"customer": "c00002", "type": "split"},
    {"customer": "c00002", "type": "renamed"},
    ENDING | {"type": "limited"},
)
KEY: dict[str, Any] = {
    "algorithm": "EdDSA",
    "attestation": "none",
    "backed_up": False,
    "backup_eligible": False,
    "kind": "browser",
    "origins": ["https://consent.vectors.example"],
    "public": "MCowBQYDK2VwAyEAC" + "A" * 42 + "=",
    "rp": "consent.vectors.example",
}
KEY_ACTS: tuple[dict[str, Any], ...] = (
    {"key": KEY, "type": "key-enrolled"},
    {"key": KEY, "old": ZEROS, "type": "key-replaced"},
    {"old": ZEROS, "type": "key-removed"},
    {
        "key": KEY,
        "not_before": "2026-01-04T12:00:01Z",
        "proof": "card",
        "type": "recovery-requested",
    },
    {"request": ZEROS, "type": "recovery-cancelled"},
    {"request": ZEROS, "type": "key-recovered"},
    {"key": KEY, "scenes": ["s"], "type": "mandate-given", "until": NOON},
    {"mandate": ZEROS, "type": "mandate-ended"},
)
RELEASED = {"at": NOON, "body": {"a": [1, None, True, {"b": "é\n\u2028😀"}]}, "release": "r1"}
RELEASED |= {"scene": "s", "type": "synthetic-released"}
PUBLIC: tuple[dict[str, Any], ...] = (
    {"at": NOON, "digest": "9f", "scene": "s", "type": "scene-published", "version": "1.0.0"},
    {"at": NOON, "digest": "9f", "type": "policy-published"},
    {"at": NOON, "digest": "9e", "type": "decision-policy-published"},
    {"at": NOON, "key": "k", "service": "analytics", "type": "service-registered"},
    {"at": NOON, "keys": ["a", "b"], "origin": ORIGIN, "type": "key-rotated"},
    {"at": NOON, "signal": "accuracy", "source": "s", "type": "signal-reported", "value": -9199},
    {"at": NOON, "body": {"rho": "1/64"}, "scene": "s", "type": "budget-reserved"},
    RELEASED | {"body": {}},
    {"at": NOON, "key": "k", "origin": "o", "type": "read-log-opened"},
    {"at": NOON, "origin": "o", "root": "r", "size": (1 << 53) - 1, "type": "read-log-anchored"},
    {"at": NOON, "origin": "o", "root": "r", "size": 0, "type": "read-log-closed"},
    {"at": NOON, "origin": "o", "type": "read-log-removed"},
    {"at": NOON, "days": 365, "type": "reads-kept"},
    {"at": NOON, "type": "subject-erased"},
)
GOOD = canonical(INSTRUCTION)


def vectors() -> Iterator[Vector]:
    """`event` is the text of an event."""
    yield from cases("an instruction", {"event": GOOD}, *_said(_forms()), *_said(_values()))
    for act in ACTS:
        made = canonical(INSTRUCTION | {"act": act})
        yield from cases(f"an instruction: {act['type']}", {"event": made})
    for act in KEY_ACTS:
        made = canonical(INSTRUCTION | {"act": act})
        yield from cases(f"an instruction: {act['type']}", {"event": made}, *_said(_of_act(act)))
    mutated: set[str] = set()  # two acts that differ in one member have others in common
    for act in COMPANY_ACTS:
        said = INSTRUCTION | {"act": act, "evidence": "D"}
        name = f"an instruction: {act['type']}"
        wrong = {why: each for why, each in _of_company(said).items() if each not in mutated}
        mutated.update(wrong.values())
        yield from cases(name, {"event": canonical(said)}, *_said(wrong))
    under = canonical(INSTRUCTION | {"mandate": ZEROS})
    yield from cases("an instruction under a mandate", {"event": under}, *_said(_mandates()))
    uncertain = canonical(INSTRUCTION | {"time_uncertain": True})
    yield from cases("an instruction in doubt", {"event": uncertain}, *_said(_uncertain()))
    for each in PUBLIC:
        made = canonical(each)
        yield from cases(each["type"], {"event": made}, *_said(_of_any(each)))
    yield from cases("what a body may hold", {"event": canonical(RELEASED)}, *_said(_bodies()))


def _said(changed: dict[str, str]) -> Iterator[tuple[str, Vector]]:
    yield from ((why, {"event": text}) for why, text in changed.items())


def _forms() -> dict[str, str]:
    """Other texts: non-canonical forms of the same JSON, or not JSON."""
    backwards = (
        "{" + ",".join(f'"{k}":{canonical(v)}' for k, v in [*INSTRUCTION.items()][::-1]) + "}"
    )
    return {
        "form: nothing": "",
        "form: cut off": GOOD[:-1],
        "form: a newline at the end": GOOD + "\n",
        "form: a byte order mark": "\ufeff" + GOOD,
        "form: white space": GOOD.replace('"seq":1', '"seq": 1'),
        "form: keys in another order": backwards,
        "form: a key twice": GOOD.replace('"seq":1', '"seq":1,"seq":1'),
        "form: an escape that is not needed": GOOD.replace("c00001", "c0000\\u0031"),
        "form: a solidus escaped": GOOD.replace("example/", "example\\/"),
        "form: half a character": GOOD.replace("c00001", "\\ud800"),
        "form: a comma too many": GOOD.replace("}", ",}", 1),
        "form: a comment": GOOD + "//",
        "form: a second event": GOOD + GOOD,
        "number: with a point": GOOD.replace('"seq":1', '"seq":1.0'),
        "number: with an exponent": GOOD.replace('"seq":1', '"seq":1e0'),
        "number: with a zero before": GOOD.replace('"seq":1', '"seq":01'),
        "number: minus zero": GOOD.replace('"seq":1', '"seq":-0'),
        "number: none at all": GOOD.replace('"seq":1', '"seq":NaN'),
        "number: 2^53": GOOD.replace('"seq":1', f'"seq":{1 << 53}'),
    }


def _values() -> dict[str, str]:
    """Canonical JSON that is not an event."""
    parts: dict[str, dict[str, Any]] = {
        "a part too many": {"more": 1},
        "type: unknown": {"type": "permitted"},
        "type: in capitals": {"type": "INSTRUCTION"},
        "seq: true": {"seq": True},
        "seq: a text": {"seq": "1"},
        "subject: a number": {"subject": 1},
        "subject: null": {"subject": None},
        "evidence: unknown": {"evidence": "E"},
        "at: no zone": {"at": "2026-01-01T12:00:00"},
        "at: another zone": {"at": "2026-01-01T12:00:00+00:00"},
        "at: a fraction": {"at": "2026-01-01T12:00:00.5Z"},
        "at: a day that is none": {"at": "2026-02-30T12:00:00Z"},
        "nonce: a byte short": {"nonce": "A" * 20},
        "nonce: a byte long": {"nonce": "A" * 23 + "="},
        "prev: bits that base64 does not use": {"prev": "A" * 42 + "B="},
        "prev: base64 without padding": {"prev": "A" * 43},
        "prev: base64 of the other alphabet": {"prev": "_" * 42 + "8="},
        "prev: in hexadecimal": {"prev": "00" * 32},
        "wording: a part too many": {"wording": {**INSTRUCTION["wording"], "more": 1}},
        "wording: a part missing": {"wording": {"locale": "en"}},
        "act: fields: one twice": {"act": GRANT | {"fields": ["age", "age"]}},
        "act: fields: none": {"act": GRANT | {"fields": []}},
        "act: fields: none, of a withdrawal": {
            "act": {"fields": [], "scene": "segmentation", "type": "withdrawn"}
        },
        "act: fields: none, of an import": {
            "act": GRANT | {"fields": [], "source": "legacy", "type": "imported"}
        },
        "act: fields: a text": {"act": GRANT | {"fields": "age"}},
        "act: until: within a minute": {"act": GRANT | {"until": "2026-01-01T12:00:01Z"}},
        "act: until: missing": {"act": {k: v for k, v in GRANT.items() if k != "until"}},
        "act: a public one": {"act": {"at": NOON, "type": "subject-erased"}},
        "act: another instruction": {"act": INSTRUCTION},
    }
    missing = {f"{name}: missing": _without(INSTRUCTION, name) for name in INSTRUCTION}
    changed = {why: canonical(INSTRUCTION | part) for why, part in parts.items()}
    return changed | missing | {"an act alone": canonical(GRANT), "a list": f"[{GOOD}]"}


def _of_company(good: dict[str, Any]) -> dict[str, str]:
    """Other acts of the company: only it gives one, and it has exactly its members."""
    act = good["act"]
    changed: dict[str, dict[str, Any]] = {
        f"{name}: {why}": act | {name: value}
        for name, why, value in (
            ("into", "null", None),
            ("customer", "a number", 2),
            ("silent", "null", None),
            ("silent", "one twice", ["s", "s"]),
            ("fields", "none", []),
            ("until", "within a minute", "2026-01-01T12:00:01Z"),
        )
        if name in act
    }
    missing = {f"{name}: missing": _less(act, name) for name in {*act} - {"type", "into"}}
    more = {"a part too many": act | {"more": None}, "a time": act | {"at": NOON}}
    acts = {
        f"act: {why}": canonical(good | {"act": each})
        for why, each in sorted((changed | missing | more).items())
    }
    return {f"evidence: {each}": canonical(good | {"evidence": each}) for each in "ABC"} | acts


def _of_any(each: dict[str, Any]) -> dict[str, str]:
    missing = {f"{name}: missing": _without(each, name) for name in each}
    return missing | {"a part too many": canonical(each | {"more": None})}


def _of_act(act: dict[str, Any]) -> dict[str, str]:
    """Invalid members of acts on keys."""

    def made(changed: dict[str, Any]) -> str:
        return canonical(INSTRUCTION | {"act": changed})

    parts = sorted({*act} - {"type"})
    missing = {f"act: {name}: missing": made(_less(act, name)) for name in parts}
    wrong = {
        "key": ("a text", "k"),
        "old": ("a byte short", "A" * 42 + "=="),
        "request": ("in hexadecimal", "00" * 32),
        "mandate": ("null", None),
        "not_before": ("without a time", "2026-01-04"),
        "proof": ("a number", 1),
        "scenes": ("one twice", ["s", "s"]),
        "until": ("never", None),
    }
    changed = {
        f"act: {name}: {why}": made(act | {name: value})
        for name, (why, value) in wrong.items()
        if name in act
    }
    keys = _of_key() if act["type"] == "key-enrolled" else {}
    inside = {f"act: key: {why}": made(act | {"key": key}) for why, key in keys.items()}
    return missing | changed | inside | {"act: a part too many": made(act | {"more": None})}


def _of_key() -> dict[str, dict[str, Any]]:
    missing = {f"{name}: missing": _less(KEY, name) for name in KEY}
    wrong: dict[str, dict[str, Any]] = {
        "a part too many": {"more": 1},
        "kind: unknown": {"kind": "password"},
        "algorithm: unknown": {"algorithm": "ES384"},
        "algorithm: another": {"algorithm": "ES256"},
        "public: a byte short": {"public": "MCowBQYDK2VwAyEAC" + "A" * 41},
        "public: bits that base64 does not use": {"public": "MCowBQYDK2VwAyEAC" + "A" * 41 + "B="},
        "public: another beginning": {"public": "NCowBQYDK2VwAyEAC" + "A" * 42 + "="},
        "public: of small order": {"public": "MCowBQYDK2VwAyEA" + "A" * 43 + "="},
        "rp: another": {"rp": "other.example"},
        "rp: nobody": {"rp": ""},
        "origins: none": {"origins": []},
        "origins: one twice": {"origins": KEY["origins"] * 2},
        "origins: one elsewhere": {"origins": [*KEY["origins"], "https://evil.example"]},
        "origins: without encryption": {"origins": ["http://consent.vectors.example"]},
        "backed_up: a text": {"backed_up": "false"},
        "backed_up: though it cannot be": {"backed_up": True},
        "attestation: null": {"attestation": None},
    }
    return missing | {why: KEY | parts for why, parts in wrong.items()}


def _mandates() -> dict[str, str]:
    return {
        "mandate: null": canonical(INSTRUCTION | {"mandate": None}),
        "mandate: a byte short": canonical(INSTRUCTION | {"mandate": "A" * 42 + "=="}),
    }


def _uncertain() -> dict[str, str]:
    wrong = {"false": False, "null": None, "a text": "true", "a number": 1}
    made = {why: canonical(INSTRUCTION | {"time_uncertain": value}) for why, value in wrong.items()}
    event = {"at": NOON, "time_uncertain": True, "type": "subject-erased"}
    changed = {f"time_uncertain: {why}": text for why, text in made.items()}
    return changed | {"time_uncertain: of a public act": canonical(event)}


def _less(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key != name}


def _bodies() -> dict[str, str]:
    def body(value: Any) -> str:
        return canonical(RELEASED | {"body": value})

    deep: Any = 1
    for _ in range(16):
        deep = [deep]
    return {
        "body: a list": body([1]),
        "body: a number with a point": body({"a": 0.5}),
        "body: a key outside ASCII": body({"é": 1}),
        "body: nested too deep": body({"a": deep}),
        "body: a number too small": body({"a": -(1 << 53)}),
    }


def _without(value: dict[str, Any], name: str) -> str:
    return canonical({key: each for key, each in value.items() if key != name})


def commitments() -> Iterator[Vector]:
    """`entry` commits to `event`; tag, salt and sealing key come from `data_key` and `seq`."""
    for seq, event in ((1, GOOD), (2**40, canonical(INSTRUCTION | {"subject": "客户"}))):
        key = sha256(b"vectors, data key %d" % seq).digest()
        derived = HKDFExpand(SHA512(), 96, b"sovereign/event/v1\0" + seq.to_bytes(8)).derive(key)
        tag, salt, sealing = derived[:24], derived[24:56], derived[64:]
        digest = sha256(b"sovereign/entry/v1\0" + salt + event.encode()).digest()
        valid = {
            "data_key": key.hex(),
            "seq": seq,
            "tag": tag.hex(),
            "salt": salt.hex(),
            "sealing_key": sealing.hex(),
            "event": event,
            "entry": (b"\x01" + tag + digest).hex(),
        }
        yield from cases(f"number {seq}", valid, *_commitments(valid))


def _commitments(valid: Vector) -> Iterator[tuple[str, Vector]]:
    for name in ("data_key", "tag", "salt", "sealing_key", "entry"):
        data = bytes.fromhex(valid[name])
        yield f"{name}: its first bit flipped", {name: flipped(data).hex()}
        yield f"{name}: its last bit flipped", {name: flipped(data, -1).hex()}
        yield f"{name}: a byte short", {name: data[:-1].hex()}
    yield "seq: one more", {"seq": valid["seq"] + 1}
    yield "event: another subject", {"event": valid["event"].replace('"subject":"', '"subject":"x')}
    spaced = json.dumps(json.loads(valid["event"]), sort_keys=True, ensure_ascii=False)
    yield "event: the same, with spaces", {"event": spaced}
    yield "entry: as if it stood in clear", {"entry": (b"\x02" + valid["event"].encode()).hex()}
