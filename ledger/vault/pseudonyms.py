"""How customers are named in read logs, by tags and numbers that only their data key gives."""

from collections.abc import Sequence

from ledger.vault import commitments
from ledger.vault.commitments import ReadLogTags
from ledger.vault.vault import Vault


class Pseudonyms:
    """What the writer of a ledger and its followers answer alike, from the key store `_vault`."""

    _vault: Vault

    def subjects(self) -> list[str]:
        """The ids of all customers who have a data key."""
        return [subject for subject, _ in self._vault.data_keys()]

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """The subject's pseudonym in one entry of a read log; random if they have no data key."""
        if (key := self._vault.key(subject)) is None:
            return commitments.random_tag()
        return commitments.read_log_tag(key, log_origin, index)

    def read_log_tags(self, subject: str, log_origin: str) -> ReadLogTags | None:
        """Computes the subject's pseudonyms in one read log; None if they have no data key."""
        return self._vault.read_log_tags(subject, log_origin)

    def entry_tags(self, subjects: Sequence[str], log_origin: str) -> list[ReadLogTags]:
        """See `Vault.entry_tags`."""
        return self._vault.entry_tags(subjects, log_origin)

    def numbers(self, subjects: Sequence[str]) -> dict[str, int]:
        """See `Vault.numbers`."""
        return self._vault.numbers(subjects)

    def named(self, numbers: Sequence[int]) -> dict[int, str]:
        """See `Vault.named`."""
        return self._vault.named(numbers)

    def awaited(self, subjects: Sequence[str]) -> list[str]:
        """See `Vault.awaited`."""
        return self._vault.awaited(subjects)
