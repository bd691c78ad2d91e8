"""Whether this machine can run a testbed, and which resources a testbed takes.

These are a free range of addresses for the link to it,
and a cgroup of its own in every hierarchy: made before it, removed after it,
on cgroup v1, v2 and the hybrid of both.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cluster.testbed import image, layout
from cmhot.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


MEMORY_BASE_MIB = 900
"""Memory of the control plane: etcd, API server, controller manager, scheduler."""
MEMORY_NODE_MIB = 250
"""Memory of a kubelet and a containerd with some twenty probe pods and their shims."""
MEMORY_POD_MIB = 12
"""Memory of one more probe pod: its processes and its shim had 9 MiB of their own where
20 ran; the rest is for the kernel's share, generously."""
MEMORY_WORK_MIB = 800
"""Memory of a collection, or of a notebook that reads one."""
_OVERLAYFS_MAGIC = "overlayfs"
_LINK_PREFIX = 30
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement on the machine, and whether it is met."""

    name: str  # what was looked at
    ok: bool
    detail: str  # what was found
    remedy: str | None = None


def checks(*, nodes: int) -> list[Check]:
    """Check all requirements of a testbed of so many nodes.

    The first ones decide whether the later ones can be checked at all,
    so the list ends at the first of these that is not met.
    """
    result = []
    for check in (_check_linux, _check_architecture, _check_root, _check_tools):
        result.append(check())
        if not result[-1].ok:
            return result
    return [
        *result,
        _check_busybox(),
        _check_namespaces(),
        _check_cgroups(),
        _check_memory(nodes),
        _check_addresses(),
    ]


def require(*, nodes: int) -> None:
    """Raise an error, with the remedy, if the machine cannot run the testbed."""
    for check in checks(nodes=nodes):
        if not check.ok:
            msg = f"no testbed here: {check.detail}; {check.remedy}"
            raise HostError(msg)


def runs_linux() -> bool:
    """Report whether this machine's kernel is Linux."""
    return platform.system() == "Linux"


def _check_linux() -> Check:
    system = platform.system()
    return Check(
        "Linux",
        runs_linux(),
        f"this is {system}",
        "run it on a Linux machine, or measure an existing cluster: "
        "--target context:NAME",
    )


def _check_architecture() -> Check:
    machine = platform.machine()
    return Check(
        "architecture",
        machine in _ARCHITECTURES,
        f"the machine is {machine}",
        "the testbed's programs are pinned for x86_64 and aarch64 only",
    )


def _check_root() -> Check:
    user = os.geteuid()
    return Check(
        "root",
        user == 0,
        f"the effective user id is {user}",
        "start it through sudo: kubelets mount volumes and make cgroups",
    )


def _check_tools() -> Check:
    missing = [
        tool
        for tool in ("unshare", "nsenter", "setsid", "ip", "nice", "mount")
        if shutil.which(tool) is None
    ]
    return Check(
        "tools",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "unshare, ip, mount found",
        "run `apt-get install -y util-linux iproute2 coreutils mount`",
    )


def _check_busybox() -> Check:
    try:
        found = image.find_busybox()
    except HostError as error:
        return Check("static busybox", ok=False, detail=str(error))
    return Check("static busybox", ok=True, detail=f"{found}")


