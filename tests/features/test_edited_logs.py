"""`sovereign replay` names what the company edited in a read log, also if it signed it again (G61).

The company's server keeps the read log's key, which the product forgets (kept_keys).
"""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.tlog import signed_note
from tests.campaign import sized
from tests.features.catalogue import feature
from tests.features.conftest import Bank
from tests.features.edited_log import Edit, EditedLog, Leaf
from tests.features.served import (
    INSTALLED,
    ROOT,
    Person,
    Site,
    done,
    published,
    sovereign,
    wait_for,
)

SCENE, SERVICE = "recommendation", "recommender"
ERASED = "c00003"
KEPT = Path(__file__).parent / "kept_keys"


@dataclass(frozen=True, slots=True)
class Company:
    """What was served, before and after the consent log recorded the read log's root."""

    log: EditedLog
    key: str  # of the read log
    anchored: EditedLog


def settings(folder: Path, anchoring_s: float) -> dict[str, str]:
    return {
        "KEPT_KEYS": str(folder / "kept"),
        "PYTHONPATH": os.pathsep.join((str(KEPT), str(ROOT), os.environ.get("PYTHONPATH", ""))),
        "SOVEREIGN_JOB_EVERY_S": json.dumps({"anchoring": anchoring_s}),
    }


@pytest.fixture(scope="module")
def company(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Company:
    folder = tmp_path_factory.mktemp("edited")
    before = EditedLog(bank.home, "").copy(folder / "served")
    site = Site(before.home, folder / "log", INSTALLED, settings(folder, 86_400))
    with site.serving():
        instance = _asked(site)
        assert site.process is not None
        site.process.send_signal(signal.SIGKILL)  # it anchors nothing any more
        site.process.wait()
    log = EditedLog(before.home, instance)
    anchored = log.copy(folder / "anchored")
    with Site(anchored.home, folder / "log", settings=settings(folder, 0.5)).serving():
        wait_for(lambda: _is_anchored(anchored), "anchor of the read log")
    keys = {signed_note.signer(each).name: each for each in (folder / "kept").read_text().split()}
    (key,) = (each for name, each in keys.items() if name.endswith(instance))
    return Company(log, key, anchored)


def _asked(site: Site) -> str:
    """Reads of every kind, one for each edit; returns the name of their log."""
    other = site.customer(ERASED)
    _allow(other)
    site.read(SERVICE, SCENE, other.subject, "age")
    customer = site.customer("c00201")
    customer.switch(SCENE, "allow")
    for _ in range(_edits_of(GIVEN)):
        answer = site.read(SERVICE, SCENE, customer.subject, "age")
    site.read(SERVICE, SCENE, customer.subject, "age", "housing")
    customer.switch(SCENE, "withdraw")
    for _ in range(_edits_of(REFUSED)):
        site.read(SERVICE, SCENE, customer.subject, "age")
    for path in ("/v1/table", *["/v1/rows"] * _edits_of(ROWS)):
        _asks(site, path, {"scene": SCENE, "fields": ["age"]})
    about = {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "context": {"scene": SCENE, "fields": ["age"]},
    }
    kind = {"resource": {"type": "customer"}}
    _asks(site, "/access/v1/search/resource", about | kind)
    both = [{"resource": {"type": "customer", "id": each}} for each in ("c00010", "c00011")]
    _asks(site, "/access/v1/evaluations", about | {"evaluations": both})
    done("erase", ERASED, "--data-dir", site.home)
    return str(answer["read_log"]).rsplit("/", 1)[-1]


def _allow(person: Person) -> None:
    """Withdraw first, if it is allowed: the page shows one of the two buttons."""
    if f"/customer/scenes/{SCENE}/withdraw" in person.page("/customer").html:
        person.switch(SCENE, "withdraw")
    person.switch(SCENE, "allow")


def _asks(site: Site, path: str, body: dict[str, Any]) -> None:
    accept = "application/x-ndjson" if path.startswith("/v1") else "application/json"
    answer = site.ask(SERVICE, path, body, accept=accept)
    assert answer.status_code == 200, answer.text


def _is_anchored(log: EditedLog) -> bool:
    checked = sovereign("replay", log.instance, "--data-dir", log.home, "--json")
    consent = published(log.home / "log" / "consent")
    return checked.returncode == 0 and b"read-log-anchored" in consent


def verdict(log: EditedLog) -> tuple[int, list[str], list[int]]:
    """Exit status, faults of the log, and the entries that differ."""
    ran = sovereign("replay", log.instance, "--data-dir", log.home, "--json")
    (line,) = ran.stdout.splitlines()
    found = json.loads(line)
    return ran.returncode, found.get("faults", []), [each["entry"] for each in found["differences"]]


GIVEN: Leaf = {"action": "read", "reason": "granted", "fields": ["age"]}
REFUSED: Leaf = {"action": "read", "reason": "withdrawn"}
ROWS: Leaf = {"action": "rows"}
PERSONAL = {"age": "personal"}
# What is wrong of itself: which entry, and how it is edited.
EDITS: dict[str, tuple[Leaf, Edit]] = {
    "a time at which the grant was over": (GIVEN, lambda e: e | {"at": "2036-01-01T00:00:00Z"}),
    "a time that no journal writes": (
        GIVEN,
        lambda e: e | {"at": e["at"].replace("Z", ".5Z")},
    ),
    "fields that the scene has not": (GIVEN, lambda e: e | {"fields": ["phone"]}),
    "a field fewer": (
        {"action": "read", "fields": ["age", "housing"]},
        lambda e: e | {"fields": ["age"]},
    ),
    "an action that there is not": (GIVEN, lambda e: e | {"action": "look"}),
    "rows as a table": (ROWS, lambda e: e | {"action": "search"}),
    "personal as synthetic": (GIVEN, lambda e: e | {"views": {"age": "synthetic"}}),
    "more rows of one customer": (GIVEN, lambda e: e | {"rows": 2}),
    "more rows of many": (ROWS, lambda e: e | {"rows": e["rows"] + 1}),
    "fewer rows of a table": ({"action": "table"}, lambda e: e | {"rows": 1}),
    "a smaller set of a search": (
        {"action": "search"},
        lambda e: e | {"rows": e["rows"] - 1},
    ),
    "a withdrawn read as personal": (
        REFUSED,
        lambda e: e | {"reason": "granted", "views": PERSONAL, "release": None},
    ),
    "a withdrawn read as a source's failure": (
        REFUSED,
        lambda e: e | {"reason": "source-unavailable", "views": PERSONAL, "release": None},
    ),
    "another reason": (REFUSED, lambda e: e | {"reason": "expired"}),
    "another determining entry": (GIVEN, lambda e: e | {"determined_by": "0" * 16}),
    "another determining entry, unmasked": (GIVEN, lambda e: e | {"determined_by": 1}),
    "a determining entry that no journal writes": (GIVEN, lambda e: e | {"determined_by": "1"}),
    "one that rests on an entry among many": (
        ROWS,
        lambda e: e | {"determined_by": "0" * 16},
    ),
    "another plan": (GIVEN, lambda e: e | {"plan": "0" * 64}),
    "another service": (GIVEN, lambda e: e | {"service": "sales-desk"}),
    "an earlier ledger": (
        GIVEN,
        lambda e: e | {"consent": e["consent"] | {"size": e["consent"]["size"] - 1}},
    ),
    "another customer's tag": (GIVEN, lambda e: e | {"subject": "0" * 32}),
    "another set of customers": (ROWS, lambda e: e | {"cohort": e["answered"][::-1]}),
    "a member more": (GIVEN, lambda e: e | {"value": 42}),
    "another list of decisions": ({"action": "batch"}, lambda e: e | {"list": "0" * 64}),
}


def _edits_of(members: Leaf) -> int:
    """How many edits need an entry of this kind."""
    return sum(each == members for each, _ in EDITS.values())


def _other_second(entry: Leaf) -> Leaf:
    second = "01" if entry["at"].endswith("00Z") else "00"
    return entry | {"at": f"{entry['at'][:-3]}{second}Z"}


# What would follow if it had happened: only the anchor tells.
PLAUSIBLE: dict[str, tuple[Leaf, Edit]] = {
    "another second": (GIVEN, _other_second),
    "an evaluation instead of a read": (GIVEN, lambda e: e | {"action": "evaluate"}),
    "a refusal by the quota": (
        GIVEN,
        lambda e: e | {"reason": "quota-exceeded", "views": {}, "rows": 0, "determined_by": None},
    ),
}


def test_what_nobody_edited_is_derived(company: Company) -> None:
    for log in (company.log, company.anchored):
        assert verdict(log) == (0, [], [])
        assert len(log.leaves) >= 8


def test_all_entries_that_were_edited_and_signed_again_are_named(
    company: Company, tmp_path: Path
) -> None:
    log = company.log.copy(tmp_path / "log")
    places: dict[str, int] = {}
    for members, _ in EDITS.values():
        entries = log.find_all(**members)[-_edits_of(members) :]
        wanted = [why for why, (each, _) in EDITS.items() if each == members]
        places |= dict(zip(wanted, entries, strict=True))
    edits = {places[why]: edit for why, (_, edit) in EDITS.items()}
    assert len(edits) == len(EDITS)
    log.edit_all_and_sign(edits, company.key)
    status, faults, named = verdict(log)
    assert [why for why, place in places.items() if place not in named] == []
    assert (status, faults, named) == (1, [], sorted(edits))


@pytest.mark.prove
@pytest.mark.parametrize("why", EDITS)
def test_an_entry_that_was_edited_and_signed_again_is_named(
    company: Company, tmp_path: Path, why: str
) -> None:
    members, edit = EDITS[why]
    log = company.log.copy(tmp_path / "log")
    entry = log.find(**members)
    log.edit_and_sign(entry, edit, company.key)
    assert verdict(log) == (1, [], [entry])


@pytest.mark.campaign
@pytest.mark.parametrize("why", [*PLAUSIBLE, *[*EDITS][:: sized(11, 1)]])
def test_an_edited_log_is_not_the_one_that_was_signed_or_anchored(
    company: Company, tmp_path: Path, why: str
) -> None:
    members, edit = (EDITS | PLAUSIBLE)[why]
    log, anchored = (
        each.copy(tmp_path / each.home.name) for each in (company.log, company.anchored)
    )
    entry = log.find(**members)
    log.edit(entry, edit)
    assert_unverified(log, "its checkpoint signs")
    anchored.edit_and_sign(entry, edit, company.key)
    assert_unverified(anchored, "the consent log anchored")


@pytest.mark.parametrize("why", PLAUSIBLE)
def test_an_edit_that_would_follow_is_not_named_before_the_anchor(
    company: Company, tmp_path: Path, why: str
) -> None:
    """What specs/gate.md, G127, says that a replay cannot find."""
    members, edit = PLAUSIBLE[why]
    log = company.log.copy(tmp_path / "log")
    log.edit_and_sign(log.find(**members), edit, company.key)
    assert verdict(log) == (0, [], [])


@feature("M38")
@pytest.mark.parametrize("members", [GIVEN, REFUSED], ids=["given", "refused"])
def test_a_read_of_somebody_who_was_not_erased_cannot_be_unopened(
    company: Company, tmp_path: Path, members: Leaf
) -> None:
    """Somebody else was erased, so some entries cannot be opened: not this one."""
    log = company.log.copy(tmp_path / "log")
    entry = log.find(**members, determined_by=_living(log, members))
    granted = {"reason": "granted", "views": PERSONAL, "release": None}
    log.edit_and_sign(entry, lambda e: e | granted, company.key)
    log.unname(entry)
    assert verdict(log) == (1, [], [entry])


def _living(log: EditedLog, members: Leaf) -> str:
    """What a read of the customer who was not erased says of the instruction it rests on."""
    entries = (json.loads(each) for each in log.leaves)
    rests = [e["determined_by"] for e in entries if members.items() <= e.items()]
    return str(rests[-1])


def test_another_key_than_the_announced_one_signs_nothing(company: Company, tmp_path: Path) -> None:
    log = company.log.copy(tmp_path / "log")
    key = signed_note.generate(signed_note.signer(company.key).name)
    log.edit_and_sign(0, lambda e: e, key.secret())
    assert_unverified(log, "its checkpoint, by keys/")
    (log.home / "keys" / f"{log.instance}.vkey").write_text(f"{key.verifier}\n", "utf-8")
    assert_unverified(log, "the consent log announced")


def assert_unverified(log: EditedLog, why: str) -> None:
    status, (fault,), differing = verdict(log)
    assert (status, differing) == (1, [])
    assert why in fault
