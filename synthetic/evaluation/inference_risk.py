"""How often a synthetic value of one customer would be the true one, from the release alone.

For customers whose value of a column is not the commonest: who has the commonest is guessed rightly
by whoever knows the totals. A value that is drawn independently agrees as often as chance has it.
One that is drawn given the customer's other values is a prediction about them, and agrees more
often. Both are measured on rows drawn from the release's own model, so this reads nothing and costs
no budget. Against the customers' true rows: `python -m benchmarks gate_surrogates`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from synthetic.fitting.release import Release
from synthetic.model import conditional, sample
from synthetic.model.graphical_model import model_of
from synthetic.model.sample import Codes

ROWS = 2_000  # drawn; a share of them is exact to about 2 %
LEAST = 20  # rows with another value than the commonest, or there is no figure


@dataclass(frozen=True, slots=True)
class InferenceRisk:
    """Shares of the uncommon values that a drawn value equals."""

    independent: float
    conditional: float


def risks(release: Release) -> Mapping[str, InferenceRisk]:
    """By column, in the domain's order; without columns that hardly vary. Always the same."""
    seed = int.from_bytes(sha256(release.id.encode()).digest()[:8])
    generator = np.random.default_rng(seed)
    uniforms = sample.independently(lambda _name: generator.random(ROWS))
    one, other = (sample.draw(model_of(release.beliefs), ROWS, uniforms) for _ in range(2))
    found = {name: _risk(release, name, one, other, generator) for name in release.domain.columns}
    return {name: each for name, each in found.items() if each is not None}


def _risk(
    release: Release,
    column: str,
    rows: Mapping[str, Codes],
    others: Mapping[str, Codes],
    generator: np.random.Generator,
) -> InferenceRisk | None:
    """`others`: rows that are independent of `rows`."""
    rare = rows[column] != np.bincount(rows[column]).argmax()
    count = int(rare.sum())
    if count < LEAST:
        return None
    truth = rows[column][rare]
    known = {name: codes[rare] for name, codes in rows.items() if name != column}
    drawn = conditional.draw(release.beliefs, known, lambda _name: generator.random(count))
    return InferenceRisk(
        float((others[column][rare] == truth).mean()), float((drawn[column] == truth).mean())
    )
