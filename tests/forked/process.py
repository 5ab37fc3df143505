"""Commands of `sovereign`, each forked from one process that has the product's modules loaded.

A process of Python's own needs more than a second for its imports, and the suite starts hundreds.
A forked one differs from `python -m portal.cli` in two things: the modules are there already, and
what read_once.py names, the messages and the list of commands are not read again. The installed
command is started by the tests that use `INSTALLED` of tests/features/served.py, and by
tests/test_story.py.
"""

import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.forked.command import command

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.forked.preloaded"])
forkserver.ensure_running()  # before the product starts one of its own with other modules: replay


class Forked:
    """A running command: what the tests use of `subprocess.Popen`."""

    def __init__(
        self, words: Iterable[str], cwd: Path, env: Mapping[str, str], stdout: Path, stderr: Path
    ) -> None:
        arguments = ([*words], cwd, dict(env), stdout, stderr)
        self._process: BaseProcess = _FORKS.Process(target=command, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        assert status is not None, f"still running after {timeout} s"
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)


def run(
    words: Iterable[str], cwd: Path, env: Mapping[str, str], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of `sovereign` to its end."""
    words = [*words]
    with TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        status = Forked(words, cwd, env, stdout, stderr).wait(timeout)
        return subprocess.CompletedProcess(
            words, status, stdout.read_text("utf-8"), stderr.read_text("utf-8")
        )


def begin(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that calls a function of a module."""
    process: BaseProcess = _FORKS.Process(target=function, args=arguments)
    process.start()
    return process


def call(function: Callable[..., None], *arguments: object) -> int:
    """The exit status of a process that calls a function of a module and ends."""
    process = begin(function, *arguments)
    process.join()
    status = process.exitcode
    assert status is not None
    return status
