"""Marginals: which group-bys a scene asks for, and how large they are.

A clique names the columns of a marginal, in the order of the domain.
"""

from collections.abc import Sequence
from math import prod

from synthetic.model.domain import Domain, DomainError

Clique = tuple[str, ...]

MOST_CELLS = 1_000_000  # of one marginal: more would be noise, and memory


def singles(domain: Domain) -> tuple[Clique, ...]:
    return tuple((name,) for name in domain.columns)


def declared(domain: Domain, workload: Sequence[Sequence[str]]) -> tuple[Clique, ...]:
    """The workload's cliques, each once, checked against the domain; one column alone is a trend.

    Columns outside the domain (identifiers, free text) cannot be synthesised and are left out.
    Raises DomainError when a marginal is too large to be worth its noise.
    """
    found = {clique: None for group in workload if (clique := _known(domain, group))}
    for clique in found:
        _require_size(domain, clique)
    return tuple(found)


def cells(domain: Domain, clique: Sequence[str]) -> int:
    return prod(domain.shape(clique))


def _known(domain: Domain, group: Sequence[str]) -> Clique:
    wanted = set(group)
    return tuple(name for name in domain.columns if name in wanted)


def _require_size(domain: Domain, clique: Clique) -> None:
    size = cells(domain, clique)
    if size > MOST_CELLS:
        raise DomainError(
            f"the marginal over {clique} has {size} cells, want at most {MOST_CELLS}: "
            "declare coarser bins or a smaller group-by"
        )
