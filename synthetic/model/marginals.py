"""Marginals: the group-bys that a scene declares, and their sizes.

A clique is the tuple of a marginal's columns, in the order of the domain.
"""

from collections.abc import Sequence
from math import prod

from synthetic.model.domain import Domain, DomainError

Clique = tuple[str, ...]

MAX_CELLS = 1_000_000  # of one marginal; a larger one would be mostly noise, and need much memory


def singles(domain: Domain) -> tuple[Clique, ...]:
    return tuple((name,) for name in domain.columns)


def declared(domain: Domain, workload: Sequence[Sequence[str]]) -> tuple[Clique, ...]:
    """The workload's cliques, each once, restricted to the domain. A single column is a trend.

    Columns outside the domain (identifiers, free text) cannot be synthesised and are left out.
    Raises DomainError if a marginal is too large.
    """
    cliques = {clique: None for group in workload if (clique := _known(domain, group))}
    for clique in cliques:
        _require_size(domain, clique)
    return tuple(cliques)


def cells(domain: Domain, clique: Sequence[str]) -> int:
    return prod(domain.shape(clique))


def _known(domain: Domain, group: Sequence[str]) -> Clique:
    wanted = set(group)
    return tuple(name for name in domain.columns if name in wanted)


def _require_size(domain: Domain, clique: Clique) -> None:
    size = cells(domain, clique)
    if size > MAX_CELLS:
        raise DomainError(
            f"the marginal over {clique} has {size} cells, want at most {MAX_CELLS}: "
            "declare coarser bins or a smaller group-by"
        )
