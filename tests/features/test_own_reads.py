"""A customer finds their entries in the public read log without believing the page (G133 to G136).

The program reads what the served product publishes; what is expected comes from the answers.
"""

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.tlog import tiles
from tests.features.catalogue import feature
from tests.features.edited_log import EditedLog
from tests.features.reads_page import SCENES, Shown, read, reads
from tests.features.served import Site, done, sovereign, wait_for
from tests.features.test_complete_reads import CARE, SCORES, SEGMENT, SILENT, Watched

PEOPLE = ["c00004", "c00011", "c00045", "c00101", "c00198", SILENT]
HIDDEN, LEAVING = "c00004", "c00101"
DESK = ("customer-care", "contract-service", ("name",))  # for a notice at the desk


@dataclass(slots=True)
class Published:
    """What is published of a served bank, and what its customers took along."""

    watched: Watched
    folder: Path

    @property
    def site(self) -> Site:
        return self.watched.site

    @property
    def log(self) -> Path:
        """The tile directory of the longest read log, which names sets of customers."""
        return max(self.site.home.glob("log/reads-*"), key=_size)

    def is_whole(self) -> bool:
        """Whether every entry of every read log is published."""
        logs = (EditedLog(self.site.home, each.name) for each in self.site.home.glob("reads/*"))
        sizes = {each.instance: len(each.leaves) for each in logs}
        return all(
            (note := self.site.home / "log" / name / "checkpoint").exists()
            and f"\n{size}\n" in note.read_text()
            for name, size in sizes.items()
            if size
        )

    @property
    def named(self) -> Path:
        return self.folder / "named"

    def keys(self, subject: str) -> Path:
        """Download the read keys, as the link on the page of reads leads to them."""
        person = self.site.customer(subject)
        assert 'href="/customer/reads/keys"' in person.page("/customer/reads").html
        path = self.folder / f"{subject}.json"
        path.write_bytes(person.client.get("/customer/reads/keys").content)
        return path

    def restart(self) -> None:
        """Another start of the server has a read log of its own, of which the files get the key."""
        self.watched.start()
        for each in self.watched.people:
            self.keys(each)

    def words(self, keys: Path, *more: str | Path) -> list[str | Path]:
        home = self.site.home
        trust: list[str | Path] = ["--consent", home / "log" / "consent"]
        trust += ["--policy", home / "consent.policy"]
        logs = sorted(home.glob("log/reads-*"))
        return ["own-reads", keys, *logs, *trust, *more]

    def own(self, keys: Path, *more: str | Path) -> dict[str, Any]:
        ran = sovereign(*self.words(keys, "--json", *more))
        assert ran.stdout, ran.stderr
        result: dict[str, Any] = json.loads(ran.stdout)
        return result


def _size(log: Path) -> int:
    return int((log / "checkpoint").read_text().split("\n")[1])


