"""The search of own reads: the file of keys, strict entries, anchors (G133 to G135)."""

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger.tlog import merkle, signed_note, tiles
from ledger.tlog.auditor import AuditFinding, AuditReport, FindingKind
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import UnreadableError
from ledger.tlog.writer import Log
from ledger.vault import commitments
from ledger.vault.commitments import EntryKeys, EntryTags, PositionPads, ReadLogTags
from ledger.verify import masked_persons, own_reads, read_keys, read_log_entry
from ledger.verify.announced_read_logs import UnsoundLogError, require_sound
from ledger.verify.read_keys import ReadKeys, ReadKeysError
from ledger.verify.read_log_entry import EntryError
from ledger.verify.read_log_search import OLD_KEYS

SIGNER = signed_note.generate("bank.example/reads-1a2b3c4d")
CONSENT_SIGNER = signed_note.generate("bank.example/consent")
ORIGIN = SIGNER.name
MINE, OTHERS = bytes(range(64)), bytes(range(64, 128))
NUMBER = 9
SET = b"\x00\x40"  # the number 9
WORDING = {
    "fields": ["age"],
    "plan": "9f" * 32,
    "reason": "granted",
    "release": None,
    "rows": 1,
    "scene": "segmentation",
    "service": "analytics",
    "views": {"age": "personal"},
}
CONSENT = {"root": "AA==", "size": 7}
AT = "2026-01-01T12:00:00Z"


def entry(**members: Any) -> dict[str, Any]:
    about = {"action": "read", "at": AT, "cohort": None, "consent": CONSENT, "determined_by": 3}
    return {**WORDING, **about, "subject": "4b" * 24, **members}


def about(data_key: bytes, index: int) -> dict[str, Any]:
    """As earlier versions wrote it."""
    return entry(subject=earlier(data_key).at(index))


def earlier(data_key: bytes) -> EntryTags:
    return EntryTags(commitments.read_log_key(data_key, ORIGIN))


def listing(index: int, *keys: bytes) -> bytes:
    tags = (earlier(key).member(index, place) for place, key in enumerate(keys))
    return commitments.canonical({"decisions": [[t, 3, 0] for t in tags], "wordings": [WORDING]})


def batch(data: bytes, decisions: int) -> dict[str, Any]:
    named = {"decisions": decisions, "list": sha256(data).hexdigest(), "service": "analytics"}
    return {"action": "batch", "at": AT, "consent": CONSENT, **named}


def many(answered: bytes | None, action: str = "rows") -> dict[str, Any]:
    sets: dict[str, Any] = {
        "cohort": "ab" * 32,
        "subject": None,
        "action": action,
        "determined_by": None,
    }
    if answered is not None:
        sets["answered"] = sha256(answered).hexdigest()
    return entry(**sets)


class Given:
    """A published log, the customer's keys, and lists and sets, in a folder."""

    def __init__(self, folder: Path, *entries: dict[str, Any] | bytes) -> None:
        self.folder = folder
        keys = ReadKeys({ORIGIN: commitments.read_log_key(MINE, ORIGIN)}, NUMBER, None)
        (folder / "keys").write_bytes(keys.encode())
        (folder / "vkey").write_text(f"{SIGNER.verifier}\n")
        (folder / "named").mkdir()
        log = Log.open(folder / "log.sqlite", ORIGIN, SIGNER)
        leaves = (e if isinstance(e, bytes) else commitments.canonical(e) for e in entries)
        log.append([*leaves])
        log.export(folder / "log")
        log.close()

    def name(self, data: bytes) -> None:
        (self.folder / "named" / sha256(data).hexdigest()).write_bytes(data)

    def run(self, *more: str) -> int:
        here = self.folder
        words = [here / "keys", here / "log", "--key", here / "vkey", "--named", here / "named"]
        return own_reads.main([*map(str, words), *more])

    def announce(self, *events: dict[str, Any]) -> None:
        """Publish a consent log with these public events, and its policy."""
        log = Log.open(self.folder / "consent.sqlite", CONSENT_SIGNER.name, CONSENT_SIGNER)
        log.append([commitments.public_entry(commitments.canonical(each)) for each in events])
        log.export(self.folder / "consent")
        log.close()
        policy = f"log {CONSENT_SIGNER.verifier}\nquorum none\n"
        (self.folder / "policy").write_text(policy)

    def run_anchored(self, *more: str) -> int:
        here = self.folder
        trust = ["--consent", here / "consent", "--policy", here / "policy"]
        return own_reads.main([str(each) for each in (here / "keys", here / "log", *trust, *more)])

    def places(self, capsys: pytest.CaptureFixture[str]) -> list[str]:
        capsys.readouterr()
        self.run("--json")
        return [e["place"].partition("#")[2] for e in json.loads(capsys.readouterr().out)["own"]]


