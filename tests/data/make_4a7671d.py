"""Make data-4a7671d.tar.gz: a data directory as the product of commit 4a7671d wrote it.

    git worktree add ../base 4a7671d && make -C ../base setup
    python -m tests.data.make_4a7671d ../base

Everything is done by that commit's own commands and pages; only the table of forty customers and
the release are made by its modules, since no command makes them for so few.
"""

import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.features import signals
from tests.features.served import Installed, Person, Site, wait_for

ARCHIVE = Path(__file__).parent / "data-4a7671d.tar.gz"

CUSTOMERS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import duckdb
from portal import product, releases
from portal.demo.sources import customers, deliveries
from portal.settings import Settings

home, step = Path(sys.argv[1]), sys.argv[2]
at = datetime.now(UTC).replace(microsecond=0)
if step == "customers":
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{home / 'customers.duckdb'}' AS small")
        everybody.execute("CREATE TABLE small.customer AS FROM customer WHERE id <= 'c00040'")
    deliveries.record(home / "customers.duckdb", product.contracts()[0], at)
opened = product.open_product(Settings(data_dir=home, demo=True))
if step == "release":
    releases.release(opened, opened.scenes["segmentation"], at)
opened.ledger.close()
"""

IMPORTED = [f"c{number:05d}" for number in range(1, 31)]
EXPIRED, WITHDRAWN = "c00031", "c00032"
CHOOSING, LEAVING, ERASED, HELD = "c00033", "c00034", "c00035", "c00036"
FIELDS = ("age", "job", "balance", "housing")


def make(base: Path) -> None:
    old = Installed(str(base / ".venv" / "bin" / "python"), base)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        (home / "receipts").mkdir(parents=True)
        _prepare(old, home, Path(folder))
        _first_run(Site(home, Path(folder) / "first.log", old))
        _between(old, home)
        _second_run(Site(home, Path(folder) / "second.log", old))
        _checked(old, home)
        _pack(home)


def _prepare(old: Installed, home: Path, folder: Path) -> None:
    _internally(old, home, "customers")
    lines = ["subject,scene,fields,status,at,until"]
    lines += [f"{each},segmentation,,granted,2026-10-01T09:00:00Z," for each in IMPORTED]
    lines += [f"{IMPORTED[0]},direct-marketing,name;email,granted,2026-10-02T09:00:00Z,"]
    lines += [f"{EXPIRED},nearest-branch,,granted,2025-01-10T09:00:00Z,2025-06-30T00:00:00Z"]
    lines += [f"{WITHDRAWN},lead-scoring,,withdrawn,2026-10-03T09:00:00Z,"]
    file = folder / "old-crm.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    old.done("import-consents", file, "--source", "old crm", "--data-dir", home)
    vkey = old.done("keygen", signals.SOURCE, folder / "monitor").strip()
    old.done("steward", "register", vkey, "--data-dir", home)
    _internally(old, home, "release")


def _first_run(site: Site) -> None:
    with site.serving():
        customer = site.customer(CHOOSING)
        for scene in ("segmentation", "recommendation", "anomaly-detection", "ai-training"):
            customer.switch(scene, "allow")
        customer.switch_item("recommendation", "age", "withdraw")
        place = "/customer/scenes/anomaly-detection"
        customer.press(customer.page(place), f"{place}/conditions/0/set", figure="92")
        for subject in (LEAVING, ERASED, HELD):
            site.customer(subject).switch("segmentation", "allow")
        _reads(site)
        leaving = site.customer(LEAVING)
        leaving.switch("segmentation", "withdraw")
        _explained(site)
        _receipts(site.home, customer, leaving)
        wait_for(lambda: [*(site.home / "mail").glob("*.eml")], "delivered notice")
        wait_for((site.home / "log" / "consent" / "checkpoint").exists, "published log")


def _reads(site: Site) -> None:
    for subject in (CHOOSING, LEAVING, HELD, EXPIRED, *IMPORTED[:3]):
        site.read("analytics", "segmentation", subject, *FIELDS)
    site.read("branch-finder", "nearest-branch", EXPIRED, "location")
    site.read("recommender", "recommendation", CHOOSING, *FIELDS)
    body = {"scene": "segmentation", "fields": [*FIELDS]}
    site.ask("analytics", "/v1/table", body, accept="application/x-ndjson").raise_for_status()


def _explained(site: Site) -> None:
    answer = site.read("recommender", "recommendation", CHOOSING, "job")
    decision = {
        "subject": CHOOSING,
        "outcome": "a savings plan was suggested",
        "inputs": {"job": answer["fields"]["job"]["value"]},
        "reasons": ["people of this occupation choose it"],
        "model": "plans",
        "model_version": "1.0",
        "read_log": answer["read_log"],
        "entry": answer["entry"],
    }
    site.ask("recommender", "/v1/decisions", decision).raise_for_status()
    proposal = {"subject": CHOOSING, "text": "We will refund the fee."}
    site.ask("recommender", "/v1/proposals", proposal).raise_for_status()


def _between(old: Installed, home: Path) -> None:
    """What an operator does while nothing is served."""
    old.done("erase", ERASED, "--data-dir", home)
    old.done("hold", "set", HELD, "--reason", "claim 114", "--data-dir", home)
    old.done("manifest", "make", "scoring-1", "--announce", "--data-dir", home)
    old.done("rotate-key", "--data-dir", home)
    old.done("vault", "rotate-kek", "--data-dir", home)


def _second_run(site: Site) -> None:
    """Under the new keys."""
    with site.serving():
        customer = site.customer(CHOOSING)
        customer.switch("ai-training", "withdraw")
        _reads(site)
        _receipts(site.home, customer)
    old = site.installed
    published = site.home / "log"
    old.done(
        "export", published / "consent", "--states", published / "state", "--data-dir", site.home
    )


def _receipts(home: Path, *customers: Person) -> None:
    for customer in customers:
        for entry in customer.receipts():
            customer.receipt(entry, home / "receipts")


def _checked(old: Installed, home: Path) -> None:
    log = ("audit", home / "log" / "consent", "--policy", home / "consent.policy")
    old.done(*log, "--state", home / "seen")
    old.done("fsck", "--data-dir", home)
    old.done("replay", "--data-dir", home)


def _internally(old: Installed, home: Path, step: str) -> None:
    command = [old.python, "-c", CUSTOMERS, str(home), step]
    subprocess.run(command, check=True, cwd=old.root)


def _pack(home: Path) -> None:
    for path in home.rglob("*.sqlite"):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    left = [each.name for each in home.rglob("*-wal")]
    assert not left, f"{left} would be lost"
    with tarfile.open(ARCHIVE, "w:gz", compresslevel=9) as archive:
        archive.add(home, "data", filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