@pytest.fixture(scope="module")
def published(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("own")
    watched = Watched(shutil.copytree(unserved, folder / "data"), PEOPLE)
    watched.site.settings = {"SOVEREIGN_JOB_EVERY_S": '{"publication": 0.5, "anchoring": 0.5}'}
    watched.start()
    try:
        made = Published(watched, folder)
        for each in PEOPLE:
            watched.given[each] = reads(watched.customer(each))
        _read_in_every_way(watched)
        watched.stop()
        watched.start()
        _read_in_every_way(watched)
        for each in PEOPLE:
            made.keys(each)
        yield made
    finally:
        watched.stop()


def _read_in_every_way(day: Watched) -> None:
    for each in PEOPLE[:3]:
        day.customer(each).switch(SEGMENT[1], "allow")
        day.customer(each).switch(SCORES[1], "allow")
    for ask in (SEGMENT, SCORES, CARE):
        for each in PEOPLE[::2]:
            day.point(ask, each)
        day.rows(ask)
        day.table(ask)
    day.rows(SCORES, ("age", "ge", 40))
    day.search(SEGMENT)
    day.search(SCORES)
    day.evaluate(SCORES, PEOPLE[1])
    day.evaluate(SEGMENT, *PEOPLE)
    day.customer(PEOPLE[0]).switch(SEGMENT[1], "withdraw")
    day.point(SEGMENT, PEOPLE[0])
    day.rows(SEGMENT)


def _published(published: Published, keys: Path, *more: str | Path) -> dict[str, Any]:
    """The result once everything that was read is published."""
    wait_for(published.is_whole, "publication of all reads")
    done("named-files", published.named, "--sets", "--data-dir", published.site.home)
    return published.own(keys, "--named", published.named, *more)


def _shown(result: dict[str, Any]) -> Counter[Shown]:
    """What was found, as the page words it, without the reads of the product itself."""
    return Counter(
        shown
        for each in result["own"]
        if each["scene"] in SCENES
        and any(each["service"] == known.id for known in SCENES[each["scene"]].services)
        and (shown := _as_shown(each)) != read("read", *DESK)
        and shown.service != "This data page"
        and shown.kind != "statistics"
    )


def _as_shown(own: dict[str, Any]) -> Shown:
    none = own["action"] in {"evaluate", "search", "statistics"}
    views = [] if none else own["views"].items()
    fields = tuple(name for name, view in views if view == "personal")
    return read(own["action"], own["service"], own["scene"], fields)


def test_the_program_finds_what_was_asked_and_what_the_page_shows(published: Published) -> None:
    day, found = published.watched, 0
    for each in PEOPLE:
        result = _published(published, published.folder / f"{each}.json")
        assert not result["incomplete"], result
        assert _shown(result) == day.given[each] == reads(day.customer(each)), each
        found += len(result["own"])
    assert {own["action"] for own in result["own"]} >= {"evaluate", "rows", "table"}
    assert found > 10 * len(PEOPLE)


@feature("M38")
def test_an_entry_that_the_page_hides_is_found(published: Published, tmp_path: Path) -> None:
    day, keys = published.watched, published.folder / f"{HIDDEN}.json"
    before = _published(published, keys)
    hidden = next(each for each in before["own"] if each["service"] == SEGMENT[0])
    assert hidden["subject"], "a read of this customer alone"
    listed = ("--named", published.named, "--listed")
    complete = _archived_reads(published, HIDDEN, tmp_path / "before")
    assert _published(published, keys, *listed[2:], complete)["not_listed"] == []
    log = EditedLog(published.site.home, hidden["place"].partition("#")[0].rpartition("/")[2])
    day.stop()
    log.unname(hidden["index"])
    published.restart()
    assert day.given[HIDDEN] - reads(day.customer(HIDDEN)) == Counter([_as_shown(hidden)])
    assert _shown(_published(published, keys)) == day.given[HIDDEN]
    lacking = _archived_reads(published, HIDDEN, tmp_path / "after")
    ran = sovereign(*published.words(keys, *listed, lacking))
    assert ran.returncode == 1
    assert f"NOT LISTED  {hidden['place']}\n" in ran.stdout


def _archived_reads(published: Published, subject: str, folder: Path) -> Path:
    """`reads.json` of an archive that the company makes now."""
    folder.mkdir()
    archive = folder / "archive.zip"
    done("export-customer", subject, archive, "--data-dir", published.site.home)
    with zipfile.ZipFile(archive) as file:
        return Path(file.extract("reads.json", folder))


def test_without_lists_and_sets_it_says_which_entries_it_could_not_decide(
    published: Published,
) -> None:
    keys = published.folder / f"{PEOPLE[1]}.json"
    whole = _published(published, keys)
    ran = sovereign(*published.words(keys, "--json"))
    part = json.loads(ran.stdout)
    assert ran.returncode == 3
    assert part["own"] == [
        each for each in whole["own"] if each["subject"] and _entry(each) == each["place"]
    ]
    undecided = {
        f"{log['origin']}#{index}"
        for log in part["logs"]
        for entries in log["undecided"].values()
        for index in entries
    }
    found = {each["place"] for each in part["own"]}
    assert {_entry(each) for each in whole["own"]} <= undecided | found


def _entry(own: dict[str, Any]) -> str:
    """Origin and index of an entry, without the index in its list."""
    return f"{own['place'].partition('#')[0]}#{own['index']}"


def test_a_log_that_was_announced_and_is_not_given_is_named(published: Published) -> None:
    keys = published.folder / f"{PEOPLE[1]}.json"
    result = _published(published, keys)
    assert len(result["logs"]) > 1, "each start of the server has a log of its own"
    left_out = published.log
    logs = [each for each in published.words(keys) if each != left_out]
    ran = sovereign(*logs, "--named", published.named)
    assert ran.returncode == 3
    origin = next(each["origin"] for each in result["logs"] if left_out.name in each["origin"])
    assert f"NOT GIVEN   the log {origin}\n" in ran.stdout


def test_an_edited_log_or_set_is_refused(published: Published, tmp_path: Path) -> None:
    keys, longest = published.folder / f"{PEOPLE[1]}.json", published.log
    _published(published, keys)
    log = shutil.copytree(longest, tmp_path / longest.name)
    trust: list[str | Path] = ["--key", published.site.home / "keys" / f"{log.name}.vkey"]
    named = shutil.copytree(published.named, tmp_path / "named")
    assert sovereign("own-reads", keys, log, *trust, "--named", named).returncode in {0, 3}
    for each in named.iterdir():
        each.write_bytes(each.read_bytes() + b"\0")
    refused = sovereign("own-reads", keys, log, *trust, "--named", named)
    assert refused.returncode == 1
    assert "other bytes" in refused.stderr
    bundle = log / tiles.path("entries", 0, _size(log))
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(data)
    edited = sovereign("own-reads", keys, log, *trust, "--named", published.named)
    assert edited.returncode == 1
    assert "NOT VERIFIED" in edited.stderr


def test_after_an_erasure_only_the_file_recognises_the_old_entries(published: Published) -> None:
    keys = published.folder / f"{LEAVING}.json"
    before = _published(published, keys)
    assert before["own"]
    published.watched.erase(LEAVING)
    after = _published(published, keys)
    assert after["own"][: len(before["own"])] == before["own"]
    assert reads(published.site.customer(LEAVING)) == Counter()
    new = published.keys(LEAVING)
    assert json.loads(new.read_text())["logs"] == {}