def test_g133_every_entry_of_the_customer_is_found_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = listing(4, OTHERS, MINE, OTHERS, MINE), listing(5, OTHERS)
    own = about(MINE, 1)
    given = Given(
        tmp_path,
        about(OTHERS, 0),
        own,
        own,  # the tag of another place
        many(SET),
        batch(lists[0], 4),
        batch(lists[1], 1),
        many(b"\xff\xbf"),  # everybody else
        many(None, "table") | {"cohort": None},  # refused
        many(SET, "table"),
        many(SET, "search"),
        entry(action="evaluate", subject=earlier(MINE).at(10)),
    )
    for each in (*lists, SET, b"\xff\xbf"):
        given.name(each)
    assert given.run() == 0
    assert given.places(capsys) == ["1", "3", "4/1", "4/3", "8", "9", "10"]


def test_g134_what_was_not_given_is_not_taken_for_somebody_elses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Given(tmp_path, many(SET), batch(listing(1, MINE), 1), many(None))
    assert given.run() == 3
    printed = capsys.readouterr().out
    assert "1 entries, whose set was not given: 0" in printed
    assert "1 entries, whose list was not given: 1" in printed
    assert "1 entries, of an earlier version" in printed
    assert printed.endswith("0 of 3 entries are yours; some could not be decided\n")
    assert given.places(capsys) == []


def test_g134_keys_without_a_number_decide_nothing_about_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Given(tmp_path, many(SET))
    keys = ReadKeys({ORIGIN: commitments.read_log_key(MINE, ORIGIN)}, None, None)
    (tmp_path / "keys").write_bytes(keys.encode())
    assert given.run() == 3
    printed = capsys.readouterr().out
    assert "1 entries, about several, as the file of read keys has no number: 0\n" in printed


@pytest.mark.parametrize("other", [b"", b"\x00\x00", SET + b"\x00"])
def test_g134_another_set_under_the_digest_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: bytes
) -> None:
    given = Given(tmp_path, many(SET))
    (tmp_path / "named" / sha256(SET).hexdigest()).write_bytes(other)
    assert given.run() == 1
    assert "other bytes" in capsys.readouterr().err


Edit = Callable[[dict[str, Any]], dict[str, Any]]
LISTED: dict[str, tuple[list[Edit], list[str]]] = {
    "the same": ([dict, dict], []),
    "one too few": ([dict], ["1"]),
    "one twice": ([dict, dict, dict], []),
    "other views": ([dict, lambda own: own | {"views": {"age": "withheld"}}], ["1"]),
    "another place": ([dict, lambda own: own | {"entry": 9}], ["1"]),
    "another service": ([lambda own: own | {"service": "other"}, dict], ["0"]),
    "another scene": ([lambda own: own | {"scene": "other"}, dict], ["0"]),
    "another time": ([lambda own: own | {"at": "2026-01-01T12:00:01Z"}, dict], ["0"]),
}


