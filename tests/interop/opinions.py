"""Others asked about our vectors: none of it is the product's code but the browser's verifier.

Each function of OTHERS returns if it accepts a case, or raises OtherwiseError.
"""

import json
import shutil
import subprocess
import sys
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from typing import Any

Vector = dict[str, Any]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VECTORS = ROOT / "specs/vectors"
SCHEMA = ROOT / "specs/schemas/event.json"


class OtherwiseError(Exception):
    """The other implementation refuses."""


def vectors(name: str) -> list[Vector]:
    found: list[Vector] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def has_node() -> bool:
    """Whether there is a Node whose WebCrypto knows Ed25519."""
    probe = "crypto.subtle.generateKey('Ed25519', false, ['sign']).catch(() => process.exit(1))"
    return _runs("node", "--no-warnings", "-e", probe)


def has_openssl() -> bool:
    """Whether there is an OpenSSL command of version 3 or later."""
    return _runs("openssl", "list", "-providers")


def _runs(*command: str) -> bool:
    found = shutil.which(command[0])
    return bool(found) and subprocess.run(command, capture_output=True, check=False).returncode == 0


REFUSES, ACCEPTS, FAILS = range(3)  # FAILS: with an error that is no verdict
MAX_HEAP_MB = 256
MODULES = (  # whose exports have names of their own
    "verify.js",
    "vrf.js",
    "state.js",
    "policy.js",
    "mldsa.js",
    "transition.js",
    "authority.js",
    "evidence.js",
)


def browser(questions: Iterable[Sequence[object]], runner: str = "node") -> list[bool]:
    """What the verifiers of portal/web/static say to each: under Node, or in Chromium."""
    return [answer == ACCEPTS for answer in answers(questions, runner)]


def answers(questions: Iterable[Sequence[object]], runner: str = "node") -> list[int]:
    """The same, as REFUSES, ACCEPTS or FAILS. Node has `MAX_HEAP_MB` for its objects."""
    lines = "".join(f"{json.dumps(each)}\n" for each in questions)
    with TemporaryDirectory() as home:
        command = [sys.executable, "-m", "tests.interop.page"]
        if runner == "node":
            limit = f"--max-old-space-size={MAX_HEAP_MB}"
            command = ["node", "--no-warnings", limit, str(HERE / "node.mjs"), *modules(Path(home))]
        found = subprocess.run(command, cwd=ROOT, input=lines, stdout=PIPE, text=True, check=True)
    return [int(line) for line in found.stdout.splitlines()]


def modules(home: Path) -> list[str]:
    """The verifiers as Node loads them: a folder whose files are modules."""
    for name in (*MODULES, "canonical.js"):
        shutil.copy(ROOT / "portal/web/static" / name, home / name)
    (home / "package.json").write_text('{"type":"module"}')
    return [str(home / name) for name in MODULES]


def signed(case: Vector) -> None:
    """`dilithium_py` for ML-DSA-44, `openssl` for Ed25519: each key's signature in the note."""
    text, _, lines = case["note"].rpartition("\n\n")
    for vkey in case["keys"]:
        name, _, material = vkey.split("+", 2)
        key = _base64(material)
        signature = _signature_of(name, key, lines)
        if key[0] == 1:
            openssl_ed25519(key[1:], signature, f"{text}\n".encode())
        else:
            _dilithium(key, signature, _subtree(name, signature[:8], f"{text}\n"))


def _dilithium(key: bytes, signature: bytes, message: bytes) -> None:
    from dilithium_py.ml_dsa import ML_DSA_44

    _require((key[0], len(key), len(signature)) == (6, 1313, 2428), "not of ML-DSA-44")
    _require(ML_DSA_44.verify(key[1:], message, signature[8:]), "the signature is wrong")


def _signature_of(name: str, key: bytes, lines: str) -> bytes:
    key_id = sha256(name.encode() + b"\n" + key).digest()[:4]
    mine = [_base64(each.split(" ")[2]) for each in lines.splitlines() if f" {name} " in each]
    found = [each[4:] for each in mine if each[:4] == key_id]
    _require(len(found) == 1, "not one signature by this key")
    return found[0]


