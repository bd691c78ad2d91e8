"""What a machine lacks is said in one sentence, before anything is started."""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from cmhot.cluster.testbed import host, image
from cmhot.cluster.testbed.host import Taken, hierarchies
from cmhot.errors import HostError

V1 = "25 1 0:22 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu"
V2 = "26 1 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"
OTHER = "27 1 0:24 / /tmp rw - tmpfs tmpfs rw"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OTHER, []),
        (V1, ["/sys/fs/cgroup/cpu"]),
        (f"{V1}\n{OTHER}\n{V2}", ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"]),
    ],
    ids=["none", "v1", "hybrid"],
)
def test_hierarchies_are_read_not_assumed(text: str, expected: list[str]) -> None:
    """Cgroup v1, v2 and hybrid are told apart by what is mounted."""
    assert [str(path) for path in hierarchies(text)] == expected


def test_available_memory_is_read_in_mib() -> None:
    """MemAvailable counts, not MemFree."""
    text = "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:   2048000 kB\n"

    assert host.available_memory_mib(text) == 2000
    assert host.available_memory_mib("") == 0


def taken(*texts: str, table: str = "main") -> list[Taken]:
    """Make routes."""
    return [Taken(ipaddress.IPv4Network(text), table) for text in texts]


PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ((), "10.213.0.1"),
        (("10.213.0.0/30",), "10.213.0.5"),
        (("10.213.0.0/24",), "172.31.213.1"),
        (("10.0.0.0/8",), "172.31.213.1"),
        (PRIVATE, "198.18.213.1"),
    ],
)
def test_the_link_overlaps_no_route(routes: tuple[str, ...], expected: str) -> None:
    """The first free /30 is taken, in the next range if need be."""
    link = host.free_link(taken(*routes))

    assert (str(link.host), link.inner, link.within) == (expected, link.host + 1, None)


@pytest.mark.parametrize(
    ("routes", "expected", "within"),
    [
        (("0.0.0.0/1", "128.0.0.0/1"), "10.213.0.1", "0.0.0.0/1"),
        (("10.213.0.0/24", "0.0.0.0/0"), "172.31.213.1", "0.0.0.0/0"),
        ((*PRIVATE, "198.18.0.0/15"), "10.213.0.1", "10.0.0.0/8"),
    ],
)
def test_a_vpns_routes_give_way(
    routes: tuple[str, ...], expected: str, within: str
) -> None:
    """The link's own route is narrower than a VPN's, and wins; the VPN's is named."""
    link = host.free_link(taken(*routes))

    assert str(link.host) == expected
    assert f"four addresses of route {within}" in str(link)


def test_no_free_range_names_the_routes() -> None:
    """Routes of other tables may come first, and narrow ones are somebody's network."""
    routes = taken("10.0.0.0/8", table="52") + taken("128.0.0.0/1", table="52")

    with pytest.raises(
        HostError,
        match=r"overlap route 10\.0\.0\.0/8 of table 52, route 128\.0\.0\.0/1",
    ):
        host.free_link(routes)


def test_starts_wait_for_each_others_addresses() -> None:
    """Whoever chooses addresses holds a lock that another one would wait for."""
    with host.addresses_kept():
        other = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(other)


def test_not_linux_names_the_other_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another system the list ends there, and the remedy is another target."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")

    with pytest.raises(HostError, match=r"this is Darwin; .*context:NAME"):
        host.require(nodes=1)


def test_not_root_says_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubelets need root."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(HostError, match="sudo"):
        host.require(nodes=1)


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tool that is missing is named with the package that has it."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        shutil, "which", lambda tool: None if tool == "ip" else f"/bin/{tool}"
    )

    with pytest.raises(
        HostError, match=r"missing: ip; run `apt-get install .*iproute2"
    ):
        host.require(nodes=1)


