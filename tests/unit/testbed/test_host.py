"""What a machine lacks is said in one sentence, before anything is started."""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from cmhot.cluster.testbed import host, image
from cmhot.cluster.testbed.host import hierarchies
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


def networks(*texts: str) -> list[ipaddress.IPv4Network]:
    """Make networks."""
    return [ipaddress.IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ((), ("10.213.0.1", "10.213.0.2")),
        (("10.213.0.0/30",), ("10.213.0.5", "10.213.0.6")),
        (("10.0.0.0/8",), ("172.31.213.1", "172.31.213.2")),
    ],
)
def test_the_link_overlaps_no_route(
    taken: tuple[str, ...], expected: tuple[str, str]
) -> None:
    """The first free /30 is taken, in the next range if need be."""
    assert tuple(map(str, host.free_link(networks(*taken)))) == expected


def test_no_free_range_is_one_sentence() -> None:
    """When everything is taken the ranges that were tried are named."""
    taken = networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")

    with pytest.raises(HostError, match=r"10\.213\.0\.0/24.*overlap routes"):
        host.free_link(taken)


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


def all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every other check hold, wherever the tests run."""
    well = host.Check("well", ok=True, detail="")
    for name in ("linux", "architecture", "root", "tools", "busybox"):
        monkeypatch.setattr(host, f"_check_{name}", lambda: well)
    for name in ("namespaces", "cgroups", "addresses"):
        monkeypatch.setattr(host, f"_check_{name}", lambda: well)


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