def _subtree(name: str, time: bytes, text: str) -> bytes:
    origin, size, root, *rest = text.split("\n")
    _require(rest == [""] and int.from_bytes(time) < 1 << 63, "extension lines, or no time")
    named = [bytes([len(each)]) + each.encode() for each in (name, origin)]
    ends = bytes(8) + int(size).to_bytes(8)
    return b"subtree/v1\n\0" + named[0] + time + named[1] + ends + _base64(root)


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise OtherwiseError(str(error)) from error


def tile(case: Vector) -> None:
    """`merkletools` over the hashes."""
    data = case["tile"]
    _require(len(data) == 64 * case["width"] and len(data) > 0, "another width")
    hashes = [data[at : at + 64] for at in range(0, len(data), 64)]
    _require(merkle(hashes)[0] == case["root"], "another root")


def bundle(case: Vector) -> None:
    """`merkletools` over the entries, each after its length."""
    data, leaves = bytes.fromhex(case["bundle"]), list[str]()
    while data:
        end = 2 + int.from_bytes(data[:2])
        _require(1 < end <= len(data), "cut off")
        leaves.append(sha256(b"\0" + data[2:end]).hexdigest())
        data = data[end:]
    _require(0 < len(leaves) <= 256, f"{len(leaves)} entries")
    _require(merkle(leaves)[0] == case["root"], "another root")


def inclusion(case: Vector) -> None:
    """`merkletools` over the entries of the vectors: its root and path, not its verdict."""
    _require(0 <= case["index"] < case["size"], "no such leaf")
    leaves = [sha256(b"\0%d" % number).hexdigest() for number in range(case["size"])]
    root, path = merkle(leaves, case["index"])
    found = (leaves[case["index"]], root, path)
    _require(found == (case["leaf"], case["root"], case["proof"]), "another leaf, root or path")


def merkle(leaves: list[str], index: int = 0) -> tuple[str, list[str]]:
    """Root and path by merkletools, configured to prefix inner nodes with 0x01."""
    import merkletools

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = merkletools.MerkleTools()
        tree.hash_function = lambda data: sha256(b"\x01" + data)
        tree.add_leaf(leaves)
        tree.make_tree()
        path = [next(iter(step.values())) for step in tree.get_proof(index)]
        return str(tree.get_merkle_root()), path


def event(case: Vector) -> None:
    """`rfc8785` for the form, `jsonschema` with the published schema for the parts."""
    import rfc8785

    try:
        found = json.loads(case["event"])
        _require(rfc8785.dumps(found).decode() == case["event"], "not in canonical form")
    except (ValueError, rfc8785.CanonicalizationError) as error:
        raise OtherwiseError(str(error)) from error
    _require(_schema().is_valid(found), "not as the schema says")


@cache
def _schema() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


def timestamp(case: Vector) -> None:
    """`openssl ts`."""
    with TemporaryDirectory() as home:
        folder = Path(home)
        (folder / "text").write_text(case["text"])
        (folder / "token").write_bytes(b64decode(case["token"]))
        (folder / "root").write_text(case["root"])
        verify = ["-verify", "-data", "text", "-in", "token", "-CAfile", "root"]
        _openssl(folder, "ts", *verify)
        told = _openssl(folder, "ts", "-reply", "-in", "token", "-text")
    serial = f"Serial number: 0x{case['serial']:04X}"
    hour = case["at"][11:19]
    _require(serial in told and hour in told, "another serial number or time")


def openssl_ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises OtherwiseError unless OpenSSL accepts the signature."""
    prefix = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of Ed25519
    with TemporaryDirectory() as home:
        folder = Path(home)
        (folder / "key").write_bytes(prefix + public)
        (folder / "signature").write_bytes(signature)
        (folder / "message").write_bytes(message)
        options = ["-verify", "-pubin", "-keyform", "DER", "-inkey", "key", "-rawin"]
        _openssl(folder, "pkeyutl", *options, "-sigfile", "signature", "-in", "message")


def _openssl(folder: Path, *options: str) -> str:
    found = subprocess.run(["openssl", *options], cwd=folder, capture_output=True, check=False)
    _require(found.returncode == 0, found.stderr.decode(errors="replace"))
    return found.stdout.decode(errors="replace")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise OtherwiseError(otherwise)


OTHERS: dict[str, Callable[[Vector], None]] = {
    "mldsa": signed,
    "tile": tile,
    "bundle": bundle,
    "inclusion": inclusion,
    "event": event,
    "timestamp": timestamp,
}
