"""How far the telecom example's served series is from the truth, and what it says about it.

`sovereign serve` makes the first release of the generated company and answers `/v1/series`, as a
service asks it. Then the noise of that release is drawn again many times over the same counts.

    events      against the events of that month in the table
    formula     against the expectation of truth.toml, from which the events are drawn
    mean, p95   relative error of a month's total; within: months that are off by at most 3.2 %
    covered     values, and totals, that are off by no more than the bar that the answer states
    rho         of the release for its months, and what a customer may lose in a year

Clipped events are part of every error and of no bar: the share that is clipped is printed, which
only a benchmark can know.
"""

import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from gate.contracts.company import load
from gate.contracts.scene import statistics
from gate.contracts.series import EventSeries
from gate.reads.bulk import series
from gate.reads.sources.duckdb import DuckDBSource
from portal.configuration.privacy_limits import PrivacyLimits
from synthetic.model import measure
from synthetic.model.series import Period, PeriodCounts
from synthetic.privacy.mechanisms import OperatingSystemNoise
from tests.features.served import Site, wait_for

TELCO = Path(__file__).parents[1] / "examples" / "telco"
SERVICE = "capacity-office"
DRAWS, GOAL = 2_000, 0.032
Floats = NDArray[np.float64]


def main() -> None:
    with TemporaryDirectory() as folder:
        company = Path(shutil.copytree(TELCO, Path(folder) / "telco"))
        subprocess.run(
            [sys.executable, str(company / "generate.py")], check=True, stdout=subprocess.DEVNULL
        )
        scene = statistics(load(company).scenes)
        assert scene is not None
        (declared,) = scene.series
        served = _served(company, Path(folder), scene.id, declared.name)
        counted = _clipped(company, declared)
        events, formula = _events(company, declared), _formula(company, declared)
        _report(declared, served, counted, events, formula)


def _served(company: Path, folder: Path, scene: str, name: str) -> Floats:
    """The totals of all months, as a service is answered them."""
    home = folder / "data"
    home.mkdir()
    words = ("--company", str(company), "--trial")
    with Site(home, folder / "server.log", words=words).serving() as site:

        def answered() -> list[Any]:
            asked = {"scene": scene, "series": name}
            found: list[Any] = site.ask(SERVICE, "/v1/series", asked).json()["periods"]
            return found

        periods = wait_for(answered, "release")
    return np.array([each["total"]["count"] for each in periods], dtype=np.float64)


def _periods(declared: EventSeries) -> list[Period]:
    assert declared.until is not None
    end = Period(declared.since, declared.until).bounds(declared.terms.zone)[1]
    return [*declared.terms.ended(declared.since, declared.until, end)]


def _clipped(company: Path, declared: EventSeries) -> list[PeriodCounts]:
    """What the release measured, without noise: nobody objects."""
    source = DuckDBSource(company / "customers.duckdb", "subscriber", "customerid")
    people = source.everybody(["customerid"]).to_pyarrow()["customerid"]
    return [series.clipped(source, declared, each, people) for each in _periods(declared)]


def _events(company: Path, declared: EventSeries) -> Floats:
    """All events of the declared categories: a row a month, a column a category."""
    query = (
        f"SELECT count(*) FROM {declared.table} "
        f"WHERE {declared.category} = ? AND {declared.time} >= ? AND {declared.time} < ?"
    )
    with duckdb.connect(company / "customers.duckdb", read_only=True) as source:

        def count(period: Period, kind: str) -> int:
            row = source.execute(query, [kind, period.start, period.end]).fetchone()
            return int(row[0]) if row else 0

        kinds = declared.terms.categories
        rows = [[count(period, kind) for kind in kinds] for period in _periods(declared)]
    return np.array(rows, dtype=np.float64)


def _formula(company: Path, declared: EventSeries) -> Floats:
    """Expected calls by truth.toml, and one payment of each customer: totals by month."""
    spec = util.spec_from_file_location("generate", company / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    made: Any = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    with duckdb.connect(company / "customers.duckdb", read_only=True) as source:
        rows = source.execute("SELECT tenure, internetservice FROM subscriber").fetchall()
    tenure, access = np.array([each for each, _ in rows]), [each for _, each in rows]
    totals = []
    for period in _periods(declared):
        years = period.start.year - made.FIRST.year
        number = 12 * years + period.start.month - made.FIRST.month
        here = tenure >= made.MONTHS - number
        calls = np.where(here, made.expected("call", number, access), 0)
        totals.append(float(calls.sum()) + float(here.sum()))
    return np.array(totals)


def _report(
    declared: EventSeries,
    served: Floats,
    counted: list[PeriodCounts],
    events: Floats,
    formula: Floats,
) -> None:
    noise, totals = OperatingSystemNoise(), events.sum(axis=1)
    drawn = np.array([[measure.events(c, noise).values for c in counted] for _ in range(DRAWS)])
    one = measure.events(counted[0], noise)
    errors = np.abs(drawn.sum(axis=2) - totals) / totals
    print(f"{'':24}{'mean':>8}{'p95':>8}{'worst':>8}{'within':>8}")
    _row("served, events", np.abs(served - totals) / totals)
    _row("served, formula", np.abs(served - formula) / formula)
    _row(f"{DRAWS} draws, events", errors)
    _row(f"{DRAWS} draws, formula", np.abs(drawn.sum(axis=2) - formula) / formula)
    print(f"draws with every month within {GOAL:.1%}: {(errors <= GOAL).all(axis=1).mean():.2%}")
    values = (np.abs(drawn - events) <= one.bar).mean()
    sums = (np.abs(drawn.sum(axis=2) - totals) <= one.total_bar).mean()
    print(f"covered: {values:.2%} of values (±{one.bar}), {sums:.2%} of totals (±{one.total_bar})")
    kept, most = sum(int(each.values.sum()) for each in counted), declared.terms.at_most
    print(f"clipped: {1 - kept / totals.sum():.3%} of the events, beyond {most} a month")
    rho, year = float(declared.terms.loss.rho) * len(counted), float(PrivacyLimits().year.rho)
    print(f"rho: {rho:.4f} for {len(counted)} months, of {year:.4f} in a year")


def _row(name: str, errors: Floats) -> None:
    within = (errors <= GOAL).mean()
    p95, worst = np.quantile(errors, 0.95), errors.max()
    print(f"{name:24}{errors.mean():>8.2%}{p95:>8.2%}{worst:>8.2%}{within:>8.1%}")
