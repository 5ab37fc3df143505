"""`sovereign`, halted before it changes a file again: `halted.py FILE TEXT ARGUMENTS`.

As soon as FILE contains TEXT, the next attempt to replace or remove FILE prints a line and waits
for a signal. So the parent knows what is on the disk when it sends one, whatever the machine's
speed.
"""

import os
import sys
import time
from pathlib import Path

from portal.cli import main


def halt_before_a_change(path: Path, text: str) -> None:
    """`path` is replaced by way of a new file beside it."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in changes and str(arguments[0]) == changes[event] and contains(path, text):
            os.write(1, b"halted\n")
            while True:  # signal.pause() would miss a signal that comes just before it
                time.sleep(0.05)

    changes = {"open": f"{path}.new", "os.remove": str(path)}
    sys.addaudithook(hook)


def contains(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()


if __name__ == "__main__":
    halt_before_a_change(Path(sys.argv[1]), sys.argv[2])
    sys.argv[1:] = sys.argv[3:]
    main()
