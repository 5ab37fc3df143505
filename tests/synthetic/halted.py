"""A command of `sovereign`, halted before it changes a file again.

As soon as the file contains a text, the next attempt to replace or remove it prints a line and
waits for a signal. So the parent knows what is on the disk when it sends one, whatever the
machine's speed.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.forked.command import command

HALTED = "halted\n"


def halted(
    path: Path, text: str, words: Sequence[str], cwd: Path, stdout: Path, stderr: Path
) -> None:
    """Run a command in this process, which is halted before it changes `path` with `text` in it."""
    halt_before_a_change(path, text)
    command(words, cwd, dict(os.environ), stdout, stderr)


def halt_before_a_change(path: Path, text: str) -> None:
    """`path` is replaced by way of a new file beside it."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in changes and str(arguments[0]) == changes[event] and contains(path, text):
            os.write(1, HALTED.encode())
            while True:  # signal.pause() would miss a signal that comes just before it
                time.sleep(0.05)

    changes = {"open": f"{path}.new", "os.remove": str(path)}
    sys.addaudithook(hook)


def contains(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()
