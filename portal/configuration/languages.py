"""The catalogues of a company's languages: those of pages, of notices and of consent records."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gate.contracts.company import Company
from steward.language import catalogue, opposites
from steward.language.catalogue import Catalogue, LanguageError

PAGES = Path(__file__).parents[1] / "web" / "locales"
FOLDERS = (PAGES, catalogue.FOLDER)


def catalogues(company: Company | None = None) -> Mapping[str, Catalogue]:
    """By tag, the one to fall back to first; of all that the product has, without a company.

    Raises LanguageError.
    """
    if company is not None:
        require(company)
    return catalogue.catalogues(FOLDERS, company)


def require(company: Company) -> None:
    """Raises LanguageError with every fault of the company's languages."""
    if wrong := [*faults(company)]:
        raise LanguageError("\n".join(wrong))


def faults(company: Company) -> Iterator[str]:
    """What the catalogues of a company's languages lack or have too much, one a line."""
    yield from catalogue.missing(FOLDERS, company)
    yield from catalogue.strange(FOLDERS, company)


def to_read(company: Company) -> Iterator[str]:
    """What only a reader of a language that the company adds can check, one line a language."""
    for tag, messages in catalogue.added(FOLDERS, company):
        yield (
            f"{tag}: whether two texts are exchanged cannot be found here: have a reader of the "
            f"language look at these pairs, what is allowed first: {opposites.listed(messages)}"
        )
