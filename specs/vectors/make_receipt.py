"""Receipts (tlog-proof) and the policies that say who must have signed them (tlog-policy)."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from specs.model import tree
from specs.vectors.make_event import GRANT, INSTRUCTION, PUBLIC, ZEROS
from specs.vectors.make_instruction import BROWSER, BY_BROWSER, BY_PASSKEY, ELSE, PASSKEY
from specs.vectors.make_note import HEAD, OTHER
from specs.vectors.signing import (
    ED,
    MLDSA,
    ORIGIN,
    PQ,
    STRANGER,
    TIME,
    W1,
    W2,
    W3,
    Key,
    checkpoint,
    note,
)
from specs.vectors.vector import Vector, b64, canonical, cases, flipped, slack

SIZE, INDEX = 7, 3
TAG, SALT = bytes(range(24)), bytes(range(100, 132))
TRUST = f"log {ED.vkey}\nquorum none\n"
SEVERAL = (
    f"log {ED.vkey}\nlog {PQ.vkey}\n"
    + "".join(f"witness w{n} {key.vkey}\n" for n, key in enumerate((W1, W2, W3), 1))
    + "group majority 2 w1 w2 w3\nquorum majority\n"
)


def receipts() -> Iterator[Vector]:
    """`receipt` proves its event, and its checkpoint is signed as `policy` demands."""
    yield from cases("an instruction", _with(TRUST, _receipt()), *_mutations())
    public = {"event": PUBLIC[0]}
    made = _receipt(public, leaf=b"\x02" + canonical(PUBLIC[0]).encode())
    yield from cases("a public act", _with(TRUST, made))
    for signing, event, signature in (
        (PASSKEY, BY_PASSKEY, PASSKEY.asserted(BY_PASSKEY)),
        (BROWSER, BY_BROWSER, BROWSER.bare(BY_BROWSER)),
    ):
        good = _opened(event) | {"signature": signature, "signer": signing.signer}
        valid = _with(TRUST, _receipt(good, leaf=_entry(event)))
        yield from cases(f"signed by a {signing.kind} key", valid, *_signatures(good))
    signed = _signed_by(ED, PQ) + W1.line(_head(), TIME) + W3.line(_head(), TIME)
    both = _receipt(signatures=signed)
    yield from cases(
        "signed with both keys of the log and cosigned by two of three witnesses",
        _with(SEVERAL, both),
        ("the signature by ML-DSA-44 is missing", {"receipt": both.replace(PQ.line(_head()), "")}),
        ("the signature by Ed25519 is missing", {"receipt": both.replace(ED.line(_head()), "")}),
        ("a cosignature is missing", {"receipt": both.replace(W1.line(_head(), TIME), "")}),
        (
            "the cosignature of a witness that is not needed is wrong",
            {"receipt": both + W2.signed_line(TIME.to_bytes(8) + W2.sign(b"another text"))},
        ),
    )


def _signatures(good: dict[str, Any]) -> Iterator[tuple[str, Vector]]:
    """The same leaf without a signature, or with another key's."""
    event = good["event"]
    without = {name: each for name, each in good.items() if name not in {"signature", "signer"}}
    another = ELSE.asserted(BY_PASSKEY | {"seq": 2})
    changed = {
        "signature: missing, and its signer": without,
        "signature: missing": {k: v for k, v in good.items() if k != "signature"},
        "signer: missing": {k: v for k, v in good.items() if k != "signer"},
        "signer: another": good | {"signer": ELSE.signer},
        "signature: another's, of something else": without
        | {"signature": another, "signer": ELSE.signer},
        "signature: null": good | {"signature": None},
        "extra: a part too many": good | {"more": 1},
    }
    for why, extra in changed.items():
        yield why, {"receipt": _receipt(extra, leaf=_entry(event))}
    session = event | {"evidence": "C"}
    claimed = _receipt(good | {"event": session}, leaf=_entry(session))
    yield "event: of a session", {"receipt": claimed}


def _with(policy: str, receipt: str) -> Vector:
    return {"policy": policy, "receipt": receipt}


def _opened(event: dict[str, Any], tag: bytes = TAG, salt: bytes = SALT) -> dict[str, Any]:
    return {"event": event, "salt": salt.hex(), "tag": tag.hex()}


def _entry(event: dict[str, Any]) -> bytes:
    data = canonical(event).encode()
    return b"\x01" + TAG + sha256(b"sovereign/entry/v1\0" + SALT + data).digest()


