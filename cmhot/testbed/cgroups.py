"""The testbed's own cgroup in every hierarchy: made before it, removed after it.

Works on cgroup v1, v2 and the hybrid of both:
what is mounted is read from /proc, never assumed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def hierarchies(mountinfo: str | None = None) -> list[Path]:
    """List where cgroup hierarchies are mounted (proc_pid_mountinfo(5))."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in {"cgroup", "cgroup2"}:
            found.append(Path(before.split()[4]))
    return found


def writable_hierarchies() -> list[Path]:
    """List the hierarchies in which a cgroup can be made."""
    return [path for path in hierarchies() if os.access(path, os.W_OK)]


def enter(name: str, pid: int) -> None:
    """Move a process into a cgroup of its own, out of its starter's.

    A service manager ends a stopped service's whole cgroup;
    the testbed would go with the notebook server that started it.
    The leaf ``programs`` keeps v2's rule that only leaves hold processes.
    """
    for hierarchy in writable_hierarchies():
        leaf = hierarchy / name / "programs"
        # cpuset (v1) takes no process before its cpus and mems are set
        if (hierarchy / "cpuset.cpus").exists() and not is_v2(hierarchy):
            continue
        with contextlib.suppress(OSError):
            leaf.mkdir(parents=True, exist_ok=True)
            (leaf / "cgroup.procs").write_text(str(pid))


def is_v2(hierarchy: Path) -> bool:
    """Tell a v2 hierarchy by the file that only v2 has."""
    return (hierarchy / "cgroup.controllers").exists()


def roots(name: str) -> list[Path]:
    """List the testbed's cgroups that exist, one a hierarchy at most."""
    found = [hierarchy / name for hierarchy in hierarchies()]
    return [path for path in found if path.is_dir()]


def remove(name: str) -> list[Path]:
    """Remove the testbed's cgroups, innermost first.

    Returns
    -------
    list of Path
        What could not be removed yet: the kernel keeps a cgroup
        until its last process is reaped.
    """
    left = []
    for root in roots(name):
        for folder, _, _ in os.walk(root, topdown=False):
            try:
                os.rmdir(folder)  # noqa: PTH106 - a walk gives text
            except FileNotFoundError:
                pass
            except OSError:
                left.append(Path(folder))
    return left
