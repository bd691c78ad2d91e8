"""Run a compiler as the calling user, and never leave it behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections import deque
from typing import TYPE_CHECKING

from cmhot.errors import ProgramsError
from cmhot.testbed.owner import owner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_TAIL = 12
"""Lines of a failed command that its error repeats: the last ones name the cause."""
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: which signal a process gets when its starter dies."""


def _uid() -> int | None:
    """Return whom child processes run as: under sudo, the user that called it."""
    who = owner()
    return who.uid if who.through_sudo else None


def _gid() -> int | None:
    who = owner()
    return who.gid if who.through_sudo else None


def _dying_with_us() -> Callable[[], None]:
    """Return what a child does before it becomes the command.

    Everything is looked up here:
    between fork and exec as little as possible may happen.
    """
    prctl = ctypes.CDLL(None).prctl
    kill = ctypes.c_ulong(signal.SIGKILL)
    starter = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, kill)
        if os.getppid() != starter:  # it died before it could be told
            os._exit(1)

    return before_exec


def answer(
    command: Sequence[str | Path], *, folder: Path, environ: Mapping[str, str]
) -> str:
    """Return what a short command says; empty when it fails or cannot be started."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
            user=_uid(),
            group=_gid(),
            extra_groups=None if _uid() is None else [],
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
) -> None:
    """Run a command line by line; it does not outlive us.

    An exception here, such as Ctrl-C, ends its whole process group.
    Where we are killed instead, the kernel kills the command:
    `go` starts nothing more then, and the compilers it had started end by themselves.
    Under sudo it runs as the calling user: compilers have no business being root.

    Raises
    ------
    ProgramsError
        When it fails; with its last lines.
    """
    tail: deque[str] = deque(maxlen=_TAIL)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        user=_uid(),
        group=_gid(),
        extra_groups=None if _uid() is None else [],
        preexec_fn=_dying_with_us(),  # noqa: PLW1509 - takes no lock and imports nothing
    ) as child:
        try:
            for line in child.stdout or ():
                tail.append(line.rstrip())
                on_line(line.rstrip())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise
    if child.returncode:
        msg = (
            f"`{' '.join(command[:2])}` failed in {folder.name} with exit code "
            f"{child.returncode}; it said: " + " | ".join(tail)
        )
        raise ProgramsError(msg)
