"""Checks the two sets of customers that an entry about many of them names, against the state.

The cohort must be exactly those who granted what was asked, and the answer may be about some of
them only. Sets name customers by number. Somebody who was erased since has none any more, and what
they granted cannot be read: a set may have numbers that nobody has, at most as many as customers
were erased since.
"""

from collections.abc import Iterable

import numpy as np

from gate.readlog import customer_sets
from gate.readlog.customer_sets import CustomerSets, MissingSetError
from gate.readlog.writer import ReadLogEntry
from gate.replay import check_entry
from gate.replay.check_entry import COHORT, UNOPENED
from gate.replay.entry_parser import Beginning
from gate.replay.few import EverybodyNeededError
from gate.replay.history import ActiveState, History
from gate.state.consent_index import ConsentIndex
from gate.state.customer_numbers import CustomerNumbers, Numbers
from ledger.follower import Follower


class SetCheck:
    """Checks the sets of one read log."""

    def __init__(self, ledger: Follower, subjects: Iterable[str], sets: CustomerSets) -> None:
        self._ledger, self._sets = ledger, sets
        numbers = ledger.numbers([*subjects])
        self._owners = {number: subject for subject, number in numbers.items()}
        self._of_states: dict[int, CustomerNumbers] = {}

    def finding(
        self, active: ActiveState, logged: ReadLogEntry, beginning: Beginning, past: History
    ) -> str | None:
        """None if the sets follow; UNOPENED, or a description of what was expected.

        `past`: at the entry's ledger size.
        """
        try:
            cohort = self._members(beginning.cohort or "")
            answered = self._members(beginning.answered or "")
        except MissingSetError as error:
            return str(error)
        expected = self._admitted(active, logged, beginning.minute)
        differing = np.setxor1d(cohort, expected).tolist()
        gone = [each for each in differing if each not in self._owners]
        unclear = [each for each in differing if each not in gone and self._has_gaps(each, past)]
        if len(differing) > len(gone) + len(unclear) or len(gone) > past.erased_since():
            return f"{COHORT}of {len(expected)} customers, in which {len(differing)} differ"
        if (wrong := _rows(active, logged, len(answered), len(cohort))) is not None:
            return wrong
        beyond = np.setdiff1d(answered, cohort)
        if logged.action != "search" and not active.plan.always:
            beyond = self._objecting(active, logged, beginning.minute, beyond)
        elif logged.action != "search":
            beyond = beyond[:0]
        if len(beyond):
            return "an answer about customers of the cohort only"
        return UNOPENED if differing else None

    def _members(self, name: str) -> Numbers:
        """Raises MissingSetError, also if the set is another one."""
        stored = self._sets.get(name)
        if customer_sets.digest(stored) != name:
            raise MissingSetError(self._sets.path(name))
        return customer_sets.numbers(stored)

    def _objecting(
        self, active: ActiveState, logged: ReadLogEntry, minute: int, beyond: Numbers
    ) -> Numbers:
        """Those outside the cohort whom an answer may not be about.

        All of them, unless silence covers the read: then those who said something.
        """
        state, wanted = active.state, active.plan.mask(logged.fields) or 0
        if not isinstance(state, ConsentIndex):
            return beyond
        if not state.silence_covers(active.plan.scene.id, wanted):
            return beyond
        others: Numbers = np.intersect1d(beyond, self._admitted(active, logged, minute, False))
        return others

    def _admitted(
        self, active: ActiveState, logged: ReadLogEntry, minute: int, admitted: bool = True
    ) -> Numbers:
        members, state = check_entry.admitted(active, logged, minute), active.state
        if not isinstance(state, ConsentIndex):
            raise EverybodyNeededError
        members = members if admitted else ~members
        numbers = self._of_states.setdefault(id(state), CustomerNumbers(self._ledger.numbers))
        return numbers.of_rows(state.replays, state.subjects.selected(members))

    def _has_gaps(self, number: int, past: History) -> bool:
        return past.entries_erased_since() and self._ledger.gaps(self._owners[number])


def _rows(active: ActiveState, logged: ReadLogEntry, answered: int, cohort: int) -> str | None:
    """Check the number of rows: of a table at least one for each customer who is in the answer.

    If the contract needs no consent, an answer has rows of people whom no set names.
    """
    wanted = cohort if logged.action == "search" else answered
    exact = logged.action != "table" and not active.plan.always
    if logged.rows == wanted or (logged.rows > wanted and not exact):
        return None
    return f"{wanted} rows" if exact else f"{logged.rows} rows of at least {wanted} customers"
