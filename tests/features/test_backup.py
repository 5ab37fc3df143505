"""A backup beside the served product, the original destroyed, and the copy served elsewhere."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.features.conftest import _run, prepared
from tests.features.served import INSTALLED, Site, copy_published, done, sovereign, views, wait_for

SCENE, SERVICE, FIELD = "recommendation", "recommender", "age"
GRANTING, WITHDRAWING, ERASED_BEFORE, ERASED_AFTER, TOGGLING = (
    f"c{number:05d}" for number in range(240, 245)
)


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was backed up of a served product, and its restored directory, served again.

    `printed`: of the restore. `log`: the newest published directory of the original.
    """

    site: Site
    folder: Path
    printed: str
    log: Path


@pytest.fixture(scope="module")
def rescued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rescued]:
    folder = tmp_path_factory.mktemp("backups")
    home = shutil.copytree(prepared(_run(tmp_path_factory)), folder / "original")
    with Site(home, folder / "server.log").serving() as site:
        for subject in (GRANTING, WITHDRAWING, ERASED_BEFORE, ERASED_AFTER):
            site.customer(subject).switch(SCENE, "allow")
            assert views(site.read(SERVICE, SCENE, subject, FIELD)) == {FIELD: "personal"}
        site.customer(WITHDRAWING).switch(SCENE, "withdraw")
        done("erase", ERASED_BEFORE, "--data-dir", home)
        with toggling(site) as acknowledged:
            wait_for(lambda: acknowledged, "change of mind")
            backup = ("backup", folder / "first", "--keys-to", folder / "keys")
            INSTALLED.done(*backup, "--data-dir", home)
            assert acknowledged, "somebody changed their mind while it was made"
        done("erase", ERASED_AFTER, "--data-dir", home)
        done("export", home / "log/consent", "--states", home / "log/state", "--data-dir", home)
        copy_published(home, folder / "log")  # before the backup: jobs write entries, too
        done("backup", folder / "second", "--without-keys", "--data-dir", home)
    shutil.rmtree(home)
    restored = folder / "elsewhere"
    arguments = "restore", folder / "second", "--keys", folder / "keys", "--data-dir", restored
    printed = INSTALLED.done(*arguments, "--published", folder / "log")
    with Site(restored, folder / "restored.log").serving() as site:
        yield Rescued(site, folder, printed, folder / "log")


@contextmanager
def toggling(site: Site) -> Iterator[list[str]]:
    """Somebody changes their mind all the time; what was acknowledged to them."""
    acknowledged: list[str] = []
    over = Event()
    person = site.customer(TOGGLING)

    def toggle() -> None:
        while not over.is_set():
            wish = ("allow", "withdraw")[len(acknowledged) % 2]
            person.switch(SCENE, wish)
            acknowledged.append(wish)
            over.wait(0.2)  # the backup is what takes the processor

    thread = Thread(target=toggle)
    thread.start()
    try:
        yield acknowledged
    finally:
        over.set()
        thread.join()


def test_a_live_grant_is_answered_personally_from_the_restored_directory(rescued: Rescued) -> None:
    answer = rescued.site.read(SERVICE, SCENE, GRANTING, FIELD)
    assert views(answer) == {FIELD: "personal"}
    assert views(rescued.site.read(SERVICE, SCENE, WITHDRAWING, FIELD)) != {FIELD: "personal"}


@pytest.mark.parametrize("subject", [ERASED_BEFORE, ERASED_AFTER])
def test_somebody_erased_before_or_after_the_keys_were_backed_up_stays_erased(
    rescued: Rescued, subject: str
) -> None:
    assert "1 customers who were erased since then were erased again" in rescued.printed
    assert "personal" not in views(rescued.site.read(SERVICE, SCENE, subject, FIELD)).values()
    assert rescued.site.customer(subject).receipts() == []


def test_a_customer_goes_on_choosing_and_gets_a_receipt(rescued: Rescued, tmp_path: Path) -> None:
    person = rescued.site.customer(GRANTING)
    person.switch(SCENE, "withdraw")
    receipt = person.receipt(person.receipts()[0], tmp_path)
    key = rescued.site.home / "keys" / "consent.vkey"
    assert done("verify", receipt, "--key", key).startswith("VERIFIED")


def test_fsck_audit_and_replay_of_the_restored_directory_are_clean(rescued: Rescued) -> None:
    home = rescued.site.home
    run = INSTALLED.done
    assert run("fsck", "--data-dir", home) == "clean\n"
    run("export", home / "log" / "consent", "--data-dir", home)
    assert "clean" in run("audit", home / "log/consent", "--policy", home / "consent.policy")
    assert "0 differ" in run("replay", "--data-dir", home)


def test_the_first_backup_alone_is_whole_too(rescued: Rescued, tmp_path: Path) -> None:
    folder = rescued.folder
    arguments = "restore", folder / "first", "--keys", folder / "keys", "--data-dir"
    printed = done(*arguments, tmp_path / "home")
    assert "stands at entry" in printed
    assert "not compared with what was published" in printed
    assert done("fsck", "--data-dir", tmp_path / "home") == "clean\n"
    assert "0 differ" in done("replay", "--data-dir", tmp_path / "home")


def test_a_backup_older_than_what_was_published_is_refused(
    rescued: Rescued, tmp_path: Path
) -> None:
    folder, home = rescued.folder, tmp_path / "home"
    arguments = "restore", folder / "first", "--keys", folder / "keys", "--data-dir", home
    ran = sovereign(*arguments, "--published", rescued.log)
    assert ran.returncode == 1
    assert "1 of the newer ones erase a customer" in ran.stderr
    assert "Use a backup made at or after entry" in ran.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_restored_directory_older_than_what_was_published_is_not_served(
    rescued: Rescued, tmp_path: Path
) -> None:
    folder, home = rescued.folder, tmp_path / "home"
    done("restore", folder / "first", "--keys", folder / "keys", "--data-dir", home)
    shutil.copytree(rescued.log, home / "log")
    ran = sovereign("serve", "--data-dir", home)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert "made at or after entry" in ran.stderr
