"""One model from several sites' noisy counts.

A customer is in one site only. So the sum of the sites' noisy counts of a marginal is a noisy count
of everybody, its variance is the sum of the variances, and each customer's loss is that of their
own site: fitting is post-processing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.federated.measurements import SiteFileError, SiteMeasurements
from examples.federated.plan import FederatedPlan
from synthetic.model import sample
from synthetic.model.consistency import reconciled
from synthetic.model.graphical_model import model_of
from synthetic.model.inference import believed
from synthetic.model.marginals import Clique
from synthetic.privacy.mechanisms import post_processing


@dataclass(frozen=True, slots=True)
class SummedMarginal:
    """A noisy marginal of all sites. `variance`: of one count."""

    clique: Clique
    values: NDArray[np.int64]
    variance: float


def rows(sites: Sequence[SiteMeasurements], plan: FederatedPlan, times: int = 1) -> Any:
    """Synthetic rows of the combined model, `times` as many as there are customers: Arrow.

    More rows show the same model more exactly, and cost no privacy. Raises SiteFileError for a site
    that is there twice.
    """
    names = [each.site for each in sites]
    if len(set(names)) != len(names):
        raise SiteFileError(f"want each site once, found {names}")
    marginals = [summed(sites, place) for place in range(len(plan.marginals))]
    number = max(1, round(float(np.mean([each.values.sum() for each in marginals]))))
    model = model_of(believed(plan.domain, reconciled(marginals), number))
    generator = post_processing()
    wanted = times * number
    codes = sample.draw(model, wanted, sample.balanced(generator))
    columns = [*plan.domain.columns]
    return sample.decode(plan.domain, codes, columns, lambda _name: generator.random(wanted))


def summed(sites: Sequence[SiteMeasurements], place: int) -> SummedMarginal:
    """One marginal of all sites, by its place in the plan."""
    of_sites = [each.measured[place] for each in sites]
    values = np.sum([each.values for each in of_sites], axis=0)
    return SummedMarginal(of_sites[0].clique, values, sum(each.variance for each in of_sites))
