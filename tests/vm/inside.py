"""What the virtual machine of `run.py` does once it has booted, as a systemd service.

It looks at the machine, starts the testbed from another service that then ends,
sees a ConfigMap's change published, takes the testbed down, and looks again.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster import probe, targets
from cmhot.cluster.port import POD
from cmhot.cluster.testbed import layout, lifecycle, status
from cmhot.errors import ClusterError, CmhotError
from cmhot.kubelet.settings import parse_setting
from cmhot.propagation.changes import apply, patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.cluster.port import Cluster

NAME = "vm"
SETTINGS = ("sync=2s", "sync=5s")
PODS_A_NODE = 1
START_TIMEOUT_S = 1200.0
"""Emulated, 103 to 155 s were seen on two busy cores."""
POD_TIMEOUT_S = 600.0
SEEN_TIMEOUT_S = 300.0
GONE_TIMEOUT_S = 60.0
"""For systemd's own: workers that the coming and going of interfaces started."""
POLL_S = 5.0
"""Seldom: each look is several seconds of an emulated processor."""

CGROUPS = Path("/sys/fs/cgroup")
FIXED_PATHS = (
    *("/run/containerd", "/run/netns", "/run/nri", "/var/lib/cni", "/var/lib/kubelet"),
    *("/var/log/containers", "/var/log/pods", "/opt/containerd"),
    *("/usr/libexec/kubernetes", "/etc/cni"),
)
"""What these programs use whatever is configured, and a host must not keep."""
KERNEL_SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic"),
    *("kernel/panic_on_oops", "kernel/keys/root_maxkeys"),
    *("kernel/keys/root_maxbytes", "net/ipv4/ip_forward"),
)
"""What a kubelet sets; the kernel has most of them once, not once a namespace."""


class FailedError(Exception):
    """Something was not as it should be; the message says what."""


def say(text: str) -> None:
    """Print a line onto the console."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def output_of(*command: str) -> str:
    """Return what a command prints, whatever its exit code."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def wait_until(what: str, holds: Callable[[], bool], *, timeout_s: float) -> float:
    """Wait for a condition; return the seconds that it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > timeout_s:
            msg = f"not within {timeout_s:.0f} s: {what}"
            raise FailedError(msg)
        time.sleep(POLL_S)
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Look:
    """What could be left behind, as it is now.

    Attributes
    ----------
    mounts, links, routes, cgroups, files
        As text, one entry a thing.
    processes
        Number and command line of each, this one's kind and the kernel's left out.
    """

    mounts: frozenset[str]
    links: frozenset[str]
    routes: frozenset[str]
    cgroups: frozenset[str]
    files: frozenset[str]
    processes: frozenset[str]

    def new_since(self, before: Look) -> dict[str, list[str]]:
        """Return what is here and was not before."""
        new = {
            name: sorted(getattr(self, name) - getattr(before, name))
            for name in self.__slots__
        }
        return {name: entries for name, entries in new.items() if entries}


def look() -> Look:
    """Look at the whole machine."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    state = layout.all_homes()
    files = [path for path in (*map(Path, FIXED_PATHS), state) if path.exists()]
    return Look(
        mounts=frozenset(line.split()[4] for line in mounts),
        links=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        routes=frozenset(output_of("ip", "route", "show", "table", "all").splitlines()),
        cgroups=frozenset(folder for folder, _, _ in os.walk(CGROUPS)),
        files=frozenset(map(str, files)),
        processes=frozenset(running_processes()),
    )


def kernel_settings() -> dict[str, str]:
    """Read what is set once for the whole machine, and a testbed may change."""
    files = {name: Path("/proc/sys", name) for name in KERNEL_SETTINGS}
    files["controllers enabled"] = CGROUPS / "cgroup.subtree_control"
    return {name: file.read_text().strip() for name, file in files.items()}


