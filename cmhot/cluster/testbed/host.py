"""Whether this machine can run a testbed, and which resources a testbed takes.

These are a free range of addresses for the link to it,
and a cgroup of its own in every hierarchy: made before it, removed after it,
on cgroup v1, v2 and the hybrid of both.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cluster.testbed import image, layout
from cmhot.cluster.testbed.owner import as_root
from cmhot.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


MEMORY_BASE_MIB = 900
"""Memory of the control plane: etcd, API server, controller manager, scheduler."""
MEMORY_NODE_MIB = 250
"""Memory of a kubelet and a containerd with some twenty probe pods and their shims."""
MEMORY_POD_MIB = 12
"""Memory of one more probe pod: its processes and its shim had 9 MiB of their own where
20 ran; the rest is for the kernel's share, generously."""
MEMORY_WORK_MIB = 800
"""Memory of a collection, or of a notebook that reads one."""
INOTIFY_LIMIT = "/proc/sys/fs/inotify/max_user_instances"
INOTIFY_BASE, INOTIFY_NODE = 6, 8
"""Inotify instances of the control plane (4 were seen) and of a node (8 were)."""
TOOLS = ("unshare", "nsenter", "setsid", "ip", "nice", "mount")
FULL_TOOLS = ("unshare", "setsid", "ip")
"""Those of which busybox has too little: no --kill-child, no --fork, no -json."""
TOOLS_REMEDY = (
    "run `apt-get install -y util-linux iproute2 coreutils mount` "
    "(on Alpine `apk add util-linux iproute2 coreutils`)"
)
PROGRAMS = "programs"
"""The testbed's own programs' part of its cgroup; each node's pods have another."""
_MEMBERS = "cgroup.procs"
_LINK_PREFIX = 30
_NARROW_PREFIX = 24
"""Routes as narrow as this are somebody's network, not all of a VPN's."""
_LATER_TABLES = ("main", "local")
"""The tables in which the link's own route lies, or which hold single addresses."""
_NAMED_ROUTES = 3
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement on the machine, and whether it is met."""

    name: str  # what was looked at
    ok: bool
    detail: str  # what was found
    remedy: str | None = None


def checks(*, nodes: int, again: str | None = None) -> list[Check]:
    """Check all requirements of a testbed of so many nodes.

    `again` is the command line for root to run; None: that starts the default testbed.
    The first ones decide whether the later ones can be checked at all,
    so the list ends at the first of these that is not met.
    """
    result = []
    for check in (
        _check_linux,
        _check_architecture,
        lambda: _check_root(again or as_root("testbed", "up")),
        _check_tools,
    ):
        result.append(check())
        if not result[-1].ok:
            return result
    return [
        *result,
        _check_busybox(),
        _check_namespaces(),
        _check_cgroups(),
        _check_memory(nodes),
        check_inotify(nodes),
        _check_addresses(),
    ]


def require(*, nodes: int, again: str | None = None) -> None:
    """Raise an error, with the remedy, if the machine cannot run the testbed."""
    for check in checks(nodes=nodes, again=again):
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


def _check_root(again: str) -> Check:
    user = os.geteuid()
    return Check(
        "root",
        user == 0,
        f"the effective user id is {user}",
        f"run `{again}`: kubelets mount volumes and make cgroups",
    )


def _check_tools() -> Check:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    short = [tool for tool in FULL_TOOLS if tool not in missing and _is_busybox(tool)]
    found = [f"missing: {', '.join(missing)}"] if missing else []
    if short:
        found.append(f"busybox's, which lack options: {', '.join(short)}")
    detail = "; ".join(found) or "unshare, ip, mount found"
    return Check("tools", not found, detail, TOOLS_REMEDY)


def _is_busybox(tool: str) -> bool:
    """Report whether a tool is busybox's, by whatever name it was installed."""
    with contextlib.suppress(OSError):
        answer = subprocess.run(
            [tool, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return b"busybox" in (answer.stdout + answer.stderr).lower()
    return False


def run_tool(command: Sequence[str]) -> str:
    """Return what a tool of the system prints; its failure is told in its own words."""
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        msg = f"`{command[0]}` cannot be started ({error.strerror}): {TOOLS_REMEDY}"
        raise HostError(msg) from error
    if answer.returncode != 0:
        said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        msg = f"`{shlex.join(command)}` failed ({said}): {TOOLS_REMEDY}"
        raise HostError(msg)
    return answer.stdout


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


def check_inotify(nodes: int) -> Check:
    """Check that root has as many inotify instances left as the programs will open.

    A kubelet or containerd that gets none starts all the same,
    and does not notice what changes.
    """
    limit = int(Path(INOTIFY_LIMIT).read_text())
    used = sum(1 for _ in _inotify_instances(user=0))
    needed = INOTIFY_BASE + INOTIFY_NODE * nodes
    return Check(
        "inotify",
        limit - used >= needed,
        f"root has {limit - used} of {limit} inotify instances left, {nodes} nodes "
        f"need {needed}",
        f"run `sysctl fs.inotify.max_user_instances={max(512, used + 2 * needed)}`",
    )


def _inotify_instances(*, user: int) -> Iterator[Path]:
    """Find the open inotify instances of a user's processes, as far as seen."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            if not process.name.isdigit() or process.stat().st_uid != user:
                continue
            for opened in (process / "fd").iterdir():
                with contextlib.suppress(OSError):  # it was closed
                    if os.readlink(opened) == "anon_inode:inotify":  # noqa: PTH115
                        yield opened


@dataclass(frozen=True, slots=True)
class Taken:
    """Addresses that a route or an interface of the host uses."""

    addresses: ipaddress.IPv4Network
    table: str = "main"  # of routes

    def __str__(self) -> str:
        """Name the route."""
        where = "" if self.table in _LATER_TABLES else f" of table {self.table}"
        return f"route {self.addresses}{where}"

    @property
    def yields(self) -> bool:
        """Whether the link's own route would win: the narrower one does.

        Not over a route of another table, whose rule may come before.
        """
        is_wide = self.addresses.prefixlen < _NARROW_PREFIX
        return is_wide and self.table in _LATER_TABLES


@dataclass(frozen=True, slots=True)
class Link:
    """The addresses of the link between the host and a testbed."""

    host: ipaddress.IPv4Address
    inner: ipaddress.IPv4Address
    within: Taken | None = None  # the wider route of which it hides four addresses

    def __str__(self) -> str:
        """Say which addresses are taken, and from whom."""
        if self.within is None:
            return f"{self.host}/{_LINK_PREFIX} is free"
        return (
            f"{self.host}/{_LINK_PREFIX}, four addresses of {self.within}: "
            "no range is quite free"
        )


def taken_ranges() -> list[Taken]:
    """List the address ranges that the host's routes and interfaces use."""
    ranges = []
    for query in (["route", "show", "table", "all"], ["addr", "show"]):
        command = ["ip", "-4", "-json", *query]
        answer = run_tool(command)
        try:
            entries = json.loads(answer or "[]")
        except ValueError as error:
            msg = f"`{shlex.join(command)}` gave no JSON: {TOOLS_REMEDY}"
            raise HostError(msg) from error
        for entry in entries:
            texts = [entry.get("dst")] + [
                f"{info['local']}/{info['prefixlen']}"
                for info in entry.get("addr_info", [])
            ]
            ranges += [
                Taken(
                    ipaddress.IPv4Network(text, strict=False),
                    str(entry.get("table", "main")),
                )
                for text in texts
                if text and text != "default"
            ]
    return ranges


def free_link(taken: Iterable[Taken]) -> Link:
    """Choose the addresses of the link.

    A range inside a wider route, such as a VPN's, is the last resort:
    the link hides four addresses of it.
    """
    taken = list(taken)
    last_resort: Link | None = None
    in_the_way: dict[str, None] = {}
    for candidates in layout.HOST_RANGES:
        for link in candidates.subnets(new_prefix=_LINK_PREFIX):
            over = [other for other in taken if other.addresses.overlaps(link)]
            if not over:
                return Link(link[1], link[2])
            stubborn = [other for other in over if not other.yields]
            if stubborn:
                in_the_way[f"{stubborn[0]}"] = None
            elif last_resort is None:
                narrowest = max(over, key=lambda other: other.addresses.prefixlen)
                last_resort = Link(link[1], link[2], within=narrowest)
    if last_resort is not None:
        return last_resort
    tried = ", ".join(str(candidates) for candidates in layout.HOST_RANGES)
    routes = ", ".join(list(in_the_way)[:_NAMED_ROUTES])
    msg = (
        f"no free address range for the link to the testbed: {tried} overlap {routes}"
        f"{', …' if len(in_the_way) > _NAMED_ROUTES else ''}: `cmhot testbed down` an "
        "old testbed, or free one of these ranges"
    )
    raise HostError(msg)


@contextlib.contextmanager
def addresses_kept() -> Iterator[None]:
    """Keep other starts from choosing addresses until those chosen here are in use.

    The lock is on the network namespace, to which addresses belong,
    and leaves no file; whoever else starts a testbed in it waits.
    """
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_addresses() -> Check:
    try:
        link = free_link(taken_ranges())
    except HostError as error:
        detail, _, remedy = str(error).rpartition(": ")
        return Check("address range", ok=False, detail=detail, remedy=remedy)
    return Check("address range", ok=True, detail=str(link))


def snapshotter(folder: Path, mountinfo: str | None = None) -> str:
    """Choose containerd's snapshotter: overlayfs cannot lie on overlayfs."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    on_overlay = any(
        mount.device == number and mount.kind == "overlay"
        for mount in mounts(mountinfo)
    )
    return "native" if on_overlay else "overlayfs"


def architecture() -> str:
    """Return this machine's architecture as Go spells it."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        msg = f"this machine is {machine}: the programs are pinned for {known}"
        raise HostError(msg)
    return _ARCHITECTURES[machine]


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system (proc_pid_mountinfo(5))."""

    device: str  # major and minor number, as ``0:22``
    place: Path
    kind: str


def mounts(mountinfo: str | None = None) -> list[Mount]:
    """List what is mounted; the text is that of /proc/self/mountinfo unless given."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        found.append(Mount(fields[2], Path(fields[4]), after.split()[0]))
    return found


def hierarchies(mountinfo: str | None = None) -> list[Path]:
    """List where cgroup hierarchies are mounted."""
    kinds = {"cgroup", "cgroup2"}
    return [mount.place for mount in mounts(mountinfo) if mount.kind in kinds]


def writable_hierarchies() -> list[Path]:
    """List the hierarchies in which a cgroup can be made."""
    return [path for path in hierarchies() if os.access(path, os.W_OK)]


def make_cgroups(name: str, nodes: Sequence[str]) -> None:
    """Make the testbed's cgroup with one for each node and one for the programs.

    A kubelet expects its ``cgroupRoot`` to be there.
    """
    for hierarchy in writable_hierarchies():
        for folder in (PROGRAMS, *nodes):
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


@contextlib.contextmanager
def entering_cgroup(name: str) -> Iterator[Callable[[], None]]:
    """Yield what a new process calls to be in the testbed's cgroup from its beginning.

    A service manager ends a stopped service's whole cgroup;
    the testbed would end with the notebook server that started it.
    The leaf ``programs`` keeps v2's rule that only leaves hold processes.
    Between fork and exec as little as possible may happen: all is opened before.
    """
    with contextlib.ExitStack() as opened:
        files = []
        for hierarchy in writable_hierarchies():
            members = hierarchy / name / PROGRAMS / _MEMBERS
            files.append(os.open(members, os.O_WRONLY))
            opened.callback(os.close, files[-1])

        def enter() -> None:
            for file in files:
                os.write(file, b"0")  # the writer itself

        yield enter


def cgroup_members(name: str, group: str = "") -> set[int]:
    """List the processes in the testbed's cgroup, or in one group of it.

    The kernel keeps this list, and only root puts a process on it: whatever a process
    says of itself counts for nothing. Everybody may read it, under ``hidepid`` too.
    """
    found: set[int] = set()
    for root in cgroup_roots(name):
        for folder, _, files in os.walk(root / group):
            if _MEMBERS in files:
                with contextlib.suppress(OSError):  # it is being removed
                    text = Path(folder, _MEMBERS).read_text()
                    found.update(map(int, text.split()))
    return found


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