@pytest.mark.parametrize("why", LISTED)
def test_g133_what_a_list_lacks_or_says_otherwise_is_named(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edits, lacking = LISTED[why]
    leaves = about(MINE, 0), about(MINE, 1)
    given = Given(tmp_path, *leaves)
    rows = [edit({"entry": n % 2, **leaves[n % 2]}) for n, edit in enumerate(edits)]
    (tmp_path / "reads.json").write_text(json.dumps(rows))
    assert given.run("--json", "--listed", str(tmp_path / "reads.json")) == bool(lacking)
    result = json.loads(capsys.readouterr().out)
    assert result["not_listed"] == [f"{ORIGIN}#{each}" for each in lacking]
    given.run("--listed", str(tmp_path / "reads.json"))
    lines = capsys.readouterr().out.splitlines()
    named = [line for line in lines if "NOT LISTED" in line]
    assert named == [f"  NOT LISTED  {ORIGIN}#{each}" for each in lacking]
    assert lines[-1] == "2 of 2 entries are yours; each was decided"


ENDED: dict[str, tuple[list[str | None], str]] = {  # of equal reads in a list
    "delivered": (["delivered"], "delivered"),
    "cut": (["cut"], "cut"),
    "of an earlier version": ([None], "unknown"),
    "equal reads of two logs": (["cut", "cut"], "cut"),
    "of which nobody can say which is which": (["delivered", "cut"], "unknown"),
    "no list": ([], "unknown"),
}


@pytest.mark.parametrize("why", ENDED)
def test_g150_what_became_of_an_answer_is_repeated_from_the_list(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, shown = ENDED[why]
    own = about(MINE, 0)
    given, listed = Given(tmp_path, own), tmp_path / "reads.json"
    noted = ({"delivery": each} if each else {} for each in notes)
    listed.write_text(json.dumps([{"entry": 0, **own, **each} for each in noted]))
    words = ("--listed", str(listed)) if notes else ()
    assert given.run("--json", *words) == 0
    assert [each["delivery"] for each in json.loads(capsys.readouterr().out)["own"]] == [shown]
    given.run(*words)
    assert f": age personal; {shown}\n" in capsys.readouterr().out.replace(", by entry 3", "")


def test_g150_another_word_for_it_is_refused(tmp_path: Path) -> None:
    own, listed = about(MINE, 0), tmp_path / "reads.json"
    listed.write_text(json.dumps([{"entry": 0, **own, "delivery": "lost"}]))
    assert Given(tmp_path, own).run("--listed", str(listed)) == 2


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"entry": 1}]', '[{"entry": 1, "views": 2}]'])
def test_g133_a_list_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "reads.json").write_text(text)
    given = Given(tmp_path, about(MINE, 0))
    assert given.run("--listed", str(tmp_path / "reads.json")) == 2


NOT_WRITTEN: dict[str, Any] = {
    "no JSON": b"{",
    "not an object": b"[]",
    "not canonical": commitments.canonical(entry()) + b" ",
    "a member twice": commitments.canonical(entry())[:-1] + b',"subject":null}',
    "an unknown member": entry(subjects=["4b" * 24]),
    "a member too few": {k: v for k, v in entry().items() if k != "rows"},
    "an unknown action": entry(action="export"),
    "no action": {k: v for k, v in entry().items() if k != "action"},
    "a read without a tag": entry(subject=None),
    "a short tag": entry(subject="4b"),
    "a read with a set": entry(answered="ab" * 32),
    "rows with a tag": entry(action="rows", determined_by=None),
    "rows that rest on one entry": many(None) | {"determined_by": 3},
    "a negative position": entry(determined_by=-1),
    "a position that is no number": entry(determined_by=True),
    "a masked position that is cut off": entry(determined_by="5b0e"),
    "a person in clear": entry(on_behalf_of="e.mueller"),
    "a person of many customers": many(None) | {"on_behalf_of": "ab" * 64},
    "a set that is no digest": entry(action="rows", subject=None, answered="x"),
    "a time that is none": entry(at="yesterday"),
    "views that are none": entry(views=["age"]),
    "a batch without a list": {"action": "batch", "at": AT, "consent": CONSENT, "service": "a"},
    "a batch of none": batch(b"", 0),
    "nested without end": b"[" * 60_000,
}


