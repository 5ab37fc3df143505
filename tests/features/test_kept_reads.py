"""Read logs are removed by the served product once the declared time is over, and no sooner (G143).

The server is started three times: it declares the time, it closes the log of the run before, and
with its clock 30 days ahead (libfaketime) it removes that log.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.features.served import INSTALLED, Site, done, published, wait_for

MISSING = "should have been kept, and"
LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
SERVICE, SCENE, FIELD, ME = "analytics", "segmentation", "age", "c00004"
QUICK = {"anchoring": 0.5, "publication": 0.5, "read-logs": 0.5}
KEPT = {"SOVEREIGN_READS_KEPT_DAYS": "30", "SOVEREIGN_JOB_EVERY_S": json.dumps(QUICK)}
AHEAD = {"FAKETIME": "+30.2d", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "LD_PRELOAD": f"{LIBRARY}"}


@pytest.mark.prove
@pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (apt-get install faketime)")
def test_g143_after_the_declared_time_the_served_product_removes_read_logs(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    site = Site(home, tmp_path / "log", INSTALLED, KEPT)
    with site.serving():
        name = site.read(SERVICE, SCENE, ME, FIELD)["read_log"].rsplit("/", 1)[-1]
        wait_for((home / "log" / name / "tile").exists, "publication of the read")
    with site.serving():
        wait_for(lambda: b"read-log-closed" in _consent(home), "end of the read log")
        assert "are kept for 30 days" in site.customer(ME).page("/customer/reads").html
        assert (home / "reads" / name / "log.sqlite").exists()
    site.settings = KEPT | AHEAD
    with site.serving():
        wait_for(lambda: not (home / "reads" / name).exists(), "removal of the read log")
        wait_for(lambda: b"read-log-removed" in _consent(home), "word of the removal")
        page = site.customer(ME).page("/customer/reads").html
        assert "are no longer kept, so some are missing here" in page
    assert [each.name for each in (home / "log" / name).iterdir()] == ["checkpoint"]
    for command in ("fsck", "replay"):
        done(command, "--data-dir", home)


def test_g143_pages_say_that_reads_are_missing_which_nobody_may_have_removed(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    site = Site(home, tmp_path / "log", settings=KEPT)
    with site.serving():
        name = site.read(SERVICE, SCENE, ME, FIELD)["read_log"].rsplit("/", 1)[-1]
        wait_for((home / "log" / name / "tile").exists, "publication of the read")
        assert MISSING not in site.customer(ME).page("/customer/reads").html
    with site.serving():
        wait_for(lambda: b"read-log-closed" in _consent(home), "end of the read log")
    index = home / "reads" / name / "log.sqlite"
    with closing(sqlite3.connect(index)) as stored, stored:
        stored.execute("DELETE FROM owner")
    with site.serving():
        assert MISSING in site.customer(ME).page("/customer/reads").html
    for kept in ("reads", "log"):
        shutil.rmtree(home / kept / name)
    with site.serving():
        for page in ("reads", "map"):
            assert MISSING in site.customer(ME).page(f"/customer/{page}").html


def _consent(home: Path) -> bytes:
    return published(home / "log" / "consent")
