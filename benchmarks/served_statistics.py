"""How far the demonstration's own served tables are from the truth, and what they say about it.

All customers of the demonstration; some object to the anonymous statistics, the younger and those
without a term deposit more readily. Then `sovereign serve` makes its releases and answers
`/v1/table` for every field of a scene, as a service asks it. Segments are those of the scene's
declared group-bys and trends that have at least 1 % of the customers, by the contract's bins; the
truth are all rows of the source.

    mean, p95   relative error of a segment's count
    within      segments that are off by at most 3.2 %
    bar         p95 that the answer states; covered: segments that are off by no more than that
"""

import io
import re
import shutil
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from gate.contracts.scene import Scene, statistics
from ledger import clock
from ledger.events.envelope import Withdrawn
from portal.consent.wording import wording
from portal.demo import load
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from synthetic.model import sample
from tests.bank import bank
from tests.features.served import Site, wait_for

OBJECTING = (0.0, 0.02, 0.05)
ASKED = {"segmentation": "analytics", "recommendation": "recommender"}  # scene: its service
LEAST, GOAL = 0.01, 0.032
ARROW = "application/vnd.apache.arrow.stream"
Errors = NDArray[np.float64]


def main() -> None:
    with TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        _alone(begun, first)
        print("\nserved tables of all fields, against all rows of the source")
        heads = "".join(f"{each:>8}" for each in ("mean", "p95", "within", "bar", "covered"))
        print(f"{'objecting':>10} {'scene':16}{heads}")
        for share in OBJECTING:
            home = Path(shutil.copytree(first, Path(folder) / f"{share}"))
            _alone(_object, home, share)
            with Site(home, home.parent / "server.log").serving() as site:
                wait_for(lambda: _released(site), "release")
                for scene in ASKED:
                    _row(home, site, scene, share)
        sys.stdout.flush()


def _alone(work: Callable[..., None], *given: object) -> None:
    """Do it in a process of its own, which lets go of the data directory when it ends."""
    process = get_context("fork").Process(target=work, args=given)
    process.start()
    process.join()
    assert process.exitcode == 0, f"{work.__name__} failed"


def begun(home: Path) -> None:
    """The demonstration before its first release."""
    home.mkdir()
    load.customers(home)
    product = _opened(home)
    load.grants(product, lambda _done, _of: None)
    product.keep_state()


def _opened(home: Path) -> Product:
    return open_product(Settings(data_dir=home, demo=True))


def _object(home: Path, share: float) -> None:
    if not share:
        return
    product = _opened(home)
    counting = _counting(product)
    said, shown, at = Withdrawn(counting.id), wording(counting, i18n.load()["en"]), clock.now()
    people = _objectors(home, share)
    product.ledger.record([product.ledger.draft(who, said, at=at, wording=shown) for who in people])
    product.keep_state()


def _counting(product: Product) -> Scene:
    found = statistics(product.scenes)
    assert found is not None
    return found


def _objectors(home: Path, share: float) -> list[str]:
    with duckdb.connect(str(home / "customers.duckdb"), read_only=True) as source:
        rows = source.execute("SELECT id, age, y FROM customer ORDER BY id").fetchall()
    weights = np.array([np.exp(-age / 20) * (0.4 if y == "yes" else 1.0) for _, age, y in rows])
    chance = np.random.default_rng(7)
    chosen = chance.choice(len(rows), round(share * len(rows)), False, weights / weights.sum())
    return [rows[each][0] for each in chosen]


def _released(site: Site) -> bool:
    answer = site.ask("analytics", "/v1/table", {"scene": "segmentation", "fields": ["y"]}, ARROW)
    return "anonymous-statistics" in answer.headers.get("Sovereign-Completion", "")


def _row(home: Path, site: Site, name: str, share: float) -> None:
    scene = bank().scenes[name]
    fields = [*scene.domain.columns]
    answer = site.ask(ASKED[name], "/v1/table", {"scene": name, "fields": fields}, ARROW)
    errors = errors_of(scene, _table(answer.content), truth_of(home, fields))
    said = answer.headers["Sovereign-Completion"]
    bar = float(re.findall(r"p95=([0-9.]+)", said)[0]) / 100
    print(
        f"{share:>10.0%} {name:16}{errors.mean():>8.2%}{np.quantile(errors, 0.95):>8.2%}"
        f"{(errors <= GOAL).mean():>8.1%}{bar:>8.2%}{(errors <= bar).mean():>8.1%}"
    )


def _table(content: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(io.BytesIO(content)).read_all()


def truth_of(home: Path, fields: list[str]) -> Any:
    with duckdb.connect(str(home / "customers.duckdb"), read_only=True) as source:
        wanted = ", ".join(f'"{each}"' for each in fields)
        return source.sql(f"SELECT {wanted} FROM customer").to_arrow_table()


def errors_of(scene: Scene, table: Any, truth: Any) -> Errors:
    ours, theirs = (_codes(scene, each) for each in (table, truth))
    groups = [*scene.workload, *((trend,) for trend in scene.trends)]
    found = [_off(_counts(scene, ours, each), _counts(scene, theirs, each)) for each in groups]
    return np.concatenate(found)


def _codes(scene: Scene, table: Any) -> dict[str, NDArray[np.int64]]:
    columns = table.select([*scene.domain.columns])
    return {name: np.asarray(each) for name, each in sample.encode(scene.domain, columns).items()}


def _counts(scene: Scene, codes: dict[str, NDArray[np.int64]], group: tuple[str, ...]) -> Errors:
    shape = scene.domain.shape(group)
    cells = np.ravel_multi_index([codes[name] for name in group], shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).astype(np.float64)


def _off(counted: Errors, truth: Errors) -> Errors:
    large = truth >= LEAST * truth.sum()
    return np.asarray(np.abs(counted - truth)[large] / truth[large])
