"""Where a server of its own listens: a port, or an address and a port."""

import re

LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535
_FORM = re.compile(r"(?:(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[1-9][0-9]{0,4})")


def address(text: str) -> tuple[str, int]:
    """The host and port of `9464`, `10.0.0.5:9464` or `[::1]:9464`; alone, a port is of loopback.

    Raises ValueError.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found["port"]) > MAX_PORT:
        raise ValueError(
            "want a port, such as 9464, or an address and a port, such as 10.0.0.5:9464"
        )
    return (found["host"] or LOOPBACK).strip("[]"), int(found["port"])
