"""How large a campaign is: a seeded sample in `make test`, its full size in `make prove`."""

_full = False


def run_in_full() -> None:
    """Called by tests/conftest.py before any test module is imported."""
    global _full  # noqa: PLW0603 - one setting of the whole run
    _full = True


def sized(sample: int, full: int) -> int:
    """`sample` in `make test`, `full` in `make prove`."""
    return full if _full else sample
