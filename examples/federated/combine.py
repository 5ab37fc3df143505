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


def rows(sites: Sequence[SiteMeasurements], plan: FederatedPlan) -> Any:
    """Synthetic rows of the combined model, as many as there are customers: an Arrow table.

    Raises SiteFileError for a site that is there twice.
    """
    names = [each.site for each in sites]
    if len(set(names)) != len(names):
        raise SiteFileError(f"want each site once, found {names}")
    marginals = [_summed(sites, place) for place in range(len(plan.marginals))]
    number = max(1, round(float(np.mean([each.values.sum() for each in marginals]))))
    model = model_of(believed(plan.domain, reconciled(marginals), number))
    generator = post_processing()
    codes = sample.draw(model, number, sample.balanced(generator))
    columns = [*plan.domain.columns]
    return sample.decode(plan.domain, codes, columns, lambda _name: generator.random(number))


def _summed(sites: Sequence[SiteMeasurements], place: int) -> SummedMarginal:
    of_sites = [each.measured[place] for each in sites]
    values = np.sum([each.values for each in of_sites], axis=0)
    return SummedMarginal(of_sites[0].clique, values, sum(each.variance for each in of_sites))