def _check_namespaces() -> Check:
    command = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork"]
    remedy = (
        "allow them: in a container, start it with --privileged; on a machine, "
        "look at /proc/sys/user/max_*_namespaces"
    )
    try:
        answer = subprocess.run(
            [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return Check("namespaces", ok=False, detail="no unshare here", remedy=remedy)
    detail = "can be made" if answer.returncode == 0 else answer.stderr.strip()
    return Check("namespaces", answer.returncode == 0, detail, remedy)


def _check_cgroups() -> Check:
    writable = writable_hierarchies()
    return Check(
        "cgroups",
        bool(writable),
        f"{len(writable)} writable hierarchies",
        "mount /sys/fs/cgroup writable: in a container, start it with --privileged "
        "and --cgroupns=host",
    )


def available_memory_mib(meminfo: str) -> int:
    """Read MemAvailable from the text of /proc/meminfo, in MiB."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def room_for_pods() -> int:
    """Return how many small pods the free memory is enough for, beside the work.

    The work is collecting and one notebook after the other.
    """
    available = available_memory_mib(Path("/proc/meminfo").read_text())
    return max(available - MEMORY_WORK_MIB, 0) // MEMORY_POD_MIB


def _check_memory(nodes: int) -> Check:
    needed = MEMORY_BASE_MIB + MEMORY_NODE_MIB * nodes
    found = available_memory_mib(Path("/proc/meminfo").read_text())
    return Check(
        "memory",
        found >= needed,
        f"{found} MiB available, {nodes} nodes need about {needed} MiB",
        "free some memory or start fewer nodes with --node",
    )


def taken_ranges() -> list[ipaddress.IPv4Network]:
    """List the address ranges that the host's routes and interfaces use."""
    ranges = []
    for query in (["route", "show", "table", "all"], ["addr", "show"]):
        answer = subprocess.run(
            ["ip", "-4", "-json", *query], check=True, capture_output=True, text=True
        )
        for entry in json.loads(answer.stdout or "[]"):
            texts = [entry.get("dst")] + [
                f"{info['local']}/{info['prefixlen']}"
                for info in entry.get("addr_info", [])
            ]
            ranges += [
                ipaddress.IPv4Network(text, strict=False)
                for text in texts
                if text and text != "default"
            ]
    return ranges


def free_link(
    taken: Iterable[ipaddress.IPv4Network],
) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """Choose the addresses of the link: the host's end and the testbed's end."""
    taken = list(taken)
    for candidates in layout.HOST_RANGES:
        for link in candidates.subnets(new_prefix=_LINK_PREFIX):
            if not any(link.overlaps(other) for other in taken):
                return link[1], link[2]
    tried = ", ".join(str(candidates) for candidates in layout.HOST_RANGES)
    msg = (
        f"no free address range for the link to the testbed: {tried} overlap routes "
        "of this host; remove a route, or `cmhot testbed down` an old testbed"
    )
    raise HostError(msg)


def _check_addresses() -> Check:
    try:
        host, _ = free_link(taken_ranges())
    except (HostError, FileNotFoundError, subprocess.CalledProcessError) as error:
        remedy = "free one of the ranges named"
        return Check("address range", ok=False, detail=str(error), remedy=remedy)
    return Check("address range", ok=True, detail=f"{host}/{_LINK_PREFIX} is free")


def snapshotter(folder: Path) -> str:
    """Choose containerd's snapshotter: overlayfs cannot lie on overlayfs."""
    answer = subprocess.run(
        ["stat", "--file-system", "--format", "%T", folder],
        check=True,
        capture_output=True,
        text=True,
    )
    return "native" if answer.stdout.strip() == _OVERLAYFS_MAGIC else "overlayfs"


def architecture() -> str:
    """Return this machine's architecture as Go spells it."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        msg = f"this machine is {machine}: the programs are pinned for {known}"
        raise HostError(msg)
    return _ARCHITECTURES[machine]


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


def make_cgroups(name: str, nodes: Sequence[str]) -> None:
    """Make the testbed's cgroup with one for each node and one for the programs.

    A kubelet expects its ``cgroupRoot`` to be there.
    """
    for hierarchy in writable_hierarchies():
        for folder in ("programs", *nodes):
            _make_cgroup(hierarchy, hierarchy / name / folder)


def _make_cgroup(hierarchy: Path, folder: Path) -> None:
    """Make a cgroup and its parents, able to hold processes."""
    if folder == hierarchy:
        return
    parent = folder.parent
    _make_cgroup(hierarchy, parent)
    if is_v2(hierarchy):
        available = (parent / "cgroup.controllers").read_text().split()
        enabled = (parent / "cgroup.subtree_control").read_text().split()
        for controller in sorted(set(available) - set(enabled)):
            # an unavailable controller (cpu, with realtime processes) is left out
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    folder.mkdir(exist_ok=True)
    for required in ("cpuset.cpus", "cpuset.mems"):
        # on v1 a cpuset takes no process before both are set
        file = folder / required
        if not is_v2(hierarchy) and file.exists() and not file.read_text().strip():
            file.write_text((parent / required).read_text())


def enter_cgroup(name: str, pid: int) -> None:
    """Move the testbed's first process into its cgroup, out of its starter's.

    A service manager ends a stopped service's whole cgroup;
    the testbed would end with the notebook server that started it.
    So it would if only its parent `unshare` stayed there, whose end
    also ends the first process (``--kill-child``): both are moved.
    The leaf ``programs`` keeps v2's rule that only leaves hold processes.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    (parent,) = re.findall(r"^PPid:\s+(\d+)$", status, flags=re.MULTILINE)
    # if it died just now, the parent is the machine's first process
    waits = Path(f"/proc/{parent}/comm").read_text().strip() == "unshare"
    for hierarchy in writable_hierarchies():
        for process in (parent, str(pid)) if waits else (str(pid),):
            (hierarchy / name / "programs" / "cgroup.procs").write_text(process)


def is_v2(hierarchy: Path) -> bool:
    """Recognise a v2 hierarchy by the file that only v2 has."""
    return (hierarchy / "cgroup.controllers").exists()


def cgroup_roots(name: str) -> list[Path]:
    """List the testbed's cgroups that exist, one a hierarchy at most."""
    found = [hierarchy / name for hierarchy in hierarchies()]
    return [path for path in found if path.is_dir()]


def remove_cgroups(name: str) -> list[Path]:
    """Remove the testbed's cgroups, innermost first; return what is left.

    The kernel keeps a cgroup until its last process is reaped.
    """
    left = []
    for root in cgroup_roots(name):
        for folder, _, _ in os.walk(root, topdown=False):
            try:
                os.rmdir(folder)  # noqa: PTH106 - a walk gives text
            except FileNotFoundError:
                pass
            except OSError:
                left.append(Path(folder))
    return left
