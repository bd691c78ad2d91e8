"""Start, look at and take down a testbed; each may be called at any time.

What a crash leaves is no special case:
`up` and `down` look at what is there (processes, interface, cgroups, folder)
and take away what does not belong.
A lock file, released by the kernel when its holder dies,
keeps two of them from working on one testbed at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.clock import SystemClock
from cmhot.errors import TestbedError, UsageError
from cmhot.testbed import cgroups, host, layout, processes
from cmhot.testbed.owner import give_back
from cmhot.testbed.programs import (
    Programs,
    ensure_older_kubelet,
    ensure_programs,
)
from cmhot.testbed.spec import check_name
from cmhot.testbed.start import POLL_S, start
from cmhot.testbed.status import Status, describe, read_record, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cmhot.clock import Clock
    from cmhot.testbed.spec import TestbedSpec

    Report = Callable[[str], None]

__all__ = ["Status", "down", "log_files", "status", "up"]

START_TIMEOUT_S = 120.0
"""Ten times the longest start seen, for a slow or busy machine."""
KILL_TIMEOUT_S = 5.0
CLEAN_TIMEOUT_S = 10.0


def _silent(_: str) -> None:
    """Report nothing."""


@contextlib.contextmanager
def _locked(home: layout.Home, *, report: Report) -> Iterator[None]:
    """Hold the testbed's lock; say so when somebody else has it."""
    home.lock.parent.mkdir(parents=True, exist_ok=True)
    give_back(home.lock.parent)
    while True:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(f"waiting: another cmhot is changing testbed {home.folder.name}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # `down` removes the file: what we locked may no longer be the lock.
            try:
                current = os.stat(home.lock).st_ino  # noqa: PTH116
            except FileNotFoundError:
                continue
            if current != os.fstat(descriptor).st_ino:
                continue
            yield
        finally:
            os.close(descriptor)
        return


def up(
    spec: TestbedSpec,
    *,
    bin_dir: Path | None = None,
    report: Report = _silent,
    clock: Clock | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> Status:
    """Start the testbed, or find it running.

    Parameters
    ----------
    spec
        Its nodes.
    bin_dir
        Folder with programs to use before any others.
    report
        Takes a sentence for each step.
    clock
        For the deadline.
    timeout_s
        From the start of the programs until all nodes are Ready.

    Returns
    -------
    Status
        All nodes are Ready and pods can be created.

    Raises
    ------
    HostError
        The machine cannot run a testbed.
    ProgramsError
        A program could not be had.
    UsageError
        A testbed of that name runs with other nodes.
    TestbedError
        It did not become ready; what was started is gone again.
    """
    clock = clock or SystemClock()
    home = layout.home(spec.name)
    with _locked(home, report=report):
        record = read_record(home)
        if record is not None and processes.first_process(home.run) is not None:
            if record["spec"] != describe(spec):
                running = ", ".join(node["name"] for node in record["spec"]["nodes"])
                msg = (
                    f"testbed {spec.name!r} is running with other nodes ({running}): "
                    f"`cmhot testbed down --name {spec.name}` first, or start this "
                    "one beside it with another --name"
                )
                raise UsageError(msg)
            report(f"testbed {spec.name} is running already")
        else:
            _clear(home, spec.name, clock=clock)
            host.require(nodes=len(spec.nodes))
            programs = _ensure(spec, bin_dir=bin_dir, report=report)
            try:
                start(
                    spec,
                    home,
                    programs,
                    report=report,
                    clock=clock,
                    timeout_s=timeout_s,
                )
            except BaseException:
                _clear(home, spec.name, clock=clock)
                raise
    return status(spec.name)


def _ensure(spec: TestbedSpec, *, bin_dir: Path | None, report: Report) -> Programs:
    """Return all programs; those of older kubelets are named ``VERSION/PROGRAM``."""
    found = ensure_programs(
        kubernetes_version=spec.kubernetes, bin_dir=bin_dir, report=report
    )
    sources = dict(found.sources)
    for version in spec.older_kubelets:
        older = ensure_older_kubelet(version, bin_dir=bin_dir, report=report)
        sources |= {
            f"{version}/{name}": source for name, source in older.sources.items()
        }
    return Programs(sources)


def down(
    name: str = "default", *, report: Report = _silent, clock: Clock | None = None
) -> bool:
    """Take a testbed away, all of it or what is left of it.

    Returns
    -------
    bool
        Whether there was anything.

    Raises
    ------
    TestbedError
        Something could not be removed; the message names it.
    """
    check_name(name)
    home = layout.home(name)
    if not home.lock.parent.is_dir():
        return False
    with _locked(home, report=report):
        found = _clear(home, name, clock=clock or SystemClock())
        home.lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other testbeds may be there
        home.folder.parent.rmdir()
    return found


def _clear(home: layout.Home, name: str, *, clock: Clock) -> bool:
    """End the processes, then remove interface, cgroups and folder."""
    cgroup = layout.cgroup_name(name)
    found = home.folder.exists() or bool(cgroups.roots(cgroup))
    alive = processes.kill(home.run, clock=clock, deadline_s=KILL_TIMEOUT_S)
    if alive:
        msg = f"processes {alive} of testbed {name!r} do not end: try again in a minute"
        raise TestbedError(msg)
    link = layout.link_name(name)
    if Path("/sys/class/net", link).exists():
        # The kernel removes it with the namespace, a little later than the processes.
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
    until = clock.monotonic() + CLEAN_TIMEOUT_S
    while left := cgroups.remove(cgroup):
        if clock.monotonic() > until:
            msg = f"cgroup {left[0]} could not be removed: is a process left in it?"
            raise TestbedError(msg)
        clock.sleep(POLL_S)
    if home.folder.exists():
        shutil.rmtree(home.folder)
    return found


def log_files(name: str = "default") -> dict[str, Path]:
    """Return the log of each program of a running testbed.

    Raises
    ------
    UsageError
        When there is no such testbed.
    """
    check_name(name)
    folder = layout.home(name).logs
    if not folder.is_dir():
        msg = f"there is no testbed {name!r}: start it with `cmhot testbed up`"
        raise UsageError(msg)
    return {path.stem: path for path in sorted(folder.iterdir())}