@pytest.mark.parametrize("why", NOT_WRITTEN)
def test_g133_what_no_journal_writes_is_refused(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Given(tmp_path, about(MINE, 0), NOT_WRITTEN[why])
    assert given.run() == 1
    assert "NOT VERIFIED: malformed-entry: entry 1" in capsys.readouterr().err


@pytest.mark.parametrize("at", ["tag", "position", "too many", "wording", "members", "no list"])
def test_g133_a_malformed_list_is_refused(at: str) -> None:
    value = json.loads(listing(0, MINE))
    row = value["decisions"][0]
    match at:
        case "tag":
            row[0] = "x"
        case "position":
            row[1] = "x"
        case "too many":
            value["decisions"].append(row)
        case "wording":
            row[2] = 1
        case "members":
            value["more"] = []
        case _:
            value["decisions"] = {}
    with pytest.raises(EntryError):
        read_log_entry.decisions(commitments.canonical(value), batch(b"", 1))


@pytest.mark.parametrize("kind", ["entries", "0"])
def test_g133_an_edited_byte_of_the_log_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    given = Given(tmp_path, about(MINE, 0), about(OTHERS, 1))
    path = tmp_path / "log" / tiles.path(kind, 0, 2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert given.run() == 1
    assert "NOT VERIFIED" in capsys.readouterr().err


def opened(origin: str = ORIGIN, key: str = str(SIGNER.verifier)) -> dict[str, Any]:
    return {"type": "read-log-opened", "origin": origin, "key": key, "at": AT}


def anchored(size: int, *leaves: dict[str, Any], origin: str = ORIGIN) -> dict[str, Any]:
    frontier = Frontier()
    frontier.append([merkle.leaf_hash(commitments.canonical(each)) for each in leaves])
    text = b64encode(frontier.root()).decode()
    return {"type": "read-log-anchored", "origin": origin, "size": size, "root": text, "at": AT}


def closed(size: int, *leaves: dict[str, Any]) -> dict[str, Any]:
    return anchored(size, *leaves) | {"type": "read-log-closed"}


def ended(origin: str) -> list[dict[str, Any]]:
    """A log that was closed, of a company that keeps reads for 30 days."""
    one = about(OTHERS, 0)
    last = closed(1, one) | {"origin": origin}
    return [{"type": "reads-kept", "days": 30, "at": AT}, opened(origin), last]


def removed(origin: str, days: int) -> dict[str, Any]:
    at = datetime.fromisoformat(AT) + timedelta(days=days)
    return {"type": "read-log-removed", "origin": origin, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}


ONE, TWO = about(MINE, 0), about(OTHERS, 1)
ELSEWHERE = "bank.example/reads-elsewhere"
CONSENT_LOGS: dict[str, tuple[int, str, list[dict[str, Any]]]] = {
    "as it was": (
        0,
        "1 of 2 entries are yours",
        [opened(), anchored(1, ONE), anchored(2, ONE, TWO)],
    ),
    "never anchored": (0, "1 of 2 entries are yours", [opened()]),
    "another root": (1, "anchored another root for the first 1", [opened(), anchored(1, TWO)]),
    "cut off": (1, "shows 2 entries, the consent log anchored 3", [opened(), anchored(3, ONE)]),
    "two roots": (1, "two roots", [opened(), anchored(1, ONE), anchored(1, TWO)]),
    "closed": (0, "1 of 2 entries are yours", [opened(), anchored(1, ONE), closed(2, ONE, TWO)]),
    "grown after its end": (
        1,
        "shows 2 entries, the consent log closed it with 1",
        [opened(), closed(1, ONE)],
    ),
    "anchored after its end": (
        1,
        "was closed with 1 entries, no act may follow",
        [opened(), closed(1, ONE), anchored(2, ONE, TWO)],
    ),
    "closed with fewer entries": (
        1,
        "has 1 entries, 2 were anchored before",
        [opened(), anchored(2, ONE, TWO), closed(1, ONE)],
    ),
    "a log no longer kept": (
        3,
        f"NOT KEPT    the log {ELSEWHERE}, closed ",
        [opened(), *ended(ELSEWHERE), removed(ELSEWHERE, 30)],
    ),
    "a log removed too soon": (
        1,
        "a read log was removed that is to be kept",
        [opened(), *ended(ELSEWHERE), removed(ELSEWHERE, 29)],
    ),
    "another key": (1, "NOT VERIFIED", [opened(key=str(CONSENT_SIGNER.verifier))]),
    "announced twice": (1, "announced twice", [opened(), opened()]),
    "not announced": (1, "no key is known", [opened(ELSEWHERE)]),
    "a log left out": (
        3,
        f"NOT GIVEN   the log {ELSEWHERE}",
        [opened(), opened(ELSEWHERE), anchored(1, ONE, origin=ELSEWHERE)],
    ),
    "a log that was opened and never anchored": (
        3,
        f"NOT GIVEN   the log {ELSEWHERE}",
        [opened(), opened(ELSEWHERE)],
    ),
    "a log that was closed without entries": (
        0,
        f"NO ENTRY    the log {ELSEWHERE} was closed without one",
        [opened(), opened(ELSEWHERE), closed(0) | {"origin": ELSEWHERE}],
    ),
}


@pytest.mark.parametrize("why", CONSENT_LOGS)
def test_g133_the_log_is_the_one_that_the_consent_log_anchored(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, events = CONSENT_LOGS[why]
    given = Given(tmp_path, ONE, TWO)
    given.announce(*events)
    assert given.run_anchored() == status
    shown = capsys.readouterr()
    assert printed in shown.out + shown.err


@pytest.mark.parametrize("newer", [True, False])
def test_g147_the_customer_sees_what_each_entry_rests_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, newer: bool
) -> None:
    tags, old = ReadLogTags(MINE, ORIGIN), earlier(MINE)
    pads = PositionPads(tags.position_key)
    data = commitments.canonical(
        {
            "decisions": [
                [old.member(2, 0), commitments.masked(9, pads.member(2, 0)), 0],
                [old.member(2, 1), 4, 0],
            ],
            "wordings": [WORDING],
        }
    )
    rests = [None, 0]
    given = Given(
        tmp_path,
        *(
            about(MINE, at) | {"determined_by": commitments.masked(each, pads.at(at))}
            for at, each in enumerate(rests)
        ),
        batch(data, 2),
        about(MINE, 3) | {"determined_by": 3},
    )
    given.name(data)
    if newer:
        positions = {ORIGIN: tags.position_key}
        keys = ReadKeys({ORIGIN: commitments.read_log_key(MINE, ORIGIN)}, NUMBER, positions)
        (tmp_path / "keys").write_bytes(keys.encode())
    assert given.run("--json") == 0
    own = json.loads(capsys.readouterr().out)["own"]
    found = [each["determined_by"] for each in own]
    if newer:
        assert found == [None, 0, 9, 4, 3]
    else:
        assert [type(each) for each in found] == [str, str, str, int, int]
    given.run()
    printed = capsys.readouterr().out
    assert printed.count(", by entry ") == (4 if newer else 2)


@pytest.mark.parametrize("newer", [True, False])
def test_g161_the_customer_sees_on_whose_behalf_a_service_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, newer: bool
) -> None:
    tags = ReadLogTags(MINE, ORIGIN)
    read = about(MINE, 0) | {
        "determined_by": commitments.masked(3, PositionPads(tags.position_key).at(0)),
        "on_behalf_of": masked_persons.masked_person("e.mueller", tags.position_key, 0),
    }
    given = Given(tmp_path, read, about(MINE, 1))
    if newer:
        positions = {ORIGIN: tags.position_key}
        keys = ReadKeys({ORIGIN: commitments.read_log_key(MINE, ORIGIN)}, NUMBER, positions)
        (tmp_path / "keys").write_bytes(keys.encode())
    assert given.run() == 0
    printed = capsys.readouterr().out
    wanted = "e.mueller" if newer else "somebody"
    assert printed.count(f" by analytics on behalf of {wanted} for segmentation") == 1


def test_g161_own_reads_refuses_a_person_that_no_journal_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = ReadLogTags(MINE, ORIGIN)
    rests = {"determined_by": commitments.masked(3, PositionPads(tags.position_key).at(0))}
    given = Given(tmp_path, about(MINE, 0) | rests | {"on_behalf_of": "ab" * 64})
    positions = {ORIGIN: tags.position_key}
    keys = ReadKeys({ORIGIN: commitments.read_log_key(MINE, ORIGIN)}, NUMBER, positions)
    (tmp_path / "keys").write_bytes(keys.encode())
    assert given.run() == 1
    assert "want an id" in capsys.readouterr().err


def own_entry(index: int, place: int | None = None, position: int | None = 3) -> tuple[str, str]:
    """Tag and masked position of my entry, as this version writes them."""
    key = ReadLogTags(MINE, ORIGIN).keys.of(index, place)
    return commitments.entry_tag(key), commitments.masked(position, commitments.entry_pad(key))


@pytest.mark.parametrize("newer", [True, False])
def test_g300_own_entries_are_found_by_the_keys_that_open_them_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, newer: bool
) -> None:
    tag, rests = own_entry(0)
    row = [*own_entry(2, 1, 9), 0]
    data = commitments.canonical(
        {"decisions": [["4b" * 32, "5b" * 8, 0], row, row], "wordings": [WORDING]}
    )
    mine = entry(subject=tag, determined_by=rests)
    given = Given(tmp_path, mine, mine, batch(data, 3))
    given.name(data)
    if newer:
        positions = {ORIGIN: ReadLogTags(MINE, ORIGIN).position_key}
        keys = ReadKeys({ORIGIN: commitments.read_log_key(MINE, ORIGIN)}, NUMBER, positions)
        (tmp_path / "keys").write_bytes(keys.encode())
    assert given.run("--json") == (0 if newer else 3)
    result = json.loads(capsys.readouterr().out)
    found = [(each["place"].partition("#")[2], each["determined_by"]) for each in result["own"]]
    assert found == ([("0", 3), ("2/1", 9)] if newer else [])
    undecided = {} if newer else {OLD_KEYS: [0, 1, 2]}
    assert result["logs"][0]["undecided"] == undecided


