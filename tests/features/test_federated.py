"""M30: two sites fit one model together, and nothing but noisy counts leaves them (R14, R15)."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.federated import combine, measurements, plan
from examples.federated.measurements import SiteFileError
from tests.features.catalogue import feature
from tests.features.served import ROOT

ROWS = ROOT / "examples" / "telco" / "customers.csv"
SITES = ("north", "south")


@dataclass(frozen=True, slots=True)
class Sites:
    """A folder in which two sites have measured their customers."""

    folder: Path

    def file(self, site: str) -> Path:
        return self.folder / f"{site}.json"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.federated", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def done(*words: str | Path) -> str:
    ran = run(*words)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Sites:
    made = Sites(tmp_path_factory.mktemp("federated"))
    done("split", ROWS, made.folder)
    for each in SITES:
        done("measure", made.folder / f"{each}.csv", each, made.file(each))
    return made


@feature("M30")
def test_r15_a_model_of_two_sites_predicts_nearly_as_well_as_the_pooled_rows(sites: Sites) -> None:
    to = sites.folder / "combined.csv"
    assert "2 sites" in done("combine", *map(sites.file, SITES), "--to", to)
    pooled, held_out = (sites.folder / f"{each}.csv" for each in ("pooled", "held_out"))
    printed = done("accuracy", pooled, to, held_out)
    (gap,) = re.findall(r"gap (-?[\d.]+)", printed)
    assert float(gap) < 0.10  # the figure is measured: specs/crm.md; here the noise may be any


def test_r15_the_sums_have_the_sums_of_the_sites_variances(sites: Sites) -> None:
    agreed = plan.load()
    both = [measurements.parse(sites.file(each).read_bytes(), agreed) for each in SITES]
    for place in range(len(agreed.marginals)):
        summed = combine.summed(both, place)
        assert summed.variance == sum(each.measured[place].variance for each in both)
        parts = [each.measured[place].values for each in both]
        assert np.array_equal(summed.values, parts[0] + parts[1])
    with pytest.raises(SiteFileError, match="each site once"):
        combine.rows([both[0], both[0]], agreed)


def test_r14_a_site_states_the_privacy_loss_of_its_customers(sites: Sites) -> None:
    agreed = plan.load()
    for each in SITES:
        stated = json.loads(sites.file(each).read_text())["statement"]
        assert Fraction(stated["epsilon"]) <= 1
        assert Fraction(stated["rho"]) <= agreed.loss.rho
        assert stated["unit"] == "customer"


Spoil = Callable[[dict[str, Any]], object]
REFUSED: Mapping[str, Spoil] = {
    "a raw count": lambda f: f["measurements"][0].update(noise="none"),
    "counts without a scale": lambda f: f["measurements"][0].pop("scale"),
    "less noise than agreed": lambda f: f["measurements"][0].update(scale="1/1"),
    "a greater sensitivity": lambda f: f["measurements"][0].update(sensitivity=2),
    "the number of customers": lambda f: f.update(customers=2683),
    "rows": lambda f: f["measurements"][0].update(rows=[["Fiber optic", "Yes"]]),
    "a marginal that was not agreed": lambda f: f["measurements"].append(f["measurements"][0]),
    "a marginal too few": lambda f: f["measurements"].pop(),
    "another order": lambda f: f["measurements"].reverse(),
    "a count that is no whole number": lambda f: f["measurements"][0]["values"].append(0.5),
    "a count as a text": lambda f: f["measurements"][0]["values"].append("3"),
    "a count too many": lambda f: f["measurements"][0]["values"].append(3),
    "another domain": lambda f: f.update(domain="0" * 64),
    "another format": lambda f: f.update(format="federated-measurements/v2"),
    "a better statement": lambda f: f["statement"].update(epsilon="1/10"),
    "a site with a path": lambda f: f.update(site="../north"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_r14_a_file_with_anything_but_the_agreed_noisy_counts_is_refused(
    why: str, sites: Sites
) -> None:
    agreed, found = plan.load(), json.loads(sites.file("north").read_text())
    assert measurements.parse(json.dumps(found).encode(), agreed).site == "north"
    REFUSED[why](found)
    with pytest.raises(SiteFileError, match="want"):
        measurements.parse(json.dumps(found).encode(), agreed)


def test_r14_a_member_that_is_there_twice_is_refused(sites: Sites) -> None:
    text = sites.file("north").read_text().replace('{"format"', '{"site": "x", "format"', 1)
    with pytest.raises(SiteFileError, match="each member once"):
        measurements.parse(text.encode(), plan.load())


@feature("M30")
def test_r14_the_combiner_refuses_and_a_site_refuses_rows_that_it_does_not_understand(
    sites: Sites, tmp_path: Path
) -> None:
    spoiled = tmp_path / "spoiled.json"
    spoiled.write_text(sites.file("north").read_text().replace("discrete gaussian", "none"))
    ran = run("combine", spoiled, sites.file("south"), "--to", tmp_path / "to.csv")
    assert (ran.returncode, (tmp_path / "to.csv").exists()) == (1, False)
    assert "measurements/0/noise: want discrete gaussian, found none" in ran.stderr
    rows = tmp_path / "rows.csv"
    rows.write_text((sites.folder / "north.csv").read_text().replace("Two year", "Three year"))
    ran = run("measure", rows, "north", tmp_path / "file.json")
    assert (ran.returncode, (tmp_path / "file.json").exists()) == (1, False)
    assert "contract" in ran.stderr
