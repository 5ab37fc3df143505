"""The error of the vault."""


class VaultError(Exception):
    """A sealed event or a wrapped key cannot be opened: it was altered, or the key is wrong."""
