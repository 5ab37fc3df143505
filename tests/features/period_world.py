"""A small served bank whose logs are witnessed and stamped, and a company that tampers with them.

The company has all its own keys. Where it says `colluding`, it has two of the three witnesses too:
what is found then is found by what the other files of the period say.
"""

import json
import secrets
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from ledger.keys import log_keys
from ledger.tlog import checkpoint, cosignature, signed_note, tiles
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import Log
from ledger.vault import commitments
from ledger.witness import own_witnesses
from tests.features.loopback import PLAIN
from tests.features.served import PATIENCE_S, Site, done, wait_for
from tests.ledger import worlds
from tests.ledger.test_timestamp import Openssl
from tests.ledger.timestamping import serving

EVERY = dict.fromkeys(("publication", "anchoring", "witnesses", "timestamps"), 0.5)
PEOPLE = ("c00231", "c00232", "c00233")
SERVICE, SCENE = "recommender", "recommendation"
TOKEN = {"Authorization": f"Bearer demo-{SERVICE}"}
CONNECTIONS = 8
FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class NotedTerms:
    """What a regulator hands over to the company for a sample, after the reads are anchored."""

    nonce: str
    since: str
    until: str
    handed_over: str  # as the company says


@dataclass(frozen=True, slots=True)
class Period:
    """What a regulator has of a period: files alone."""

    home: Path
    roots: Path
    since: str
    until: str
    draw: "NotedTerms"

    def options(self, home: Path) -> list[str]:
        """The arguments of the audit of a copy of the directory."""
        policies = [str(home / f"{log}.policy") for log in ("consent", "state")]
        times = ["--from", self.since, "--to", self.until, "--timestamp-roots", str(self.roots)]
        named = [word for each in policies for word in ("--policy", each)]
        return [str(home), *named, *times, "--transitions", str(home / "transitions")]


def play(unserved: Path, folder: Path, reads: int = 0) -> Period:
    """Serve a bank with witnesses and a timestamp authority for a while, and stop it.

    `reads`: how many more there are, of customers who never decided anything.
    """
    home = shutil.copytree(unserved, folder / "data")
    own_witnesses.make(home)
    authority = Openssl(folder / "tsa")
    roots = folder / "tsa" / "root.pem"
    with serving(authority) as address:
        settings = {
            "SOVEREIGN_JOB_EVERY_S": json.dumps(EVERY),
            "SOVEREIGN_TIMESTAMP_AUTHORITY": address,
            "SOVEREIGN_TIMESTAMP_ROOTS": str(roots),
        }
        site = Site(home, folder / "log", settings=settings)
        with site.serving():
            wait_for(lambda: _stamps(home), "first timestamp")
            since = datetime.now(UTC)
            read_much(site, reads)
            draw = _use(site, home, folder, since)
            until = datetime.now(UTC)
            wait_for(lambda: seen_at(home) > until, "cosigned checkpoint of the end")
            wait_for(lambda: is_settled(home), "anchor of the last reads")
    done("transitions", home / "transitions", "--data-dir", home)
    own_witnesses.stop()
    end = f"{until + timedelta(seconds=1):{FORM}}"
    return Period(home, roots, f"{since:{FORM}}", end, draw)


def read_much(site: Site, number: int) -> None:
    """Many reads over a few connections, of 100 customers in turn."""

    def read(mine: range) -> None:
        with httpx.Client(base_url=site.address, verify=PLAIN, timeout=PATIENCE_S) as client:
            for each in mine:
                body = {"scene": SCENE, "customer": f"c{each % 100:05}", "fields": ["age"]}
                answer = client.post("/v1/read", headers=TOKEN, json=body)
                assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [pool.submit(read, range(n, number, CONNECTIONS)) for n in range(CONNECTIONS)]
        for each in shares:
            each.result()


def _use(site: Site, home: Path, folder: Path, since: datetime) -> NotedTerms:
    """Give instructions and read, note a draw, and withdraw after it."""
    for number, each in enumerate(PEOPLE):
        site.customer(each).switch(SCENE, "allow")
        site.read(SERVICE, SCENE, each, "age")
        if number == 0:
            wait_for(lambda: [*newest_reads(home).glob("checkpoint")], "publication of a read")
            read_log = newest_reads(home)
            shutil.copy(read_log / "checkpoint", folder / "earlier-reads")
            size = size_of(read_log)
    wait_for(lambda: size_of(newest_reads(home)) > size, "publication of the later reads")
    wait_for(lambda: anchored(home) >= size_of(newest_reads(home)), "anchor of the later reads")
    count = len(_stamps(home))
    time.sleep(1.1)  # times have whole seconds
    draw = _noted(home, f"{since:{FORM}}", f"{datetime.now(UTC):{FORM}}")
    while f"{datetime.now(UTC):{FORM}}" <= draw.handed_over:
        time.sleep(0.1)
    site.customer(PEOPLE[0]).switch(SCENE, "withdraw")
    wait_for(lambda: len(_stamps(home)) > count, "timestamp after the withdrawal")
    return draw


def _noted(home: Path, since: str, until: str) -> NotedTerms:
    nonce = secrets.token_hex(32)
    terms = ("--from", since, "--to", until, "--sample", "3", "--by", "Authority")
    printed = done("note-draw", sha256(nonce.encode()).hexdigest(), *terms, "--data-dir", home)
    return NotedTerms(nonce, since, until, printed.split()[-1])


def entries(folder: Path) -> list[bytes]:
    """The entries of a published log: read again if a file was replaced meanwhile."""

    def read() -> list[bytes] | None:
        try:
            return worlds.entries(folder)
        except FileNotFoundError:
            return None

    return wait_for(read, f"entries of {folder.name}")


