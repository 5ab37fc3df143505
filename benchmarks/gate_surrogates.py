"""How often the synthetic value of a customer is their true one: given their other values, or not.

    python -m benchmarks gate_surrogates

One release of the bank's data. For each field, the customers whose true value is not the commonest:
they withdrew this field, and everything else may be read. A value that agrees with the truth more
often than an independent draw is a prediction about the customer.
"""

import numpy as np

from benchmarks.synthetic_quality import load, release
from benchmarks.synthetic_surrogates import alone, given

FIELDS = ("job", "marital", "education", "balance", "housing", "contact", "poutcome")


def main() -> None:
    data = load("bank")
    if data is None:
        return
    found, generator = release(data, data.train), np.random.default_rng(1)
    print(f"\nSurrogates that equal the truth, {len(data.train):,} customers, uncommon values only")
    print(f"  {'field':14}{'customers':>12}{'conditional':>14}{'independent':>14}")
    for field in FIELDS:
        truth = data.train[:, data.columns.index(field)]
        rare = truth != np.bincount(truth).argmax()
        known = {
            name: data.train[rare, at] for at, name in enumerate(data.columns) if name != field
        }
        drawn = (draw(found, known, [field], generator)[field] for draw in (given, alone))
        agree = [float((each == truth[rare]).mean()) for each in drawn]
        print(f"  {field:14}{int(rare.sum()):12,}{agree[0]:14.1%}{agree[1]:14.1%}")