def _log(leaf: bytes = _entry(INSTRUCTION)) -> list[bytes]:
    others = [b"\x02" + canonical(PUBLIC[n]).encode() for n in range(SIZE)]
    return [*others[:INDEX], leaf, *others[INDEX + 1 :]]


def _head(leaf: bytes = _entry(INSTRUCTION)) -> str:
    return checkpoint(SIZE, tree.mth(_log(leaf)))


def _signed_by(*keys: Key) -> str:
    return "".join(key.line(_head()) for key in keys)


def _receipt(
    extra: dict[str, Any] | None = None,
    *,
    leaf: bytes = _entry(INSTRUCTION),
    index: int | str = INDEX,
    path: Sequence[bytes] | None = None,
    signatures: str | None = None,
) -> str:
    extra = extra or _opened(INSTRUCTION)
    path = tree.path(INDEX, _log(leaf)) if path is None else path
    head = _head(leaf)
    lines = "".join(f"{b64(each)}\n" for each in path)
    signed = note(head, ED.line(head) if signatures is None else signatures)
    encoded = b64(canonical(extra).encode())
    return f"c2sp.org/tlog-proof@v1\nextra {encoded}\nindex {index}\n{lines}\n{signed}"


def _mutations() -> Iterator[tuple[str, Vector]]:
    for changed in (_openings(), _paths(), _texts(), _not_for_this_log()):
        yield from ((why, {"receipt": each}) for why, each in changed.items())
    yield "policy: another key", {"policy": f"log {OTHER.vkey}\nquorum none\n"}
    yield (
        "policy: both kinds of keys",
        {"policy": TRUST.replace("quorum", f"log {PQ.vkey}\nquorum")},
    )
    watched = f"witness w1 {W1.vkey}\nquorum w1\n"
    yield "policy: a witness", {"policy": TRUST.replace("quorum none\n", watched)}


def _openings() -> dict[str, str]:
    """The leaf is another one."""
    good = _opened(INSTRUCTION)
    changed = {
        "event: another scene": _opened(INSTRUCTION | {"act": GRANT | {"scene": "lead-scoring"}}),
        "event: another subject": _opened(INSTRUCTION | {"subject": "c00002"}),
        "event: a field more": _opened(
            INSTRUCTION | {"act": GRANT | {"fields": ["age", "job", "x"]}}
        ),
        "salt: a bit flipped": _opened(INSTRUCTION, salt=flipped(SALT)),
        "salt: a byte short": _opened(INSTRUCTION, salt=SALT[:-1]),
        "salt: in capitals": good | {"salt": SALT.hex().upper()},
        "tag: a bit flipped": _opened(INSTRUCTION, tag=flipped(TAG)),
        "tag: missing": {"event": INSTRUCTION, "salt": SALT.hex()},
        "extra: a part too many": good | {"more": 1},
        "extra: the event alone": {"event": INSTRUCTION},
    }
    return {why: _receipt(extra) for why, extra in changed.items()}


def _paths() -> dict[str, str]:
    path = tree.path(INDEX, _log())
    return {
        "index: one more": _receipt(index=INDEX + 1),
        "index: beyond the log": _receipt(index=SIZE),
        "index: negative": _receipt(index=-1),
        "index: a zero before": _receipt(index=f"0{INDEX}"),
        "path: a hash missing": _receipt(path=path[1:]),
        "path: a hash too many": _receipt(path=[*path, bytes(32)]),
        "path: two hashes swapped": _receipt(path=[path[1], path[0], path[2]]),
        "path: a bit flipped": _receipt(path=[flipped(path[0]), *path[1:]]),
        "path: a hash a byte short": _receipt(path=[path[0][:-1], *path[1:]]),
        "path: none": _receipt(path=[]),
    }


def _texts() -> dict[str, str]:
    good = _receipt()
    spaced = b64(canonical(_opened(INSTRUCTION)).replace(":", ": ").encode())
    encoded = b64(canonical(_opened(INSTRUCTION)).encode())
    changes: dict[str, Callable[[str], str]] = {
        "header: another version": lambda r: r.replace("@v1", "@v2", 1),
        "header: missing": lambda r: r.split("\n", 1)[1],
        "extra: missing": lambda r: r.replace(f"extra {encoded}\n", ""),
        "extra: JSON with spaces": lambda r: r.replace(encoded, spaced),
        "extra: a bit that base64 does not use": lambda r: r.replace(encoded, slack(encoded)),
        "lines: index and extra swapped": lambda r: r.replace(
            f"extra {encoded}\nindex {INDEX}\n", f"index {INDEX}\nextra {encoded}\n"
        ),
        "lines: an empty one more": lambda r: r.replace("\n\n", "\n\n\n", 1),
        "lines: ends of another system": lambda r: r.replace("\n", "\r\n"),
        "checkpoint: missing": lambda r: r[: r.index("\n\n") + 2],
        "checkpoint: not signed": lambda r: r[: r.index("— ")],
        "checkpoint: another size": lambda r: r.replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n"),
        "checkpoint: signed by a stranger": lambda r: r.replace(
            ED.line(_head()), STRANGER.line(_head())
        ),
        "checkpoint: a bit of the signature flipped": lambda r: r.replace(
            ED.line(_head()), ED.signed_line(flipped(ED.signature(_head())))
        ),
    }
    return {why: change(good) for why, change in changes.items()}


