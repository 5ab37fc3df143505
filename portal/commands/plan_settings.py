"""Which settings that customers notice change by the next start.

How long reads are kept is what the consent log declares. The others are compared with what the last
start left in the data directory; those that it did not leave are not compared.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate.contracts.company import Company
    from portal.operations.settings import Settings
    from steward.contracts.publication_plan import ChangedSetting

READS_KEPT = "reads_kept_days"


def changed(log: Any, company: "Company", settings: "Settings") -> "tuple[ChangedSetting, ...]":
    """Over a log of its writer or of a follower; None: a new log, which has no earlier settings."""
    from gate.readlog.acts import ReadLogActs
    from portal.operations import company_folder
    from steward.contracts.publication_plan import ChangedSetting

    if log is None:
        return ()
    before = company_folder.remembered_settings(settings.data_dir)
    before[READS_KEPT] = str(ReadLogActs(log).rules().days)
    after = company_folder.noticed(settings, company)
    after[READS_KEPT] = str(settings.reads_kept_days)
    return tuple(
        ChangedSetting(name, before.get(name, ""), after.get(name, ""))
        for name in sorted(_compared(before, after))
        if before.get(name, "") != after.get(name, "")
    )


def _compared(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The names; if the last start left no settings, the time that reads are kept alone."""
    return {*before, *after} if before.keys() > {READS_KEPT} else {READS_KEPT}


def publish(ledger: Any, company: "Company", settings: "Settings") -> None:
    """Declare how long reads are kept, if that changed, and leave what customers notice.

    If we crash in between, the next start or `apply` leaves it.
    """
    from gate.readlog.acts import ReadLogActs
    from ledger import clock
    from ledger.events.envelope import ReadsKept
    from portal.operations import company_folder

    if ReadLogActs(ledger).rules().days != settings.reads_kept_days:
        ledger.announce([ReadsKept(settings.reads_kept_days, clock.now())])
    seen = company_folder.noticed(settings, company)
    company_folder.remember(settings.data_dir, company.folder, seen)
