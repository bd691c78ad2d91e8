"""Find and end the processes of a testbed, whoever started them.

The truth is asked of /proc: no file with a process number is written,
so none can be stale, missing after a crash, or name somebody else's process.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.testbed import supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.clock import Clock

SUPERVISOR = Path(supervisor.__file__).name

NO_ARGUMENTS_S = 0.05
"""While a process replaces its program (execve), /proc shows no arguments of it:
one look that finds nothing proves nothing. It takes about a millisecond."""
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Found:
    """A process of a testbed.

    Attributes
    ----------
    pid
        Its number on the host.
    is_first
        It is the first process of the namespaces, whose death ends all others;
        otherwise it is the `unshare` that waits for it.
    """

    pid: int
    is_first: bool


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _arguments(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [part.decode(errors="replace") for part in text.split(b"\0")[:-1]]


def _inner_pid(pid: int) -> int | None:
    """Return the process's number in its innermost PID namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None


def of_testbed(run_dir: Path) -> Iterator[Found]:
    """Find the supervisor of a testbed and the `unshare` above it, by their arguments.

    Parameters
    ----------
    run_dir
        The run folder of the testbed, which both have as their last argument.
    """
    for pid in _pids():
        arguments = _arguments(pid)
        if (
            len(arguments) > 1
            and arguments[-1] == str(run_dir)
            and Path(arguments[-2]).name == SUPERVISOR
        ):
            yield Found(pid=pid, is_first=_inner_pid(pid) == 1)


def first_process(run_dir: Path) -> int | None:
    """Return the host's number of the namespaces' first process, if it lives."""
    return next((found.pid for found in of_testbed(run_dir) if found.is_first), None)


def in_namespace(pid_namespace: str) -> list[int]:
    """List the processes whose PID namespace is the one named (``pid:[…]``)."""
    members = []
    for pid in _pids():
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115
        except OSError:
            continue
        if namespace == pid_namespace:
            members.append(pid)
    return members


def kill(run_dir: Path, *, clock: Clock, deadline_s: float) -> list[int]:
    """End every process of the testbed by ending the first ones.

    Returns
    -------
    list of int
        Processes that still live when the deadline has passed.
    """
    namespaces: set[str] = set()
    until = clock.monotonic() + deadline_s
    looks_in_vain = 0
    while True:
        found = list(of_testbed(run_dir))
        for process in found:
            # one that has ended meanwhile needs neither
            with contextlib.suppress(OSError):
                if process.is_first:
                    link = f"/proc/{process.pid}/ns/pid"
                    namespaces.add(os.readlink(link))  # noqa: PTH115 - it is no path
                os.kill(process.pid, signal.SIGKILL)
        alive = {process.pid for process in found}
        alive.update(*(in_namespace(namespace) for namespace in namespaces))
        looks_in_vain = 0 if alive else looks_in_vain + 1
        # more than once: see NO_ARGUMENTS_S
        if looks_in_vain * LOOK_S > NO_ARGUMENTS_S or clock.monotonic() > until:
            return sorted(alive)
        clock.sleep(LOOK_S)