def _not_for_this_log() -> dict[str, str]:
    """Proven and signed, but not an entry that this log may have."""
    elsewhere = INSTRUCTION | {"origin": "other.example/consent"}
    unknown = {"at": "2026-01-01T12:00:00Z", "type": "permitted"}
    floating = INSTRUCTION | {"prev": ZEROS[1:]}
    clear = b"\x02" + canonical(INSTRUCTION).encode()
    return {
        "event: an instruction for another log": _receipt(
            _opened(elsewhere), leaf=_entry(elsewhere)
        ),
        "event: none of the profile": _receipt(
            {"event": unknown}, leaf=b"\x02" + canonical(unknown).encode()
        ),
        "event: a predecessor that is no digest": _receipt(
            _opened(floating), leaf=_entry(floating)
        ),
        "event: an instruction in clear": _receipt({"event": INSTRUCTION}, leaf=clear),
        "event: a public act as a commitment": _receipt(_opened(PUBLIC[0]), leaf=_entry(PUBLIC[0])),
    }


def policies() -> Iterator[Vector]:
    """`policy` is satisfied by the checkpoint `note`."""
    signed = note(HEAD, ED.line(HEAD))
    log = f"log {ED.vkey}\n"
    yield from cases("a log, no witness", {"policy": TRUST, "note": signed}, *_policies(signed))
    commented = f"# who is believed\n\n\t log   {ED.vkey} https://{ORIGIN}\n quorum\tnone \n"
    yield from cases("comments, addresses, tabs", {"policy": commented, "note": signed})
    rotated = f"log {OTHER.vkey}\n{TRUST}"
    yield from cases(
        "two keys of one type, of which one signed", {"policy": rotated, "note": signed}
    )
    limited = (
        f"log {ED.vkey}\nrange {_short(ED)} 0 8\nlog {OTHER.vkey}\nrange {_short(OTHER)} 7 *\n"
    )
    after = {"policy": f"{limited}quorum none\n", "note": signed}
    yield from cases("keys that may sign some sizes", after, *_ranges(after["policy"]))
    witness = Key(W1.name, MLDSA)
    seen = note(HEAD, ED.line(HEAD), witness.line(HEAD, TIME))
    by_pq = f"{log}witness w1 {witness.vkey}\nquorum w1\n"
    yield from cases("a witness with a key of ML-DSA-44", {"policy": by_pq, "note": seen})
    yield from _quorums(log)
    both = note(HEAD, ED.line(HEAD), PQ.line(HEAD))
    yield from cases(
        "a log with both kinds of keys",
        {"policy": f"log {PQ.vkey}\n{TRUST}", "note": both},
        ("the signature by ML-DSA-44 is missing", {"note": signed}),
        ("the signature by Ed25519 is missing", {"note": note(HEAD, PQ.line(HEAD))}),
    )


def _short(key: Key) -> str:
    """How the line `range` names a key."""
    return "+".join(key.vkey.split("+")[:2])


def _ranges(trust: str) -> Iterator[tuple[str, Vector]]:
    mine, other = _short(ED), _short(OTHER)
    changed = {
        "the key that signed was retired before": trust.replace("0 8", "0 7"),
        "the key that signed is active later": trust.replace("0 8", "8 9"),
        "the key that signed is retired, and the other did not sign": trust.replace("0 8", "0 6"),
        "a range twice": trust.replace("quorum", f"range {mine} 0 9\nquorum"),
        "a range of a key that is not listed": trust.replace(
            f"range {other}", f"range {_short(STRANGER)}"
        ),
        "a range before its key": f"range {mine} 0 8\n{TRUST}",
        "a range that ends where it begins": trust.replace("0 8", "7 7"),
        "a range without an end": trust.replace("0 8", "0"),
        "a range with a zero before": trust.replace("0 8", "00 8"),
        "a range of a whole key": trust.replace(f"range {mine}", f"range {ED.vkey}"),
    }
    yield from ((f"policy: {why}", {"policy": each}) for why, each in changed.items())


