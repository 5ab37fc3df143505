"""What a served product publishes of reads does not say which are of one customer (G147)."""

import json
import shutil
from pathlib import Path

from ledger.tlog import tiles
from tests.attacks.read_log_links import linking
from tests.features.catalogue import feature
from tests.features.served import Site, wait_for

SERVICE, SCENE = "recommender", "recommendation"
PEOPLE = [f"c002{n}" for n in (41, 42, 43, 44, 45)]  # nobody's own test
ROUNDS = 5
JOBS = {"SOVEREIGN_JOB_EVERY_S": '{"publication": 0.5, "anchoring": 0.5}'}


@feature("M38")
def test_g147_no_member_of_the_published_entries_links_a_customers_reads(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    owners: dict[int, str] = {}
    with Site(home, tmp_path / "log", settings=JOBS).serving() as site:
        for each in PEOPLE:
            site.customer(each).switch(SCENE, "allow")
        for _ in range(ROUNDS):
            for each in PEOPLE:
                answer = site.read(SERVICE, SCENE, each, "age")
                assert answer["decision"], answer
                assert answer["determined_by"] is not None
                owners[answer["entry"]] = each
        log = home / "log" / str(answer["read_log"]).rsplit("/", 1)[-1]
        wait_for(lambda: len(published(log)) > max(owners), "publication of the reads")
        entries = published(log)
    assert len(owners) == ROUNDS * len(PEOPLE)
    found = [json.loads(entries[each]) for each in owners]
    assert linking(found, [*owners.values()]) == set()


def published(log: Path) -> list[bytes]:
    """The entries of a published read log: of files that everybody can have."""
    if not (note := log / "checkpoint").exists():
        return []
    size = int(note.read_text("utf-8").split("\n")[1])
    bundles = -(-size // tiles.WIDTH)
    widths = (min(tiles.WIDTH, size - n * tiles.WIDTH) for n in range(bundles))
    paths = (log / tiles.path("entries", n, width) for n, width in enumerate(widths))
    return [leaf for path in paths for leaf in tiles.unbundle(path.read_bytes())]