def test_g135_the_file_has_one_key_for_each_log_and_no_more() -> None:
    tags = ReadLogTags(MINE, ORIGIN)
    key = commitments.read_log_key(MINE, ORIGIN)
    assert EntryTags(key).at(7) == commitments.read_log_tag(MINE, ORIGIN, 7).hex()
    assert EntryKeys(tags.position_key).of(7, 1) == tags.keys.of(7, 1)
    assert key != commitments.read_log_key(MINE, f"{ORIGIN}x")
    assert key not in MINE
    assert tags.pseudonym not in (bytes.fromhex(EntryTags(key).at(each)) for each in range(64))
    for positions in ({ORIGIN: tags.position_key}, None):
        keys = ReadKeys({ORIGIN: key}, NUMBER, positions)
        assert read_keys.parse(keys.encode()) == keys
    assert tags.pseudonym not in keys.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]\n",
        b'{"logs":{},"number":0,"type":"sovereign/read-keys/v1"}\n',
        b'{"logs":{},"number":true,"type":"sovereign/read-keys/v1"}\n',
        b'{"logs":{"a":"00"},"number":1,"type":"sovereign/read-keys/v1"}\n',
        b'{"logs":{},"number":1,"type":"sovereign/read-keys/v2"}\n',
        b'{"logs":{},"number":1,"positions":{},"type":"sovereign/read-keys/v1"}\n',
        b'{"logs":{},"number":1,"positions":{"a":"00"},"type":"sovereign/read-keys/v2"}\n',
        b'{"logs":{},"number":1,"type":"sovereign/read-keys/v3"}\n',
        b'{"logs":{},"number":1,"positions":{"a":"'
        + b"00" * 32
        + b'"},"type":"sovereign/read-keys/v2"}\n',
        b'{"logs":{},"number":1,"type":"sovereign/read-keys/v1"}',
    ],
)
def test_g135_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(ReadKeysError):
        read_keys.parse(data)


