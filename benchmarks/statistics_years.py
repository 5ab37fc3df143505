"""Four years of quarterly releases: error and privacy loss, while consent drifts.

All customers of the demonstration and its six scenes with releases. Each quarter one customer in
twenty-five, the younger more readily, withdraws a use or allows one, and more object to the
anonymous statistics, up to 2 % in all; grants end after the contracts' longest duration. The
product's own job decides what is due and fits it; then a table of all fields of `segmentation` is
compared with all rows of the source, as `python -m benchmarks served_statistics` does over HTTP.

    made           releases of the quarter: for statistics, and of single scenes
    mean, p95      relative error of a segment's count; within: off by at most 3.2 %
    bar            p95 that the table states
    rho, epsilon   the loss of whoever lost most, in the calendar year and in all, at delta 1e-6
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

from benchmarks.served_statistics import GOAL, begun, errors_of, truth_of
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_table
from ledger import clock
from ledger.events.envelope import Granted, Withdrawn
from portal.consent.wording import wording
from portal.jobs.failure import JobError
from portal.jobs.refits import Refits
from portal.operations import exposures, release_service
from portal.operations.replay_grounds import grounds
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from synthetic.fitting.release import Release

QUARTERS, QUARTER = 16, timedelta(days=92)
SCENE, SERVICE, COUNTING = "segmentation", "analytics", "anonymous-statistics"
CHANGING, OBJECTING = 0.04, 0.02  # of the customers: a quarter, and in all
DELTA = Fraction(1, 10**6)


def main() -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        begun(home)
        product = open_product(Settings(data_dir=home, demo=True))
        refits, chance = Refits(product), np.random.default_rng(11)
        people, weights = _people(home)
        heads = ("made", "mean", "p95", "within", "bar", "rho year", "rho all", "epsilon all")
        print(f"\nquarterly releases of {len(people):,} customers")
        print(f"{'quarter':>8}" + "".join(f"{each:>12}" for each in heads))
        first = clock.now()
        for quarter in range(QUARTERS):
            at = first + quarter * QUARTER
            if quarter:
                _drift(product, chance, people, weights, at)
            made = _fitted(refits, at)
            print(f"{quarter + 1:>8}{made:>12}{_served(product, at)}{_paid(product, at)}")


def _people(home: Path) -> tuple[list[str], np.ndarray]:
    with duckdb.connect(str(home / "customers.duckdb"), read_only=True) as source:
        rows = source.execute("SELECT id, age FROM customer ORDER BY id").fetchall()
    weights = np.array([np.exp(-age / 20) for _, age in rows])
    return [each for each, _ in rows], weights / weights.sum()


def _drift(
    product: Product,
    chance: np.random.Generator,
    people: Sequence[str],
    weights: np.ndarray,
    at: datetime,
) -> None:
    asked = [each for each in product.scenes.values() if each.needs_consent]
    objecting = round(OBJECTING * len(people) / (QUARTERS - 1))
    said: list[tuple[str, Granted | Withdrawn]] = [
        (people[each], Withdrawn(COUNTING))
        for each in chance.choice(len(people), objecting, False, weights)
    ]
    for each in chance.choice(len(people), round(CHANGING * len(people)), False, weights):
        scene = asked[chance.integers(len(asked))]
        allows = chance.random() < 0.5
        granted = Granted(scene.id, tuple(scene.fields), None)
        act: Granted | Withdrawn = granted if allows else Withdrawn(scene.id)
        said.append((people[each], act))
    shown = {scene.id: wording(scene, i18n.load()["en"]) for scene in product.scenes.values()}
    for who, act in said:
        drafted = product.ledger.draft(who, act, at=at, wording=shown[act.scene])
        product.ledger.record([drafted])


def _fitted(refits: Refits, at: datetime) -> str:
    """What the job fits until nothing is due any more."""
    before = _releases(refits.product)
    while (scene := refits.next_due(at)) is not None:
        refits.fit(scene, at)
        if refits.attempts.all():
            raise JobError(str(refits.attempts.all()))
    new = [each for each in _releases(refits.product) if each not in before]
    counted = sum(each.startswith(COUNTING) for each in new)
    return f"{counted} + {len(new) - counted}"


def _releases(product: Product) -> list[str]:
    return [each.id for scene in product.scenes for each in product.gate.served(scene).releases]


def _served(product: Product, at: datetime) -> str:
    scene = product.scenes[SCENE]
    fields = tuple(scene.domain.columns)
    answer = read_table(product.gate, TableRequest(SERVICE, SCENE, fields, at))
    errors = errors_of(scene, answer.table, truth_of(product.home, [*fields]))
    assert answer.error is not None
    return (
        f"{errors.mean():>12.2%}{np.quantile(errors, 0.95):>12.2%}"
        f"{(errors <= GOAL).mean():>12.1%}{answer.error.p95:>12.2%}"
    )


def _paid(product: Product, at: datetime) -> str:
    """The loss of whoever lost most, from the log."""
    versions = grounds(product.home, (), print).versions()
    found = []
    for period in (release_service.period(at), None):
        fits = exposures.fits(product.ledger.announced(), period)
        found.append(exposures.exposure(product.ledger, versions, fits).most)
    year, total = found
    assert isinstance(product.gate.release(COUNTING), Release)
    return f"{float(year.rho):>12.4f}{float(total.rho):>12.4f}{float(total.epsilon(DELTA)):>12.2f}"
