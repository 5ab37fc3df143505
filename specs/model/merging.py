"""What a merge or a split may leave allowed (E18, E19), whatever acts were recorded for it."""

from collections.abc import Iterable
from datetime import datetime

from specs.model import consent
from specs.model.consent import History
from specs.model.contract import Contract


def widened(
    before: History,
    after: History,
    pair: tuple[str, str],
    contracts: Iterable[Contract],
    moments: Iterable[datetime],
) -> list[str]:
    """Uses and items that the second of `pair` allows and one of them did not, of a merge.

    `pair`: who ends, and who stays.
    """
    ended, stays = pair
    return [
        f"{contract.id} {name} at {at}"
        for at in moments
        for contract in contracts
        if not contract.locked
        for name in sorted(
            _readable(after, stays, contract, at)
            - (_readable(before, stays, contract, at) & _readable(before, ended, contract, at))
        )
    ]


def inherited(
    before: History,
    after: History,
    pair: tuple[str, str],
    contracts: Iterable[Contract],
    at: datetime,
) -> list[str]:
    """Items that the second of `pair`, who is new, did not allow, or that the first refused."""
    first, new = pair
    return [
        f"{contract.id} {name}"
        for contract in contracts
        if not contract.locked
        for name in sorted(
            _readable(after, new, contract, at)
            - (
                _readable(before, new, contract, at)
                & consent.standing(before, first, contract).live(at)
            )
        )
    ]


def _readable(history: History, subject: str, contract: Contract, at: datetime) -> frozenset[str]:
    if consent.frozen(history, subject, contract, at):
        return frozenset()
    return consent.standing(history, subject, contract).live(at)