def test_g135_the_first_customer_has_the_number_one() -> None:
    data = b'{"logs":{},"number":1,"type":"sovereign/read-keys/v1"}\n'
    assert read_keys.parse(data) == ReadKeys({}, 1, None)


def test_g135_a_log_that_the_file_has_no_key_of_is_not_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Given(tmp_path, ONE)
    another = {f"{ORIGIN}-2": commitments.read_log_key(MINE, f"{ORIGIN}-2")}
    (tmp_path / "keys").write_bytes(ReadKeys(another, NUMBER, None).encode())
    assert given.run() != 0
    assert f"{ORIGIN} is not in the file of read keys" in "".join(capsys.readouterr())


def test_what_cannot_be_read_is_not_what_does_not_verify(tmp_path: Path) -> None:
    given = Given(tmp_path, about(MINE, 0))
    (tmp_path / "log" / tiles.path("entries", 0, 1)).unlink()
    assert given.run() == 3
    (tmp_path / "keys").unlink()
    assert given.run() == 2


NOT_LOGGED: dict[str, tuple[int, str, list[dict[str, Any]], tuple[dict[str, Any], ...]]] = {
    "closed without it": (1, "NOT LOGGED  entry 0  ", [opened(), closed(0)], ()),
    "still open, and it may be published later": (
        *(3, "NOT FOUND   entry 0  "),
        *([opened()], ()),
    ),
    "open, with another entry in its place": (
        *(1, "NOT LOGGED  entry 0  "),
        *([opened(), anchored(1, about(OTHERS, 0))], (about(OTHERS, 0),)),
    ),
    "in a log that is not given": (
        *(3, f"NOT GIVEN   the log {ELSEWHERE}"),
        *([opened(), closed(0), opened(ELSEWHERE)], ()),
    ),
}


