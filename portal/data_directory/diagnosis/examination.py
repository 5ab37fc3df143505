"""Runs every examination of `sovereign doctor`; one that fails is a finding and stops no other."""

from collections.abc import Callable, Iterator

from ledger.integrity.finding import FsckFinding
from ledger.storage.database import DatabaseError
from portal.configuration.sources import SettingError
from portal.data_directory.diagnosis import configured, dependencies, files
from portal.operations import company_folder
from portal.operations.settings import Settings

Examination = Callable[[], Iterator[FsckFinding]]


def examine(settings: Settings) -> Iterator[FsckFinding]:
    """Findings about the data directory, its settings, and what they depend on. Writes nothing.

    Raises SettingError, ContractError for a company whose folder cannot be read.
    """
    home = settings.data_dir
    settings, company = company_folder.configured(settings)
    examinations: dict[str, Examination] = {
        "permissions": lambda: files.permissions(home),
        "lock": lambda: files.lock(home),
        "databases": lambda: files.databases(home),
        "settings": lambda: configured.insecure(settings),
        "clock": lambda: dependencies.clock(home),
        "proxy": lambda: dependencies.proxy(settings),
        "mail": lambda: dependencies.mail(settings),
        "source": lambda: dependencies.source(settings, company),
        "witnesses": lambda: dependencies.witnesses(home),
    }
    for name, each in examinations.items():
        try:
            yield from each()
        except (SettingError, DatabaseError) as error:  # a server that does not answer, too
            yield FsckFinding(name, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, the others are looked at
            why = f"the examination ended with {type(error).__name__}"
            yield FsckFinding(name, why, remedy="report it", looked=False)
