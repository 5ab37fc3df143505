"""Job: erase customers who asked for it 72 hours ago; of the others, end what they still allow.

The portal ends grants at the request. If it crashed before, or an import recorded one since, this
job ends them. Under a legal hold the request waits, and is carried out once the hold is lifted.
"""

from datetime import datetime, timedelta

from ledger import clock
from ledger.service import UnknownSubjectError
from portal.consent import departure, wording
from portal.jobs import failure
from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations.erasure import Eraser
from portal.operations.wiring import Product
from portal.storage.departures import Departure, Departures
from portal.web import i18n
from steward.oversight.legal_hold import Holds

NAME = "departures"
EVERY = timedelta(minutes=1)
LIMIT = timedelta(minutes=10)


class Leaving:
    """Carries requests out, one by one: one that fails delays no other."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._departures = Departures(product.home)
        self._words = i18n.load(product.company)

    def run(self, at: datetime) -> None:
        """Raises JobError, after trying all, if one failed."""
        errors = []
        for each in self._departures.waiting():
            try:
                self._carry_out(each, at)
            except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
                errors.append(error)
        if errors:
            raise JobError(f"{len(errors)} requests failed; the first: {failure.line(errors[0])}")

    def _carry_out(self, request: Departure, at: datetime) -> None:
        ledger, subject = self._product.ledger, request.subject
        if at < request.due or clock.doubt() is not None:
            spoken = self._words.get(request.locale) or next(iter(self._words.values()))
            said = wording.of_act(departure.ACT, spoken)
            departure.end_grants(ledger, self._product.scenes, subject, said, at)
            return
        register = self._product.register()
        if Holds(register).of(subject) is not None:
            return
        try:
            Eraser(self._product.home, ledger, register).customer(subject, at)
        except UnknownSubjectError:  # erased meanwhile, or a crash came before the request's end
            self._departures.end(subject)


def job(product: Product, every: timedelta = EVERY) -> Job:
    leaving = Leaving(product)
    return Job(NAME, every, leaving.run, limit=LIMIT)
