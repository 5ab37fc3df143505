"""What the sites agreed to measure: plan.json. Every site measures all of it, at the same noise.

    {"epsilon": "1/1", "delta": "1/1000000", "marginals": [["contract", "churn"], …],
     "domain": [{"name": "churn", "kind": "categories", "values": ["Yes", "No"], "other": "No"}, …]}

The domain and its categories are public: nobody chose them by looking at a site's rows.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from synthetic.model import domain as domains
from synthetic.model import marginals, measure
from synthetic.model.domain import Domain
from synthetic.model.marginals import Clique
from synthetic.privacy.budget import PrivacyLoss, loss_within, parse_exact

TELECOM = Path(__file__).parent / "plan.json"


@dataclass(frozen=True, slots=True)
class FederatedPlan:
    """`loss`: of one site's customers, for all marginals together; epsilon is stated at `delta`."""

    domain: Domain
    marginals: tuple[Clique, ...]
    loss: PrivacyLoss
    delta: Fraction

    @property
    def each(self) -> PrivacyLoss:
        """The loss of one marginal."""
        return PrivacyLoss(self.loss.rho / len(self.marginals))

    @property
    def sigma(self) -> Fraction:
        """Of the discrete Gaussian noise of each count, in customers."""
        return measure.sigma_within(1, self.each)


def load(path: Path = TELECOM) -> FederatedPlan:
    """Raises ValueError, KeyError and what the domain's parser raises."""
    declared = json.loads(path.read_text("utf-8"))
    delta = parse_exact(declared["delta"])
    loss = loss_within(parse_exact(declared["epsilon"]), delta)
    domain = domains.parse(declared["domain"])
    return FederatedPlan(domain, marginals.declared(domain, declared["marginals"]), loss, delta)