def running_processes() -> list[str]:
    """List all processes except this one and the kernel's own."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if arguments:
            command = arguments.replace(b"\0", b" ").decode(errors="replace")[:120]
            found.append(f"{folder.name} {command.strip()}")
    return found


def describe_machine() -> None:
    """Print what is proven on, and refuse anything but cgroup v2 with systemd."""
    kind = output_of("stat", "--file-system", "--format", "%T", str(CGROUPS))
    first = Path("/proc/1/comm").read_text().strip()
    controllers = (CGROUPS / "cgroup.subtree_control").read_text().strip()
    say(f"kernel: {platform.release()}, {os.cpu_count()} processors")
    say(f"systemd: {output_of('systemctl', '--version').splitlines()[0]}")
    say(f"boot: {output_of('systemctl', 'is-system-running', '--wait')}")
    say(f"/sys/fs/cgroup: {kind}; enabled by systemd: {controllers}")
    say(f"virtualisation: {output_of('systemd-detect-virt')}")
    if (kind, first) != ("cgroup2fs", "systemd"):
        msg = f"this is no cgroup v2 with systemd: {kind}, first process {first}"
        raise FailedError(msg)


def start() -> None:
    """Start the testbed; called in a service of its own."""
    wanted = layout.make_spec([parse_setting(text) for text in SETTINGS], name=NAME)
    lifecycle.up(wanted, report=say, timeout_s=START_TIMEOUT_S)
    first = status.first_process(layout.home(NAME))
    say(f"first process {first} is in {cgroup_of(first or 0)}")


def start_from_a_service() -> None:
    """Start it as a notebook server would whose service is then stopped.

    systemd ends what is left in the service's cgroup; the testbed must not be there.
    """
    command = ["systemd-run", "--wait", "--pipe", "--collect", "--quiet"]
    command += ["--property=TimeoutStopSec=5s"]
    for name in ("PYTHONPATH", "HOME", "PYTHONUNBUFFERED"):
        command.append(f"--setenv={name}={os.environ[name]}")
    began = time.monotonic()
    code = subprocess.call([*command, sys.executable, __file__, "start"])
    took = time.monotonic() - began
    status = lifecycle.status(NAME)
    if code != 0 or not status.running:
        state = "lives" if status.running else "is gone"
        msg = f"the starting service ended with {code}, and the testbed {state}"
        raise FailedError(msg)
    say(f"the starting service has ended after {took:.0f} s; the testbed lives on")
    not_ready = [node.name for node in status.nodes if not node.ready]
    if not_ready:
        msg = f"not Ready: {not_ready}"
        raise FailedError(msg)
    say(f"nodes Ready: {', '.join(node.name for node in status.nodes)}")


def cgroup_of(pid: int) -> str:
    """Return the path of a process's cgroup (v2)."""
    return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")


def check_cgroups() -> None:
    """Every process of the testbed is in its own cgroup, pods in their node's."""
    own = CGROUPS / layout.cgroup_name(NAME)
    counts = {
        group.name: sum(
            len(file.read_text().split()) for file in group.rglob("cgroup.procs")
        )
        for group in sorted(own.iterdir())
        if group.is_dir()
    }
    text = ", ".join(f"{group} {count}" for group, count in counts.items())
    say(f"processes in /{own.name}: {text}")
    empty = [group for group, count in counts.items() if count == 0]
    first = status.first_process(layout.home(NAME))
    namespace = Path(f"/proc/{first}/ns/pid").readlink()
    outside = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(process, "ns", "pid").readlink() != namespace:
                continue
            group = cgroup_of(int(process.name))
        except OSError:
            continue  # it has ended
        if not group.startswith(f"/{own.name}/"):
            outside.add(group)
    if empty or outside:
        msg = f"empty cgroups {empty}, processes in cgroups of others {outside}"
        raise FailedError(msg)


def publications(cluster: Cluster, pod: str) -> dict[int | None, int]:
    """Return when each number appeared in a pod, as its log says, in ns."""
    try:
        text = cluster.log(pod, namespace="default", container=probe.CONTAINER)
    except ClusterError:
        return {}
    return {
        line.seq: line.published_ns
        for line in probe.parse_log(text)
        if line.published_ns is not None
    }