def anchored(home: Path) -> int:
    """How many entries of the newest read log are anchored, as far as the log is published."""
    name, mark = newest_reads(home).name, b'"type":"read-log-anchored"'
    anchors = [
        json.loads(each[len(commitments.PUBLIC) :])
        for each in entries(home / "log" / "consent")
        if mark in each
    ]
    return max((e["size"] for e in anchors if e["origin"].endswith(f"/{name}")), default=0)


def is_settled(home: Path) -> bool:
    """Whether no page was opened lately whose reads are not anchored yet."""
    size = size_of(newest_reads(home))
    time.sleep(2)  # four times the pause between publications
    return size_of(newest_reads(home)) == size <= anchored(home)


def _stamps(home: Path) -> list[Path]:
    return [*(home / "log" / "consent" / "timestamps").glob("*.tsr")]


def seen_at(home: Path) -> datetime:
    """When the newest checkpoint was cosigned; the log is idle, so a switch makes a new one."""
    lines = [line for path in days(home) for line in path.read_text().splitlines()]
    note = signed_note.parse(json.loads(lines[-1]))
    key = cosignature.signer((home / "witnesses" / "w1.key").read_text().strip()).key
    return key.verify(note) + timedelta(seconds=1)


def newest_reads(home: Path) -> Path:
    """The published read log that was opened last."""
    mark = b'"type":"read-log-opened"'
    opened = [each for each in entries(home / "log" / "consent") if mark in each]
    origin: str = json.loads(opened[-1][len(commitments.PUBLIC) :])["origin"]
    return home / "log" / origin.rsplit("/", 1)[-1]


def size_of(folder: Path) -> int:
    return int((folder / "checkpoint").read_text().split("\n")[1])


def days(home: Path) -> list[Path]:
    return sorted((home / "log" / "consent" / "witnessed").iterdir())


def flip(path: Path, at: int = 50) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def bundle(folder: Path) -> Path:
    """The last bundle of a log."""
    return _last(folder / "tile" / "entries")


def tile(folder: Path) -> Path:
    return _last(folder / "tile" / "0")


def _last(folder: Path) -> Path:
    """The file of the last tile under `folder`, of a partial one the widest: x001/004.p/168."""

    def place(path: Path) -> tuple[int, int]:
        name, _, width = path.relative_to(folder).as_posix().partition(".p/")
        return int("".join(filter(str.isdigit, name))), int(width or tiles.WIDTH)

    return max((each for each in folder.rglob("*") if each.is_file()), key=place)


def without(path: Path, *names: str) -> None:
    """Take the signatures of these names out of a checkpoint."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    left = [line for line in lines if not any(f"— {name}" in line for name in names)]
    path.write_text("".join(left), "utf-8")


Edit = Callable[[list[bytes]], list[bytes]]


def colluding(home: Path, edit: Edit, at: datetime | None = None) -> None:
    """Rewrite the consent log, with the company's keys and two witnesses'; nothing else knows it.

    `at`: the time that the witnesses state, by default now.
    """
    rewrite(home, edit, at)
    folder = home / "log" / "consent"
    shutil.rmtree(folder / "witnessed")
    shutil.rmtree(folder / "timestamps", ignore_errors=True)
    line = json.dumps((folder / "checkpoint").read_text("utf-8"))
    (folder / "witnessed").mkdir()
    (folder / "witnessed" / "2026-01-01").write_text(f"{line}\n", "utf-8")


def rewrite(home: Path, edit: Edit, at: datetime | None = None) -> None:
    """As `colluding`, and what witnesses saw before stays published."""
    folder = home / "log" / "consent"
    entries = edit(worlds.entries(folder))
    signers = log_keys.read(home / "keys" / "consent.key")
    path = home / "rewritten.sqlite"
    path.unlink(missing_ok=True)
    log = Log.open(path, signers[0].name, *signers)
    log.append(entries)
    shutil.rmtree(folder / "tile")
    (folder / "checkpoint").unlink()
    log.export(folder, str(cosigned(home, log.checkpoint(), at)))
    log.close()


def cosigned(home: Path, note: str, at: datetime | None = None) -> Note:
    """A checkpoint with the cosignatures of two witnesses that collude."""
    parsed = signed_note.parse(note)
    checkpoint.parse(parsed.text)
    names = ("w1", "w2")
    keys = [
        cosignature.signer((home / "witnesses" / f"{name}.key").read_text().strip())
        for name in names
    ]
    stated = at or datetime.now(UTC)
    return Note(parsed.text, (*parsed.signatures, *(k.cosign(parsed.text, stated) for k in keys)))


def act(entries: Sequence[bytes], kind: str) -> tuple[int, dict[str, Any]]:
    """Index and content of the last public act of a kind."""
    for index in range(len(entries) - 1, -1, -1):
        if entries[index].startswith(commitments.PUBLIC):
            event = json.loads(entries[index][1:])
            if event["type"] == kind:
                return index, event
    raise AssertionError(f"no act {kind}")


def changed(kind: str, **members: Any) -> Edit:
    """Change members of the last act of a kind."""

    def edit(entries: list[bytes]) -> list[bytes]:
        index, event = act(entries, kind)
        entries[index] = commitments.public_entry(commitments.canonical(event | members))
        return entries

    return edit


def dropped(kind: str) -> Edit:
    """Take all acts of a kind out."""
    mark = f'"type":"{kind}"'.encode()
    return lambda entries: [each for each in entries if mark not in each]


def repeated(kind: str, **members: Any) -> Edit:
    """Add an act like the last one of its kind, with other members, at the end."""

    def edit(entries: list[bytes]) -> list[bytes]:
        _, event = act(entries, kind)
        return [*entries, commitments.public_entry(commitments.canonical(event | members))]

    return edit


ZERO = b64encode(bytes(32)).decode()