def as_tools(folder: Path, script: str, *names: str) -> None:
    """Make programs of these names that do the same."""
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_busyboxs_tools_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ip and unshare are busybox's, their packages are named beforehand."""
    usage = "echo 'BusyBox v1.36.1 multi-call binary.' >&2; exit 1"
    as_tools(tmp_path, usage, *host.TOOLS)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(HostError, match=r"busybox's.*: unshare, setsid, ip; .*apk add"):
        host.require(nodes=1)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'ip: invalid option' >&2; exit 1",
            r"`ip .*failed \(ip: invalid option\)",
        ),
        ("exit 7", r"`ip .*failed \(exit code 7\)"),
        ("echo 'inet 10.0.0.1'", "no JSON"),
        (None, "`ip` cannot be started"),
    ],
)
def test_a_tool_that_fails_is_one_sentence(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a tool says is passed on, with the packages that have the right one."""
    if script is not None:
        as_tools(tmp_path, script, "ip")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(HostError, match=f"{said}.*: run `apt-get install"):
        host.taken_ranges()


def test_too_few_inotify_instances_name_the_sysctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubelet without one starts, and does not notice changes."""
    limit = tmp_path / "max_user_instances"
    monkeypatch.setattr(host, "INOTIFY_LIMIT", str(limit))
    monkeypatch.setattr(host, "_inotify_instances", lambda **_: iter([tmp_path] * 120))

    limit.write_text("128\n")
    few = host.check_inotify(2)
    limit.write_text("1024\n")

    assert not few.ok
    assert "8 of 128 inotify instances" in few.detail
    assert few.remedy == "run `sysctl fs.inotify.max_user_instances=512`"
    assert host.check_inotify(2).ok


def test_inotify_instances_are_counted() -> None:
    """One that this process opens is found among its user's."""
    before = len(list(host._inotify_instances(user=os.geteuid())))
    opened = [ctypes.CDLL(None).inotify_init() for _ in range(5)]
    try:
        found = len(list(host._inotify_instances(user=os.geteuid())))
    finally:
        for descriptor in opened:
            os.close(descriptor)

    # other processes may close some meanwhile
    assert found > before


@pytest.mark.parametrize(
    ("kind", "expected"), [("overlay", "native"), ("ext4", "overlayfs")]
)
def test_overlayfs_does_not_lie_on_itself(
    kind: str, expected: str, tmp_path: Path
) -> None:
    """The file system of the state folder decides, as the kernel names it."""
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mountinfo = f"1 0 {number} / / rw - {kind} x rw\n2 1 0:999 / /x rw - overlay x rw"

    assert host.snapshotter(tmp_path, mountinfo) == expected


def all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every other check hold, wherever the tests run."""
    well = host.Check("well", ok=True, detail="")
    monkeypatch.setattr(host, "_check_root", lambda _: well)
    for name in ("linux", "architecture", "tools", "busybox"):
        monkeypatch.setattr(host, f"_check_{name}", lambda: well)
    for name in ("namespaces", "cgroups", "addresses"):
        monkeypatch.setattr(host, f"_check_{name}", lambda: well)
    monkeypatch.setattr(host, "check_inotify", lambda _: well)


def test_too_little_memory_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve nodes need some 4 GiB, and the machine has 100 MiB."""
    all_well(monkeypatch)
    monkeypatch.setattr(host, "available_memory_mib", lambda _: 100)

    with pytest.raises(HostError, match="12 nodes need about 3900 MiB; free some"):
        host.require(nodes=12)


def test_forbidden_namespaces_say_privileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unshare says is passed on, with the remedy."""
    check = host._check_namespaces
    all_well(monkeypatch)
    monkeypatch.setattr(host, "_check_namespaces", check)
    refused = "unshare: unshare failed: Operation not permitted\n"
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda *_, **__: subprocess.CompletedProcess([], 1, stdout="", stderr=refused),
    )

    with pytest.raises(HostError, match=r"Operation not permitted; .*--privileged"):
        host.require(nodes=1)


def test_the_test_machines_shell_is_not_static() -> None:
    """Python itself needs a loader, so it could not be the probe's shell."""
    assert image.is_static(Path("/proc/self/exe")) is False
    assert image.is_static(Path(__file__)) is False


def test_a_missing_busybox_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe's image cannot be made without it."""
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(HostError, match="busybox-static"):
        image.find_busybox()
