"""Run ``cmhot`` as a user does: as another process, in a group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cmhot as package

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(package.__file__).parents[1]
TIMEOUT_S = 300.0
"""Longer than any command of the tests takes."""


class Running:
    """A command under way, and what it wrote when it has ended.

    Attributes
    ----------
    process
        The child.
    output, messages
        Standard output and standard error, complete after `wait`.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.output = self.messages = ""
        self._folder = folder

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait for its end; return the exit code.

        Raises
        ------
        subprocess.TimeoutExpired
            When it does not end in time.
        """
        code = self.process.wait(timeout_s)
        self.output = (self._folder / "out").read_text()
        self.messages = (self._folder / "err").read_text()
        return code

    def kill_group(self) -> None:
        """Send SIGKILL to the process and all that it started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def start(
    *arguments: str,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Running]:
    """Start ``cmhot``; who leaves the block before its end, ends it.

    Its output goes to files, so that it never waits for a reader.
    """
    with tempfile.TemporaryDirectory() as name:
        written = Path(name)
        with (written / "out").open("wb") as out, (written / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "cmhot", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                start_new_session=True,
            )
        running = Running(process, written)
        try:
            yield running
        finally:
            if process.poll() is None:
                running.kill_group()
            process.wait()


def run(
    *arguments: str,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[int, str, str]:
    """Run ``cmhot`` to its end: exit code, standard output, standard error."""
    with start(*arguments, environment=environment, folder=folder) as running:
        code = running.wait()
        return code, running.output, running.messages
