"""What is started tells why it failed, and is never left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cmhot
from cmhot.cluster.testbed.programs.build import answer, run
from cmhot.errors import ProgramsError

STARTER = """
import os, pathlib
from cmhot.cluster.testbed.programs.build import run
run(
    ["sh", "-c", "echo $$; exec sleep 600"],
    folder=pathlib.Path("/"),
    environ=os.environ,
    on_line=lambda line: print(line, flush=True),
)
"""


def test_interrupt_ends_the_group(tmp_path: Path) -> None:
    """Ctrl-C while a compiler runs ends its whole process group."""
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            ["sh", "-c", "echo $$; sleep 600 & exec sleep 600"],
            folder=tmp_path,
            environ=os.environ,
            on_line=interrupt,
        )

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_failure_is_told(tmp_path: Path) -> None:
    """A command that fails is quoted with what it said last."""
    with pytest.raises(ProgramsError, match=r"exit code 3; it said: .*no such module"):
        run(
            ["sh", "-c", "echo no such module >&2; exit 3"],
            folder=tmp_path,
            environ=os.environ,
            on_line=lambda _: None,
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_starter_takes_its_child_along(number: signal.Signals) -> None:
    """The child of a killed process dies too, though nothing could be cleaned up."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        env=os.environ | {"PYTHONPATH": str(Path(cmhot.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        child = os.pidfd_open(int(starter.stdout.readline()))
        alive = select.select([child], [], [], 0)[0] == []
        starter.send_signal(number)
        # readable means ended; ten seconds only bound a failure, it takes milliseconds
        ended = select.select([child], [], [], 10)[0] == [child]
        if not ended:
            signal.pidfd_send_signal(child, signal.SIGKILL)
    os.close(child)

    assert (alive, ended, starter.returncode) == (True, True, -number)


def test_answer(tmp_path: Path) -> None:
    """A short command's answer has no line end; none is given by what fails."""
    sh = ["sh", "-c"]

    assert answer([*sh, "echo yes"], folder=tmp_path, environ=os.environ) == "yes"
    assert answer([*sh, "echo; exit 1"], folder=tmp_path, environ=os.environ) == ""
    assert answer(["/nowhere/go"], folder=tmp_path, environ=os.environ) == ""
