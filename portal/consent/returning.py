"""Binds the signing key of a customer who was erased and signs in again (portal.auth).

The sign-in enrols the key in the session's name, on words of its own. From then on it is a key like
any other: allowing takes its signature, and a lost one is recovered in 72 hours.
"""

from contextlib import suppress
from datetime import datetime

from ledger.events.acts import KeyEnrolled
from ledger.service import VersionConflictError
from portal.auth.passkeys import PasskeyError
from portal.auth.returning_keys import ReturningKey
from portal.auth.session import Notice, Session
from portal.consent import acts, keys, wording
from portal.consent.acts import Wanted
from portal.web.i18n import Words
from portal.web.pages import PortalContext

ACT = "key-returned"  # names the words: wording.shown_of_act
ATTEMPTS = 3


def bind(here: PortalContext, session: Session, spoken: Words) -> None:
    """Enrol the key that the customer signed with before they were erased, if there is one.

    Raises VersionConflictError if instructions of the customer keep coming in between.
    """
    kept = here.returning_keys.of(session.subject)
    if kept is None:
        return
    for attempt in range(ATTEMPTS):
        try:
            _enrol(here, session, kept, spoken, here.clock())
            break
        except VersionConflictError:
            if attempt == ATTEMPTS - 1:
                raise
    if kept.credential is not None:
        with suppress(PasskeyError):  # it is stored already
            here.credentials.keep(session.subject, kept.credential, kept.key.id)
    # Crash here: the next sign-in finds the key enrolled, and deletes the row.
    here.returning_keys.forget(session.subject)


def _enrol(
    here: PortalContext, session: Session, kept: ReturningKey, spoken: Words, at: datetime
) -> None:
    ledger = here.product.ledger
    state = session.agreement.state(ledger)
    if keys.authority(state).keys:
        return
    notice = Notice("keys", f"did.{ACT}")
    version = state.seq if state else 0
    wanted = Wanted(KeyEnrolled(kept.key), wording.of_act(ACT, spoken), version, notice)
    acts.record(ledger, session, wanted, at)
