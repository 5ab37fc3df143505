"""Makes a data key for everybody whom a source knows, so that reads of them can be listed.

An entry of a read log has a customer's tag only if they have a data key, and a set of customers has
only those with a number, which is made with the key. The writer of the ledger makes both when it
starts, and again by a job; a read never does. As long as a customer has no key, the gate treats
their row as missing: see gate.reads.point.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gate.reads.sources import interface
from gate.reads.sources.interface import RowSource, SourceUnavailableError, without_values

ROWS = 8192  # ids in memory
AT_ONCE = 500  # keys made in one transaction of the vault, about 15 ms


class DataKeyWriter(Protocol):
    """The writer of the ledger; what it made is durable when it returns."""

    def create_keys(self, subjects: Sequence[str], /) -> int: ...


def create(ledger: DataKeyWriter, source: RowSource) -> int:
    """Make the data keys that are missing, and return how many.

    Decisions and instructions go on meanwhile. What was made stays made if it fails. Raises
    SourceUnavailableError, and what the ledger raises.
    """
    made = 0
    for ids in _ids(source):
        for at in range(0, len(ids), AT_ONCE):
            made += ledger.create_keys(ids[at : at + AT_ONCE])
    return made


def _ids(source: RowSource) -> Iterator[list[str]]:
    """The ids in the source, in parts; a row without one belongs to nobody."""
    try:
        _, batches = interface.batches(source.everybody([source.key]), ROWS)
        for batch in batches:
            yield [each for each in batch[0].to_pylist() if each is not None]
    except SourceUnavailableError:
        raise
    except Exception as error:
        message = f"the source failed to list its customers: {without_values(error)}"
        raise SourceUnavailableError(message) from error