def _quorums(log: str) -> Iterator[Vector]:
    line = {key: key.line(HEAD, TIME) for key in (W1, W2, W3)}
    watched = "".join(f"witness w{n} {key.vkey}\n" for n, key in enumerate((W1, W2, W3), 1))
    wrong = W3.signed_line(TIME.to_bytes(8) + W3.sign(b"another text"))

    def by(*lines: str) -> str:
        return note(HEAD, ED.line(HEAD), *lines)

    two = {
        "policy": f"{log}{watched}group g 2 w1 w2 w3\nquorum g\n",
        "note": by(line[W1], line[W3]),
    }
    yield from cases(
        "two of three witnesses",
        two,
        ("note: one of three", {"note": by(line[W1])}),
        ("note: one of them twice", {"note": by(line[W1], line[W1])}),
        ("note: none", {"note": by()}),
        ("note: two, and a third is wrong", {"note": by(line[W1], line[W2], wrong)}),
        ("policy: all", {"policy": two["policy"].replace("g 2", "g all")}),
        ("policy: another witness alone", {"policy": f"{log}{watched}quorum w2\n"}),
        ("policy: four of three", {"policy": two["policy"].replace("g 2", "g 4")}),
        ("policy: none of three", {"policy": two["policy"].replace("g 2", "g 0")}),
        ("policy: two, with a zero before", {"policy": two["policy"].replace("g 2", "g 02")}),
        ("policy: two, in other digits", {"policy": two["policy"].replace("g 2", "g ２")}),
        ("policy: a member twice", {"policy": two["policy"].replace("w1 w2 w3\nq", "w1 w1 w3\nq")}),
        (
            "policy: a member of no line",
            {"policy": two["policy"].replace("w1 w2 w3\nq", "w1 w9\nq")},
        ),
        ("policy: a group of nobody", {"policy": two["policy"].replace(" 2 w1 w2 w3", " any")}),
        ("policy: a name twice", {"policy": two["policy"].replace("group g", "group w1")}),
        (
            "policy: a witness twice",
            {"policy": two["policy"].replace("group", f"witness w4 {W1.vkey}\ngroup")},
        ),
        (
            "policy: the group after the quorum",
            {"policy": f"{log}{watched}quorum g\ngroup g 2 w1 w2 w3\n"},
        ),
    )
    nested = f"{log}{watched}group a any w1 w2\ngroup b all a w3\nquorum b\n"
    yield from cases(
        "a group within a group",
        {"policy": nested, "note": by(line[W2], line[W3])},
        ("note: the outer member alone", {"note": by(line[W3])}),
        ("note: the inner members alone", {"note": by(line[W1], line[W2])}),
        ("policy: a member of both", {"policy": nested.replace("all a w3", "all a w2 w3")}),
    )


def _policies(signed: str) -> Iterator[tuple[str, Vector]]:
    log = f"log {ED.vkey}\n"
    policies = {
        "nothing": "",
        "no quorum": log,
        "two quorums": TRUST + "quorum none\n",
        "no newline at the end": TRUST[:-1],
        "line ends of another system": TRUST.replace("\n", "\r\n"),
        "a control character": TRUST + "# \0\n",
        "an unknown word": TRUST + "logs\n",
        "a quorum of nobody": f"{log}quorum w1\n",
        "the log twice": log + TRUST,
        "a log without a key": "log\nquorum none\n",
        "a key that is none": "log key\nquorum none\n",
        "a word too many": f"log {ED.vkey} address more\nquorum none\n",
        "a witness's key for a log": f"log {W1.vkey}\nquorum none\n",
        "a log's key for a witness": f"{log}witness w {OTHER.vkey}\nquorum none\n",
        "a witness of the name none": f"{log}witness none {W1.vkey}\nquorum none\n",
        "another log": f"log {STRANGER.vkey}\nquorum none\n",
        "another key of the log": f"log {OTHER.vkey}\nquorum none\n",
    }
    yield from ((f"policy: {why}", {"policy": policy}) for why, policy in policies.items())
    longer = HEAD.replace("\n7\n", "\n07\n")
    yield "note: no checkpoint, though signed", {"note": note(longer, ED.line(longer))}
    yield "note: not signed by the log", {"note": note(HEAD, STRANGER.line(HEAD))}
    yield "note: the signature twice", {"note": signed + ED.line(HEAD)}