def see_a_publication() -> None:
    """Run probe pods on every node, change their ConfigMap, and see them see it."""
    cluster = targets.connect(f"testbed:{NAME}")
    nodes = [node.name for node in lifecycle.status(NAME).nodes]
    manifests: list[dict[str, Any]] = [probe.config_map("shared", run_id=NAME)]
    manifests += [
        probe.deployment(
            f"probe-{node}",
            run_id=NAME,
            group=node,
            configmap="shared",
            nodes=[node],
            replicas=PODS_A_NODE,
            image=cluster.local_image or "",
            pull_policy="Never",
        )
        for node in nodes
    ]
    apply(cluster, manifests)
    wanted = PODS_A_NODE * len(nodes)
    where: dict[str, str] = {}

    def all_see(number: int) -> bool:
        try:
            pods, _ = cluster.list(
                POD, namespace="default", labels={probe.RUN_LABEL: NAME}
            )
        except ClusterError:
            return False  # too busy to answer in time
        where.update(
            {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods}
        )
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        return len(running) == wanted and all(
            number in publications(cluster, pod) for pod in where
        )

    took = wait_until("probes run", lambda: all_see(0), timeout_s=POD_TIMEOUT_S)
    say(f"{wanted} probe pods running after {took:.0f} s")
    check_cgroups()
    update = patch(cluster, "shared", {"seq": "1"})
    took = wait_until("probes see 1", lambda: all_see(1), timeout_s=SEEN_TIMEOUT_S)
    for pod, node in sorted(where.items()):
        delay_s = (publications(cluster, pod)[1] - update.sent_ns) / NS_PER_S
        say(f"publication seen: {pod} on {node}, {delay_s:.2f} s after the patch")


def take_down(before: Look, settings: dict[str, str]) -> None:
    """Take it down by the command, and compare the machine with what it was."""
    running = look().new_since(before)
    counts = ", ".join(f"{len(entries)} {name}" for name, entries in running.items())
    say(f"new on the machine while it runs: {counts}")
    began = time.monotonic()
    command = [sys.executable, "-m", "cmhot", "testbed", "down", "--name", NAME]
    code = subprocess.call(command)
    say(f"down ended with {code} after {time.monotonic() - began:.1f} s")
    say(f"left right after: {look().new_since(before) or 'nothing'}")
    try:
        wait_until(
            "nothing is left",
            lambda: not look().new_since(before),
            timeout_s=GONE_TIMEOUT_S,
        )
    except FailedError as error:
        msg = f"left after down: {look().new_since(before)}"
        raise FailedError(msg) from error
    say("left after down: no mount, link, route, process, cgroup or file")
    changed = [
        f"{name} from {settings[name]} to {value}"
        for name, value in kernel_settings().items()
        if value != settings[name]
    ]
    # Controllers are said, not refused: runc enables them at the root, on v2.
    say(f"kernel settings changed: {'; '.join(changed) or 'none'}")
    if any(not text.startswith("controllers") for text in changed):
        msg = "kernel settings of the whole machine were changed"
        raise FailedError(msg)
    if code != 0:
        msg = f"down ended with {code}"
        raise FailedError(msg)


def prove() -> None:
    """Go through it all."""
    describe_machine()
    before, settings = look(), kernel_settings()
    start_from_a_service()
    see_a_publication()
    take_down(before, settings)


def show_logs() -> None:
    """Print the end of every log, for whoever has to find out."""
    try:
        logs = lifecycle.log_files(NAME)
    except CmhotError:
        return
    for name, path in logs.items():
        for line in path.read_text(errors="replace").splitlines()[-4:]:
            say(f"{name}: {line[:500]}")


def main() -> None:
    """Prove it; the last line is the verdict."""
    if sys.argv[1:] == ["start"]:
        start()
        return
    verdict = "FAILED: unexpected error, see above"
    try:
        prove()
        verdict = "PASSED"
    except (FailedError, CmhotError, OSError, subprocess.SubprocessError) as error:
        show_logs()
        verdict = f"FAILED: {error}".replace("\n", " ")
    finally:
        say(f"VM-TEST {verdict}")


if __name__ == "__main__":
    main()
