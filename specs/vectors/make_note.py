"""Signed notes: texts that Ed25519 keys signed (type 0x01)."""

from collections.abc import Callable, Iterator

from specs.vectors.signing import ED, LOG, ORIGIN, STRANGER, Key, checkpoint, note
from specs.vectors.vector import Vector, cases, flipped, slack

PLAIN = "any text, 任何文字\nin two lines\n"
HEAD = checkpoint(7, bytes(range(32)))
OTHER = Key(ORIGIN, LOG, "the key before")


def vectors() -> Iterator[Vector]:
    """All of `keys` must have signed `note`."""
    good = note(PLAIN, ED.line(PLAIN))
    yield from cases(
        "a text", {"keys": [ED.vkey], "note": good}, *_keys(), *_notes(good), *_signatures(good)
    )
    signed = note(HEAD, STRANGER.line(HEAD), ED.line(HEAD))
    yield from cases("a signature by a key that is not asked for", _by([ED], signed))
    both = note(HEAD, ED.line(HEAD), OTHER.line(HEAD))
    yield from cases(
        "two keys, both asked for",
        _by([ED, OTHER], both),
        ("the second signature is missing", {"note": note(HEAD, ED.line(HEAD))}),
        ("the second signature is wrong", {"note": _but(both, _wrong(OTHER), OTHER.line(HEAD))}),
    )


def _by(keys: list[Key], signed: str) -> Vector:
    return {"keys": [key.vkey for key in keys], "note": signed}


def _keys() -> Iterator[tuple[str, Vector]]:
    name, key_id, material = ED.vkey.split("+", 2)
    changed = {
        "key: another one": STRANGER.vkey,
        "key: another one of the same name": OTHER.vkey,
        "key: an id that is not its own": f"{name}+{flipped(ED.id).hex()}+{material}",
        "key: an id in capitals": f"{name}+{key_id.upper()}+{material}",
        "key: no id": f"{name}+{material}",
        "key: no name": f"+{key_id}+{material}",
        "key: another name": f"other.example+{key_id}+{material}",
        "key: one letter short": ED.vkey[:-1],
        "key: a space at the end": ED.vkey + " ",
    }
    yield from ((why, {"keys": [vkey]}) for why, vkey in changed.items())


def _notes(good: str) -> Iterator[tuple[str, Vector]]:
    changes: dict[str, Callable[[str], str]] = {
        "text: a letter changed": lambda n: n.replace("any", "one", 1),
        "text: its lines swapped": lambda n: n.replace(PLAIN, "in two lines\nany text, 任何文字\n"),
        "text: a line more": lambda n: n.replace(PLAIN, PLAIN + "a line\n"),
        "text: a line less": lambda n: n.replace("in two lines\n", ""),
        "text: none": lambda n: n.replace(PLAIN, ""),
        "no empty line": lambda n: n.replace("\n\n", "\n"),
        "two empty lines": lambda n: n.replace("\n\n", "\n\n\n"),
        "no newline at the end": lambda n: n[:-1],
        "a newline more at the end": lambda n: n + "\n",
        "line ends of another system": lambda n: n.replace("\n", "\r\n"),
        "no signature": lambda n: n[: n.index("— ")],
        "cut off in the signature": lambda n: n[:-20],
    }
    yield from ((why, {"note": change(good)}) for why, change in changes.items())
    tabbed = "a\ttab\n"
    yield "text: a control character, signed", {"note": note(tabbed, ED.line(tabbed))}


def _signatures(good: str) -> Iterator[tuple[str, Vector]]:
    line, signature = ED.line(PLAIN), ED.signature(PLAIN)
    changes = {
        "signature: a bit flipped": ED.signed_line(flipped(signature)),
        "signature: its last bit flipped": ED.signed_line(flipped(signature, -1)),
        "signature: a byte short": ED.signed_line(signature[:-1]),
        "signature: a byte long": ED.signed_line(signature + b"\0"),
        "signature: none after the key id": ED.signed_line(b""),
        "signature: of another text": ED.line(HEAD),
        "signature: its halves swapped": ED.signed_line(signature[32:] + signature[:32]),
        "signature: S plus the order of the group": ED.signed_line(_malleable(signature)),
        "signature: a bit that base64 does not use": slack(line),
        "signature: base64 without padding": line.replace("=", ""),
        "signature: base64 of the other alphabet": _urlsafe(line),
        "signature: a carriage return in base64": line[:40] + "\r" + line[40:],
        "signature: a newline in base64": line[:40] + "\n" + line[40:],
        "signature: two spaces": line.replace("— ", "—  "),
        "signature: a space at the end": line.replace("\n", " \n"),
        "signature: a hyphen for the dash": line.replace("—", "-"),
        "signature: another key's name": line.replace(ED.name, STRANGER.name),
        "signature: another key's id": STRANGER.signed_line(signature).replace(
            STRANGER.name, ED.name
        ),
        "signature: no name": line.replace(f" {ED.name}", ""),
    }
    yield from ((why, {"note": _but(good, changed, line)}) for why, changed in changes.items())


def _but(good: str, changed: str, line: str) -> str:
    return good.replace(line, changed)


def _wrong(key: Key) -> str:
    return key.signed_line(flipped(key.signature(HEAD)))


def _malleable(signature: bytes) -> bytes:
    """The same equation holds for S + L; RFC 8032, 5.1.7, refuses it."""
    order = (1 << 252) + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[32:], "little") + order
    return signature[:32] + s.to_bytes(32, "little")


def _urlsafe(line: str) -> str:
    dash, name, encoded = line.split(" ")
    changed = f"{dash} {name} {encoded.replace('+', '-').replace('/', '_')}"
    if changed == line:
        raise AssertionError("the signature has none of the letters that differ")
    return changed
