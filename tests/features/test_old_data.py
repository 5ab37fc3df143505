"""A data directory that commit 4a7671d wrote is served by this product, and verifies as before.

tests/data/README.md says what is in it and how it was made.
"""

import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.data import make_4a7671d as made
from tests.features.served import INSTALLED, Site, done, sovereign, views

FIELDS = made.FIELDS


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old data directory as the old product left it."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(made.ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "data"


@pytest.fixture(scope="module")
def unpacked(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose tables were migrated, as docs/operate.md says; nothing serves it."""
    home = shutil.copytree(packed, tmp_path_factory.mktemp("migrated") / "data")
    assert "ledger: before versions -> " in INSTALLED.done("migrate", "--data-dir", home)
    return home


@dataclass(slots=True)
class Upgraded:
    """The old data directory after this product served it, and what its users saw."""

    home: Path
    history: str = ""
    reads: str = ""
    receipt: Path = Path()
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    erased: dict[str, str] = field(default_factory=dict)
    desk: str = ""
    release: str = ""


@pytest.fixture(scope="module")
def upgraded(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgraded:
    folder = tmp_path_factory.mktemp("upgraded")
    seen = Upgraded(shutil.copytree(unpacked, folder / "data"))
    with Site(seen.home, folder / "server.log", words=("--apply",)).serving() as site:
        customer = site.customer(made.CHOOSING)
        seen.history = customer.page("/customer/history").html
        seen.reads = customer.page("/customer/reads").html
        seen.desk = site.steward().page("/desk").html
        seen.erased = views(site.read("analytics", "segmentation", made.ERASED, *FIELDS))
        seen.release = site.read("analytics", "segmentation", made.EXPIRED, "job")["release"]
        customer.switch("lead-scoring", "allow")
        seen.before = views(site.read("sales-desk", "lead-scoring", made.CHOOSING, "age"))
        customer.switch("lead-scoring", "withdraw")
        seen.after = views(site.read("sales-desk", "lead-scoring", made.CHOOSING, "age"))
        seen.receipt = customer.receipt(customer.receipts()[0], folder)
    return seen


def audited(home: Path, seen: Path) -> str:
    """An auditor who kept `seen`, the state file of the last audit of the old product."""
    log, policy = home / "log" / "consent", home / "consent.policy"
    return done("audit", log, "--policy", policy, "--state", shutil.copy(home / "seen", seen))


def test_an_old_data_directory_is_refused_until_it_is_migrated(packed: Path) -> None:
    ran = sovereign("serve", "--data-dir", packed)
    assert ran.returncode == 2
    assert "run `sovereign migrate`" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_what_the_old_product_wrote_is_whole(packed: Path, unpacked: Path, tmp_path: Path) -> None:
    assert done("fsck", "--data-dir", packed).strip() == "clean"
    assert done("fsck", "--data-dir", unpacked).strip() == "clean"
    assert done("migrate", "--data-dir", unpacked).startswith("nothing to do")
    assert "clean" in audited(unpacked, tmp_path / "seen")


def test_every_read_of_the_old_product_is_derived_again(unpacked: Path) -> None:
    ran = sovereign("replay", "--data-dir", unpacked)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "differ" in ran.stdout


def test_receipts_of_the_old_product_verify_across_the_rotation_of_its_keys(
    unpacked: Path,
) -> None:
    receipts = sorted((unpacked / "receipts").iterdir())
    assert len(receipts) == 9
    for receipt in (receipts[0], receipts[-1]):
        printed = done("verify", receipt, "--policy", unpacked / "consent.policy")
        assert printed.startswith("VERIFIED")


def test_a_customer_sees_what_they_chose_before_the_upgrade(upgraded: Upgraded) -> None:
    assert upgraded.history.count('class="did"') == 7
    for receipt in (upgraded.home / "receipts").iterdir():
        entry, customer = receipt.stem, made.CHOOSING
        printed = done("verify", receipt, "--policy", upgraded.home / "consent.policy")
        assert (f'receipts/{entry}"' in upgraded.history) is (customer in printed)
    assert upgraded.reads.count('class="mark personal"') >= 2
    assert "a savings plan was suggested" in upgraded.reads


def test_a_customer_changes_their_mind_and_gets_a_receipt(upgraded: Upgraded) -> None:
    assert upgraded.before == {"age": "personal"}
    assert upgraded.after["age"] != "personal"
    printed = done("verify", upgraded.receipt, "--policy", upgraded.home / "consent.policy")
    assert printed.startswith("VERIFIED")
    assert made.CHOOSING in printed


def test_who_was_erased_stays_erased(upgraded: Upgraded) -> None:
    assert "personal" not in upgraded.erased.values()


def test_the_release_of_the_old_product_answers(upgraded: Upgraded) -> None:
    assert upgraded.release.startswith("segmentation-")


def test_the_desk_shows_the_case_that_the_old_product_opened(upgraded: Upgraded) -> None:
    assert 'href="/desk/cases/1"' in upgraded.desk


def test_after_the_upgrade_everything_is_whole_and_only_grew(
    upgraded: Upgraded, tmp_path: Path
) -> None:
    home = upgraded.home
    assert done("fsck", "--data-dir", home).strip() == "clean"
    done("export", home / "log" / "consent", "--data-dir", home)
    assert "clean" in audited(home, tmp_path / "seen")
    assert done("replay", "--data-dir", home)
