"""What a testbed could leave on its host: looked at before and after.

Everything is looked for on the whole host, not only under the testbed's names,
since what is left behind by mistake is seldom where it was meant to be.
Only what other testbeds have, and says so, is passed over.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from cmhot.cluster.testbed import host, layout
from cmhot.cluster.testbed.configuration import KUBELET_KERNEL_SETTINGS

FIXED_PATHS = (
    "/run/containerd",
    "/run/netns",
    "/run/nri",
    "/opt/containerd",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
"""Where the testbed's programs write whatever their configuration."""

PROGRAMS = ("containerd", "ctr", "etcd", "kube", "runc")
"""Beginnings of their names, and of the names of their temporary files."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What is on the host, as far as a testbed could have put it there.

    Mounts, interfaces and routes are those of the host's own namespaces.
    """

    # in the testbed's cgroup, with its folder as an argument, or one of its programs
    # in any PID namespace but ours
    processes: frozenset[str]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    routes: frozenset[str]  # and rules
    cgroups: frozenset[str]  # top-level ones of every hierarchy, with the hierarchy
    files: frozenset[str]  # of the state folder, temporary files and `FIXED_PATHS`
    settings: frozenset[str]  # of the kernel, which a kubelet would change for all

    def added_since(self, before: Traces) -> dict[str, list[str]]:
        """Return what is here now and was not before, by kind; empty: nothing."""
        added = {
            field.name: sorted(getattr(self, field.name) - getattr(before, field.name))
            for field in fields(self)
        }
        return {kind: found for kind, found in added.items() if found}


def look(name: str) -> Traces:
    """Look for traces of the testbed of that name, or of no testbed.

    Testbeds of other names may come and go meanwhile.
    """
    link = layout.link_name(name)

    def ours(line: str) -> bool:
        return "cmhot-" not in line or link in line

    return Traces(
        processes=frozenset(_processes(name)),
        mounts=frozenset(
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        interfaces=frozenset(filter(ours, _ip("-oneline", "link", "show"))),
        routes=frozenset(
            line
            for query in (["route", "show", "table", "all"], ["rule", "show"])
            for line in filter(ours, _ip(*query))
        ),
        cgroups=frozenset(
            str(entry)
            for hierarchy in host.hierarchies()
            for entry in hierarchy.iterdir()
            if entry.is_dir()
            and (
                not entry.name.startswith("cmhot-")
                or entry.name == layout.cgroup_name(name)
            )
        ),
        files=frozenset(_files(name)),
        settings=frozenset(
            f"{setting} = {path.read_text().strip()}"
            for setting in KUBELET_KERNEL_SETTINGS
            if (path := Path("/proc/sys", setting)).exists()
        ),
    )


def _ip(*query: str) -> list[str]:
    answer = subprocess.run(["ip", *query], check=True, capture_output=True, text=True)
    # counters of an interface's traffic are not in it; its state may change
    return [line.partition(" state ")[0] for line in answer.stdout.splitlines()]


def _processes(name: str) -> list[str]:
    mine = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it is no path
    folder, cgroup = str(layout.home(name).folder), layout.cgroup_name(name)
    others = {f":/{group}/" for group in _testbed_cgroups() - {cgroup}}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            namespace = os.readlink(entry / "ns" / "pid")  # noqa: PTH115
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
            groups = (entry / "cgroup").read_text()
            state = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if state[0] == "Z":
            continue  # it has ended; the host's first process is to reap it
        program = Path(arguments.partition("\0")[0]).name
        stray = (
            namespace != mine
            and program.startswith(PROGRAMS)
            and not any(group in groups for group in others)
        )
        if stray or folder in arguments or f":/{cgroup}/" in groups:
            command = arguments.replace("\0", " ").strip()
            found.append(f"{entry.name} (since {state[19]}): {command}")
    return found


def _testbed_cgroups() -> set[str]:
    return {
        entry.name
        for hierarchy in host.hierarchies()
        for entry in hierarchy.glob("cmhot-*")
    }


def _files(name: str) -> list[str]:
    home = layout.home(name)
    found = [path for path in (home.folder, home.lock) if path.exists()]
    found += [Path(path) for path in FIXED_PATHS if Path(path).exists()]
    found += [
        entry
        for entry in Path(tempfile.gettempdir()).iterdir()
        if entry.name.startswith(PROGRAMS)
    ]
    return [str(path) for path in found]