@pytest.mark.parametrize("why", NOT_LOGGED)
def test_g260_a_listed_read_that_no_log_has_any_more_is_named(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, events, entries = NOT_LOGGED[why]
    given = Given(tmp_path, *entries)
    given.announce(*events)
    (tmp_path / "reads.json").write_text(json.dumps([{"entry": 0, **about(MINE, 0)}]))
    assert given.run_anchored("--listed", str(tmp_path / "reads.json")) == status
    assert printed in capsys.readouterr().out


def test_g143_a_log_of_which_only_the_checkpoint_is_left_is_no_longer_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Given(tmp_path, ONE, TWO)
    kept = {"type": "reads-kept", "days": 30, "at": AT}
    given.announce(kept, opened(), closed(2, ONE, TWO), removed(ORIGIN, 30))
    shutil.rmtree(tmp_path / "log" / "tile")
    assert given.run_anchored() == 3
    assert f"NOT KEPT    the log {ORIGIN}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wording",
    [
        [],
        {},
        {**WORDING, "more": 1},
        {name: value for name, value in WORDING.items() if name != "reason"},
    ],
)
def test_g133_a_list_has_wordings_of_the_one_form(wording: Any) -> None:
    data = commitments.canonical({"decisions": [], "wordings": [wording]})
    with pytest.raises(EntryError, match="the members of a wording"):
        read_log_entry.decisions(data, {**batch(data, 0)})


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_wrong_is_said_before_what_could_not_be_read(order: int) -> None:
    wrong = AuditFinding(FindingKind.WRONG_ROOT, "another root")
    unread = AuditFinding(FindingKind.UNREADABLE, "tile/0/000: gone")
    both = AuditReport((wrong, unread)[::order], None, None, 0)
    with pytest.raises(UnsoundLogError, match="another root"):
        require_sound(both)
    with pytest.raises(UnreadableError):
        require_sound(replace(both, findings=(unread,)))
