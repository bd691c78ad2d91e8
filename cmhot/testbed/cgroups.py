"""The testbed's own cgroup in every hierarchy: made before it, removed after it.

Works on cgroup v1, v2 and the hybrid of both:
what is mounted is read from /proc, never assumed.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def prepare(name: str, nodes: Sequence[str]) -> None:
    """Make the testbed's cgroup with one for each node and one for the programs.

    A kubelet expects its ``cgroupRoot`` to be there.
    """
    for hierarchy in writable_hierarchies():
        for folder in ("programs", *nodes):
            _make(hierarchy, hierarchy / name / folder)


def _make(hierarchy: Path, folder: Path) -> None:
    """Make a cgroup and its parents, able to hold processes."""
    if folder == hierarchy:
        return
    parent = folder.parent
    _make(hierarchy, parent)
    if is_v2(hierarchy):
        available = (parent / "cgroup.controllers").read_text().split()
        enabled = (parent / "cgroup.subtree_control").read_text().split()
        for controller in sorted(set(available) - set(enabled)):
            # one that cannot be had (cpu, with realtime processes) is done without
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    folder.mkdir(exist_ok=True)
    for required in ("cpuset.cpus", "cpuset.mems"):
        # on v1 a cpuset takes no process before both are set
        file = folder / required
        if not is_v2(hierarchy) and file.exists() and not file.read_text().strip():
            file.write_text((parent / required).read_text())


def enter(name: str, pid: int) -> None:
    """Move the testbed's first process into its cgroup, out of its starter's.

    A service manager ends a stopped service's whole cgroup;
    the testbed would go with the notebook server that started it.
    So it would if only `unshare` stayed there, the parent that waits for it
    and whose end is its own (``--kill-child``): both are moved.
    The leaf ``programs`` keeps v2's rule that only leaves hold processes.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    (parent,) = re.findall(r"^PPid:\s+(\d+)$", status, flags=re.MULTILINE)
    # had it died just now, the parent would be the machine's first process
    waits = Path(f"/proc/{parent}/comm").read_text().strip() == "unshare"
    for hierarchy in writable_hierarchies():
        for process in (parent, str(pid)) if waits else (str(pid),):
            (hierarchy / name / "programs" / "cgroup.procs").write_text(process)


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
