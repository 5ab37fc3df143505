"""Sets of customers' numbers as read logs store them: a bitmap, the first bit of a byte on top.

    bitmap ‖ 32 random bytes     bit 0 is set

Bit n is the customer with the number n (ledger.vault.vault); nobody has the number 0. Gates write
them (gate.readlog.customer_sets), and whoever looks for one customer tests one bit. Because of the
random bytes the digest of a set, which is published, tells nothing of its members. Sets of earlier
versions have none, and bit 0 is not set.
"""

SALT = 32  # bytes
_SALTED = 0x80  # of the first byte: bit 0


def size(stored: bytes) -> int:
    """How many bytes of a stored set are its bitmap."""
    return len(stored) - SALT if stored and stored[0] & _SALTED else len(stored)


def bitmap(stored: bytes) -> bytes:
    """The set as earlier versions stored it: without random bytes, and bit 0 not set."""
    bits = stored[: size(stored)]
    return bytes([bits[0] & ~_SALTED & 0xFF]) + bits[1:] if bits else bits


def contains(stored: bytes, number: int) -> bool:
    """Whether the customer with this number is a member."""
    at, bit = divmod(number, 8)
    return number > 0 and at < size(stored) and bool(stored[at] >> (7 - bit) & 1)
