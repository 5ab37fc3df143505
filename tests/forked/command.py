"""What a forked process does: it becomes a command of `sovereign`."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def command(
    words: Sequence[str], cwd: Path, env: dict[str, str], stdout: Path, stderr: Path
) -> None:
    """Run one command; what it prints is added to the two files."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((1, stdout), (2, stderr)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["sovereign", *words]
    from portal.cli import main

    main()
