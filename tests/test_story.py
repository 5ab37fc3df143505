"""The newcomer's way in: `sovereign demo --once` does the whole job, and what it leaves behind can
be verified without it. On 3,000 customers; in `make prove` on all 45,211."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest

from portal.demo import load
from tests.campaign import sized

pytestmark = pytest.mark.campaign
SOVEREIGN = [sys.executable, "-m", "portal.cli"]
ALL = 45_211
PEOPLE = sized(3_000, ALL)
# Not measured for coverage, which doubles what forty-five thousand customers take.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@dataclass(frozen=True)
class Told:
    home: Path
    text: str

    @property
    def receipt(self) -> Path:
        return Path(re.sub(r"\s", "", re.search(r"receipt\s+(\S+)", self.text)[1]))  # type: ignore[index] # a miss fails the test


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    home = tmp_path_factory.mktemp("story") / "data"
    if PEOPLE < ALL:
        load.customers(home)
        with duckdb.connect(home / "customers.duckdb") as database:
            database.execute("DELETE FROM customer WHERE id > ?", [f"c{PEOPLE:05d}"])
    done = subprocess.run(
        [*SOVEREIGN, "demo", "--once", "--data-dir", str(home)],
        capture_output=True,
        text=True,
        check=False,
        env=PLAIN | {"COLUMNS": "500"},
    )
    assert done.returncode == 0, done.stderr
    return Told(home, done.stdout)


def verify(receipt: Path, key: Path) -> subprocess.CompletedProcess[str]:
    command = [*SOVEREIGN, "verify", str(receipt), "--key", str(key)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=PLAIN)


TOLD = {
    "customers loaded": rf"customers loaded\s+{PEOPLE:,}",
    "ledger size and root": r"ledger\s+[\d,]+ entries, root [A-Za-z0-9+/]{43}=",
    "a decision before": r"decision allowed \(granted\) at ledger size [\d,]+",
    "a decision after": r"decision refused \(withdrawn\) at ledger size [\d,]+",
    "the fields answered synthetically": r"answered synthetically: age, job, balance, housing",
    "the notice to the account manager": r"case 1\)\n(.*\n){1,6}.*Please review",
    "everybody in one table": rf"{PEOPLE:,} rows, same schema: [\d,]+ authorised, [\d,]+ synthetic",
    "the verifier's verdict": r"VERIFIED",
}


@pytest.mark.parametrize("what", TOLD)
def test_the_story_tells(told: Told, what: str) -> None:
    assert re.search(TOLD[what], told.text), told.text


def test_it_leaves_logs_keys_and_a_receipt(told: Told) -> None:
    logs = sorted(each.name for each in (told.home / "log").iterdir())
    assert [name.split("-")[0] for name in logs] == ["consent", "reads", "state"]
    for name in logs:
        assert (told.home / "log" / name / "checkpoint").exists()
    for vkey in {*(told.home / "keys").glob("*.vkey")} - {told.home / "keys" / "map.vkey"}:
        assert all(line.count("+") >= 2 for line in vkey.read_text().splitlines())
    assert told.receipt.parent == told.home / "receipts"


def test_private_keys_are_the_owners_alone(told: Told) -> None:
    private = [each for each in (told.home / "keys").iterdir() if each.suffix != ".vkey"]
    assert len(private) >= 4
    assert all(each.stat().st_mode & 0o077 == 0 for each in private)


def test_w18_three_witnesses_of_its_own_have_seen_the_log(told: Told) -> None:
    assert "They are not independent" in told.text
    policy = (told.home / "consent.policy").read_text()
    assert policy.count("\nwitness ") == 3
    assert policy.endswith("group demonstration 2 w1 w2 w3\nquorum demonstration\n")
    policy_file = str(told.home / "consent.policy")
    command = [*SOVEREIGN, "verify", str(told.receipt), "--policy", policy_file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=PLAIN)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "VERIFIED"), done.stderr
    assert "witnesses w1, w2, w3 saw" in done.stdout
    assert (
        "nobody else has seen this log" in verify(told.receipt, _key(told)).stdout.splitlines()[0]
    )


def _key(told: Told) -> Path:
    return told.home / "keys" / "consent.vkey"


def test_the_receipt_verifies_and_an_altered_one_does_not(told: Told, tmp_path: Path) -> None:
    key = told.home / "keys" / "consent.vkey"
    assert verify(told.receipt, key).returncode == 0
    data = bytearray(told.receipt.read_bytes())
    data[len(data) // 2] ^= 1
    altered = tmp_path / "altered.tlog-proof"
    altered.write_bytes(data)
    refused = verify(altered, key)
    assert refused.returncode == 1
    assert refused.stderr.startswith("NOT VERIFIED: ")


def entries(log: Path) -> list[bytes]:
    """The entries of a tile directory, read from its bundles with nothing but file names."""
    found: list[bytes] = []
    bundles = sorted(
        (log / "tile" / "entries").rglob("*"),
        key=lambda path: [int(p.strip("x.")) for p in re.findall(r"x?\d+", path.name)],
    )
    numbered = {}
    for path in bundles:
        if path.is_file():
            name = path.relative_to(log / "tile" / "entries").as_posix()
            number = int(re.sub(r"\.p/\d+$|[x/]", "", name))
            numbered[number] = path.read_bytes()
    for number in sorted(numbered):
        data, at = numbered[number], 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 2])
            found.append(data[at + 2 : at + 2 + size])
            at += 2 + size
    return found


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it stands there."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


@pytest.mark.parametrize("name", ["consent", "reads-*"])
def test_the_published_root_follows_from_the_entries_alone(told: Told, name: str) -> None:
    (log,) = (told.home / "log").glob(name)
    _, size, wanted, *_ = (log / "checkpoint").read_text().split("\n")
    import base64

    leaves = entries(log)
    assert len(leaves) == int(size)
    assert base64.b64encode(root(leaves)).decode() == wanted


def test_no_value_and_no_customer_stands_in_a_public_log(told: Told) -> None:
    for log in (told.home / "log").iterdir():
        for entry in entries(log):
            assert b"c00001" not in entry


def test_the_reads_are_journalled_with_their_views(told: Told) -> None:
    (log,) = (told.home / "log").glob("reads-*")
    readings = [json.loads(entry) for entry in entries(log)]
    analytics = [each for each in readings if each["service"] == "analytics"]
    assert [each["action"] for each in analytics] == ["read", "read", "table"]
    assert [each["reason"] for each in analytics] == ["granted", "withdrawn", "granted"]
    assert set(analytics[1]["views"].values()) == {"synthetic"}
    counted, name = (each for each in readings if each not in analytics)
    assert counted["action"] == "statistics"
    assert [*name["views"]] == ["name"]  # for the notice, masked


AUDIT = ["audit", "{home}/log/consent", "--key", "{home}/keys/consent.vkey"]
COMMANDS = {  # each of which reads all that was recorded, and has tests of its own on less
    "the database is whole": ["fsck", "--data-dir", "{home}"],
    "the budgets were kept": ["budget", "verify", "{home}/log/consent"],
    "every decision follows": ["replay", "--data-dir", "{home}"],
}


def test_the_log_it_leaves_is_audited(told: Told) -> None:
    require_success(AUDIT, told)


@pytest.mark.prove
@pytest.mark.parametrize("why", COMMANDS)
def test_what_it_leaves_can_be_checked_by_command(told: Told, why: str) -> None:
    require_success(COMMANDS[why], told)


def require_success(command: list[str], told: Told) -> None:
    command = [*SOVEREIGN, *(each.format(home=told.home) for each in command)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=PLAIN)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_run_continues_where_the_first_ended(told: Told, tmp_path: Path) -> None:
    home = shutil.copytree(told.home, tmp_path / "home")  # the other tests are about one run
    done = subprocess.run(
        [*SOVEREIGN, "demo", "--once", "--data-dir", str(home)],
        capture_output=True,
        text=True,
        check=False,
        env=PLAIN | {"COLUMNS": "500"},
    )
    assert done.returncode == 0, done.stderr
    assert "c00001 withdraws" not in done.stdout  # somebody else's turn
    assert "VERIFIED" in done.stdout
