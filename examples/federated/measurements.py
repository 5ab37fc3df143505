"""The file that leaves a site: noisy counts, and what they cost. Nothing else is in it.

    {"format": "federated-measurements/v1", "site": "north", "domain": "0b6f…",
     "statement": {"unit": "customer", "neighbours": "add or remove one", "rho": "29/2048",
                   "delta": "1/1000000", "epsilon": "999/1000"},
     "measurements": [{"clique": ["contract", "churn"], "noise": "discrete gaussian",
                       "scale": "23/1", "sensitivity": 1, "values": [812, -3, …]}]}

`domain`: the digest of the plan's. A reader recomputes the statement from the noise, and refuses a
file that measures anything but the plan. Whether a site added the noise that it states cannot be
seen from outside: each site answers to its own customers for that.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from examples.federated.plan import FederatedPlan
from synthetic.fitting.statement import NEIGHBOURS, UNIT
from synthetic.model import counts, measure
from synthetic.model.measure import Measurement
from synthetic.privacy.budget import GAUSSIAN_NOISE, PrivacyLoss, exact, total
from synthetic.privacy.mechanisms import OperatingSystemNoise

FORMAT = "federated-measurements/v1"
MEMBERS = frozenset({"format", "site", "domain", "statement", "measurements"})
MEASURED = frozenset({"clique", "noise", "scale", "sensitivity", "values"})


class SiteFileError(ValueError):
    """The file may not be combined. The message names the member, what was wanted and found."""


@dataclass(frozen=True, slots=True)
class SiteMeasurements:
    """What one site hands over."""

    site: str
    measured: tuple[Measurement, ...]


def measured(rows: Any, site: str, plan: FederatedPlan) -> SiteMeasurements:
    """Measure `rows`, an Ibis table with one row for each customer whom the site may count.

    Raises SiteFileError for values that the plan does not have.
    """
    if unknown := {name: n for name, n in counts.unknown(rows, plan.domain).items() if n}:
        raise SiteFileError(f"want the plan's values in each column, found others: {unknown}")
    noise = OperatingSystemNoise()
    exact_counts = counts.count(rows, plan.domain, plan.marginals)
    noisy = [
        measure.gaussian(exact_counts[clique], clique, 1, plan.each, noise)
        for clique in plan.marginals
    ]
    return SiteMeasurements(site, tuple(noisy))


def body(site: SiteMeasurements, plan: FederatedPlan) -> dict[str, object]:
    """The file's content."""
    return {
        "format": FORMAT,
        "site": site.site,
        "domain": plan.domain.digest,
        "statement": _statement(total([each.loss for each in site.measured]), plan),
        "measurements": [each.body() for each in site.measured],
    }


def parse(text: bytes, plan: FederatedPlan) -> SiteMeasurements:
    """Raises SiteFileError."""
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_float=_no_float)
        _require("the file", {*found}, MEMBERS)
        _require("format", found["format"], FORMAT)
        _require("domain", found["domain"], plan.domain.digest)
        values = tuple(_measurement(i, m, plan) for i, m in enumerate(found["measurements"]))
        _require("marginals", tuple(each.clique for each in values), plan.marginals)
        stated = _statement(total([each.loss for each in values]), plan)
        _require("statement", found["statement"], stated)
        _require("site is a name of letters and figures", str(found["site"]).isidentifier(), True)
    except SiteFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SiteFileError(f"want {FORMAT}, found what is none: {error}") from error
    return SiteMeasurements(found["site"], values)


def _measurement(place: int, found: Mapping[str, Any], plan: FederatedPlan) -> Measurement:
    where = f"measurements/{place}"
    _require(where, {*found}, MEASURED)
    _require(f"{where}/noise", found["noise"], GAUSSIAN_NOISE)
    _require(f"{where}/scale", found["scale"], exact(plan.sigma))
    _require(f"{where}/sensitivity", found["sensitivity"], 1)
    if not all(type(each) is int for each in found["values"]):
        raise SiteFileError(f"{where}/values: want whole numbers in one list")
    return measure.from_body(found, plan.domain)


def _statement(loss: PrivacyLoss, plan: FederatedPlan) -> dict[str, object]:
    privacy: dict[str, Fraction] = {
        "rho": loss.rho,
        "delta": plan.delta,
        "epsilon": loss.epsilon(plan.delta),
    }
    parts: dict[str, object] = {name: exact(value) for name, value in privacy.items()}
    return {"unit": UNIT, "neighbours": NEIGHBOURS, **parts}


def _require(place: str, found: object, wanted: object) -> None:
    if found != wanted:
        shown = sorted(found) if isinstance(found, set) else found
        wants = sorted(wanted) if isinstance(wanted, frozenset) else wanted
        raise SiteFileError(f"{place}: want {wants}, found {shown}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise SiteFileError(
            f"want each member once, found one twice: {[name for name, _ in pairs]}"
        )
    return found


def _no_float(text: str) -> float:
    raise SiteFileError(f"want whole numbers and texts, found {text}")
