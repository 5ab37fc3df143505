"""Give the same documents to both readers of strict JSON, and count where they differ.

    python -m tests.fuzz.canonical --count 100000 --seed 1

ledger/events/canonical_json.py here, portal/web/static/canonical.js under Node. They differ if one
accepts what the other refuses, or if the canonical bytes are not the same. Documents are random
values, written in many ways, and what is left of them after a few bytes were changed, put in,
doubled or taken out.
"""

import argparse
import json
import random
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from ledger.events import canonical_json
from ledger.events.canonical_json import StrictJsonError
from tests.interop.opinions import has_node, modules

AT_ONCE = 20_000
HERE = Path(__file__).parent
EDGES = (
    0,
    -1,
    (1 << 53) - 1,
    1 << 53,
    -(1 << 53) + 1,
    -(1 << 53),
    1.0,
    1e300,
    -0.0,
    0.1,
    1e21,
    10**400,
)
SIGNS = ["", "a", '"', "\\", "/", "\b\f\n\r\t", "\0", "\x1f", "\x7f", "é", "\u2028", "😀", "\ufeff"]
SIGNS += ["\ud800", "\udfff", "\ud83d\ude00", "́", "e\u0301", "\u00e9", "ﬀ", "__proto__", "1", "01"]
TOKENS = ["{", "}", "[", "]", ",", ":", '"', "-", "0", ".", "e", "E", "+", "\\u", "\\ud83d\\ude00"]
TOKENS += ["null", "true", "NaN", "Infinity", "//", "/**/", " ", "\t", "\n", "\r", "\x0b", "\xa0"]
TOKENS += ["\\/", "\\a", "\\u00e9", "\\uD800", "\ufeff", "1e5", "-0", "00", "0x1", "'", "\u2028"]
PIECES = [each.encode("utf-8", "surrogatepass") for each in TOKENS]
PIECES += [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0", b"\xef\xbb\xbf"]


@dataclass
class Compared:
    tried: int = 0
    accepted: int = 0
    differing: list[bytes] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not has_node():
        sys.exit("needs Node: install Node.js 20 or later, and run this again")
    start = perf_counter()
    found = compared(documents(options.count, options.seed))
    for each in found.differing:
        sys.stdout.write(f"DIFFERS {each!r}\n")
    sys.stdout.write(
        f"{found.tried:,} documents, seed {options.seed}, {perf_counter() - start:.0f} s: both "
        f"accept {found.accepted:,}, both refuse {found.tried - found.accepted:,}, "
        f"{len(found.differing)} differ\n"
    )
    sys.exit(bool(found.differing))


def documents(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    return (document(chance) for _ in range(count))


def compared(asked: Iterable[bytes]) -> Compared:
    """What both readers say of these documents."""
    found, asked = Compared(), iter(asked)
    with TemporaryDirectory() as home:
        modules(Path(home))
        while batch := [*islice(asked, AT_ONCE)]:
            for each, theirs in zip(batch, _by_page(batch, Path(home)), strict=True):
                ours = _by_server(each)
                found.accepted += ours is not None and ours == theirs
                if ours != theirs:
                    found.differing.append(each)
            found.tried += len(batch)
    return found


def _by_server(data: bytes) -> bytes | None:
    try:
        return canonical_json.canonical(canonical_json.parse(data))
    except StrictJsonError:
        return None


def _by_page(batch: Sequence[bytes], home: Path) -> Iterator[bytes | None]:
    lines = "".join(f"{b64encode(each).decode()}\n" for each in batch)
    command = ["node", "--no-warnings", str(HERE / "canonical.mjs"), str(home / "canonical.js")]
    told = subprocess.run(command, input=lines, stdout=PIPE, text=True, check=True).stdout
    for line in told.splitlines():
        yield None if line == "-" else b64decode(line)


def document(chance: random.Random) -> bytes:
    """One in three as it was written, the others changed."""
    data = written(value(chance, chance.randrange(5)), chance).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        at, piece = chance.randrange(len(data) + 1), chance.choice(PIECES)
        end = min(len(data), at + chance.choice((0, 0, 1, 1, 2, 9)))
        data = data[:at] + chance.choice((piece, data[at:end] * 2, b"")) + data[end:]
    return data


def value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(9 if depth else 6)
    if kind > 6:
        return {text(chance): value(chance, depth - 1) for _ in range(chance.randrange(5))}
    if kind == 6:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind > 3:
        return text(chance)
    if kind > 1:
        return chance.randrange(-(1 << chance.randrange(1, 60)), 1 << chance.randrange(1, 60))
    return chance.choice((None, True, False, *EDGES))


def text(chance: random.Random) -> str:
    return "".join(chance.choice(SIGNS) for _ in range(chance.randrange(4)))


def written(found: Any, chance: random.Random) -> str:
    """JSON with any escapes, white space and order, keys twice now and then, sometimes deep."""
    plain = json.dumps(
        found,
        ensure_ascii=chance.random() < 0.5,
        indent=chance.choice((None, None, 1, "\t")),
        separators=chance.choice(((",", ":"), (", ", ": "))),
    )
    if chance.random() < 0.02:
        depth = chance.choice((62, 63, 64, 65, 2_000))
        return "[" * depth + plain + "]" * depth
    if chance.random() < 0.05 and plain.startswith("{") and len(plain) > 2:
        return plain[:-1] + "," + plain.strip()[1:]
    return plain


if __name__ == "__main__":
    main()
