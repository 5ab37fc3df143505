"""What `benchmarks.growth` measures without a server: commands as processes, jobs in this process.

A command's cost contains the start of Python and the product's modules, about a second.
"""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks.growth_clock import Cost, Costs, command, timed
from benchmarks.growth_directory import SCENE, closed, name, opened
from gate.readlog.anchors import Anchors
from gate.state import snapshot
from ledger import clock
from ledger.events.envelope import Granted, Withdrawn
from ledger.follower import Follower
from portal.consent.wording import wording
from portal.jobs import publication
from portal.operations import release_service
from portal.operations.wiring import SNAPSHOT, Product
from portal.web import i18n

ROUNDS = 5
QUICK_S = 15.0  # a command that takes longer is measured once


def measured(home: Path, size: int, costs: Costs) -> None:
    """Measure commands over `home` while nothing serves it, then jobs. Changes it."""
    _stored(home, costs)
    _commands(home, costs)
    product = opened(home)
    try:
        _jobs(product, size, costs)
        _followed(product, size, costs)
    finally:
        closed(product)


def _stored(home: Path, costs: Costs) -> None:
    parts: dict[str, str | Path] = {
        "consent log and state map": "ledger.sqlite",
        "vault": "keys",
        "read logs": "reads",
        "published logs": "log",
        "snapshot of the consent state": SNAPSHOT,
    }
    for part, place in parts.items():
        path = home / place
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        costs.bytes[f"disk: {part}"] = sum(each.stat().st_size for each in files)


def _commands(home: Path, costs: Costs) -> None:
    beside = home.parent / f"{home.name}.beside"
    data = "--data-dir", home
    _note(costs, "state proof", lambda: command("state-proof", name(7), *data))
    log, policy = home / "log" / "consent", home / "consent.policy"
    _note(costs, "audit", lambda: command("audit", log, "--policy", policy))
    state = beside / "audited"
    beside.mkdir()
    command("audit", log, "--policy", policy, "--state", state)
    _note(costs, "audit again", lambda: command("audit", log, "--policy", policy, "--state", state))
    for checking in ("fsck", "replay"):
        _note(costs, f"{checking}, all", lambda: command(checking, *data))  # noqa: B023 - called here
        _note(costs, f"{checking}, nothing new", lambda: command(checking, "--new", *data))  # noqa: B023 - called here
    _note(costs, "export, all", lambda: _into(beside / "log", "export", *data))
    _note(costs, "backup", lambda: _backed_up(beside, home))
    keys = beside / "keys"
    _note(
        costs,
        "restore",
        lambda: _into(
            beside / "back", "restore", beside / "backup", "--keys", keys, at="--data-dir"
        ),
    )
    shutil.rmtree(beside)


def _backed_up(beside: Path, home: Path) -> Cost:
    for each in ("backup", "keys"):
        shutil.rmtree(beside / each, ignore_errors=True)
    keys = beside / "keys"
    return command("backup", beside / "backup", "--keys-to", keys, "--data-dir", home)


def _into(folder: Path, word: str, *words: str | Path, at: str = "") -> Cost:
    """A command that writes into a new folder, which is its first argument or the option `at`."""
    shutil.rmtree(folder, ignore_errors=True)
    return command(word, *words, *([at] if at else []), folder)


def _note(costs: Costs, operation: str, run: Callable[[], Cost]) -> None:
    runs = [run()]
    while runs[0].wall_s < QUICK_S and len(runs) < 3:
        runs.append(run())
    costs.note(operation, runs)


def _jobs(product: Product, size: int, costs: Costs) -> None:
    product.gate.catch_up()
    at, some = clock.now(), iter(range(size // 4, size // 3))
    publishing, anchors = publication.job(product), Anchors(product.home, product.ledger)
    anchors.anchor(at)
    publishing.work(at)

    def note(operation: str, work: Callable[[], object], rounds: int = ROUNDS) -> None:
        costs.note(operation, [timed(work) for _ in range(rounds)])

    def publish() -> None:
        anchors.anchor(at)
        publishing.work(at)

    def change_and_publish() -> None:
        _withdraw(product, next(some))
        publish()

    note("job: publish with nothing new", publish)
    note("job: publish after a withdrawal", change_and_publish)
    note("job: snapshot", product.keep_state, 3)
    scene = product.scenes[SCENE]
    again = iter(range(1, ROUNDS))
    note(
        "job: refit of a scene",
        lambda: release_service.release(product, scene, at + timedelta(days=next(again))),
        1,
    )


def _followed(product: Product, size: int, costs: Costs) -> None:
    """The state of a gate of its own, in this process: it catches up with a thousand entries."""
    product.keep_state()
    follower = Follower(product.home)
    try:
        state = snapshot.load(product.home / SNAPSHOT, product.scenes, follower)
        assert state is not None
        words, at = wording(product.scenes[SCENE], i18n.load()["en"]), clock.now()
        act = Granted(SCENE, ("age",), None)
        for lo in range(0, 3_000, 1_000):
            numbers = [each * size // 4_000 for each in range(lo, lo + 1_000)]
            drafts = [
                product.ledger.draft(each, act, at=at, wording=words)
                for each in dict.fromkeys(map(name, numbers))
            ]
            product.ledger.record(drafts)
            cost = timed(lambda: state.keep_up(follower))
        costs.note("follower: catch up with 1,000 entries", [cost])
    finally:
        follower.close()


def _withdraw(product: Product, number: int) -> None:
    words = wording(product.scenes[SCENE], i18n.load()["en"])
    draft = product.ledger.draft(name(number), Withdrawn(SCENE), at=clock.now(), wording=words)
    product.ledger.record([draft])
