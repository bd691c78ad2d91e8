"""The layout of a testbed: its nodes, and all names, addresses and paths.

Inside the testbed's namespaces everything lives under one fixed folder,
`INSIDE`, whatever the state folder is called outside:
socket paths stay short (sun_path holds 107 bytes)
and no configuration file depends on the user.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.owner import state_dir
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION, older_kubelet
from cmhot.errors import UsageError
from cmhot.kubelet.settings import (
    DEFAULT_SETTINGS,
    Setting,
    format_seconds,
    parse_setting,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


MAX_NODES = 12
"""More kubelets than this disturb each other's ticks on an ordinary machine."""
INSIDE = PurePosixPath("/run/cmhot")
BIN = INSIDE / "bin"
STATE = INSIDE / "state"
PKI = STATE / "pki"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
API_PORT = 443
"""Port of the Service `kubernetes`, too: its address is one of the testbed's own, so
that pods reach the API server through it without a kube-proxy."""
EARLIER_API_PORT = 6443
"""Port of a testbed whose record names none."""
KUBELET_PORT = 10250
CONTROLLER_PORT = 10257
SCHEDULER_PORT = 10259
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
NODE_RANGE = ipaddress.IPv4Network("100.64.86.0/24")
"""Addresses of the kubelets, on the loopback interface inside the testbed."""
POD_RANGE = ipaddress.IPv4Network("100.64.128.0/17")
"""Each node takes a /24 of it, which bounds the pods of a node to about 250."""
SERVICE_RANGE = ipaddress.IPv4Network("100.64.64.0/20")
API_SERVICE_ADDRESS = str(SERVICE_RANGE[1])
"""Address of the Service `kubernetes`: always the first of the range."""
DNS_ADDRESS = str(SERVICE_RANGE[10])
"""Where pods look names up: nobody answers, and they are told so at once."""
HOST_RANGES = (
    ipaddress.IPv4Network("10.213.0.0/24"),
    ipaddress.IPv4Network("172.31.213.0/24"),
    ipaddress.IPv4Network("192.168.213.0/24"),
    # for benchmarks (RFC 2544): free where a company routes all private ranges
    ipaddress.IPv4Network("198.18.213.0/24"),
)
"""The link to the host takes the first free /30 of these; it alone is seen outside."""
SETTING_LABEL = "cmhot.dev/setting"
KUBELET_LABEL = "cmhot.dev/kubelet"
"""Splits a summary by the kubelet's version (`cmhot summarise --by`)."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: a kubelet with its own containerd."""

    name: str
    setting: Setting
    index: int  # 1 for the first node; its addresses derive from it
    kubelet: str = KUBERNETES_VERSION  # version, such as ``v1.37.1``

    @property
    def address(self) -> str:
        """Address at which the node's kubelet answers the API server."""
        return str(NODE_RANGE[self.index])

    @property
    def pod_subnet(self) -> str:
        """The node's /24 of `POD_RANGE`."""
        return str(list(POD_RANGE.subnets(new_prefix=24))[self.index])

    @property
    def state(self) -> PurePosixPath:
        """The folder of the node's own files inside the testbed."""
        return STATE / self.name

    @property
    def mount_namespace(self) -> PurePosixPath:
        """The file that keeps the mount namespace of a node which needs one."""
        return INSIDE / f"{self.name}.mnt"


@dataclass(frozen=True, slots=True)
class TestbedSpec:
    """The specification of a testbed, the same for each of its starts."""

    __test__ = False  # pytest collects classes that start with "Test"

    name: str  # part of file, interface and cgroup names
    nodes: tuple[NodeSpec, ...]
    kubernetes: str = KUBERNETES_VERSION  # version of the programs, such as ``v1.37.1``

    @property
    def older_kubelets(self) -> tuple[str, ...]:
        """Return the versions of kubelets that are not the testbed's own, once each."""
        versions = dict.fromkeys(node.kubelet for node in self.nodes)
        return tuple(version for version in versions if version != self.kubernetes)

    def programs_folder(self, node: NodeSpec) -> PurePosixPath:
        """Return the folder of a node's programs: an older kubelet's are apart."""
        return BIN if node.kubelet == self.kubernetes else BIN / node.kubelet


def make_spec(
    settings: Sequence[Setting] = DEFAULT_SETTINGS,
    *,
    name: str = "default",
    kubernetes: str = KUBERNETES_VERSION,
    kubelets: Sequence[str | None] = (),
) -> TestbedSpec:
    """Check the request and name the nodes.

    `settings` has one for each node, `kubelets` the version of each node's kubelet:
    None is `kubernetes`, and so are all when it is empty.
    """
    check_name(name)
    if not 1 <= len(settings) <= MAX_NODES:
        msg = (
            f"{len(settings)} nodes are asked for: a testbed has 1 to {MAX_NODES}; "
            "use --name to keep several testbeds"
        )
        raise UsageError(msg)
    versions = [version or kubernetes for version in kubelets or [None] * len(settings)]
    for version in versions:
        if version != kubernetes:
            older_kubelet(version)
    suffixes = ["" if version == kubernetes else f".{version}" for version in versions]
    nodes = tuple(
        NodeSpec(name=node, setting=setting, index=index, kubelet=version)
        for index, (node, setting, version) in enumerate(
            zip(_node_names(settings, suffixes), settings, versions, strict=True),
            start=1,
        )
    )
    return TestbedSpec(name=name, nodes=nodes, kubernetes=kubernetes)


def check_name(name: str) -> None:
    """Refuse a testbed name that could not be part of a path or a cgroup."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        msg = (
            f"{name!r} cannot name a testbed: use up to 32 lower-case letters, "
            "digits and inner hyphens"
        )
        raise UsageError(msg)


def _node_names(settings: Sequence[Setting], suffixes: Sequence[str]) -> list[str]:
    """Name nodes after their settings; repeated names get ``-2``, ``-3``, …."""
    seen: Counter[str] = Counter()
    names = []
    for setting, suffix in zip(settings, suffixes, strict=True):
        base = setting.label.replace(".ttl-0", "") + suffix
        base = base.replace(".", "-")
        seen[base] += 1
        names.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
    return names


def parse_node(text: str) -> tuple[Setting, str | None]:
    """Read ``sync=10s,strategy=Watch,kubelet=v1.26.15`` as the command line gives it.

    The second value is the version of the kubelet; None: the testbed's own.
    """
    parts = text.split(",")
    kubelets = [part for part in parts if part.strip().startswith("kubelet=")]
    if len(kubelets) > 1:
        msg = f"'kubelet' is given twice in {text!r}: keep one of them"
        raise UsageError(msg)
    rest = ",".join(part for part in parts if part not in kubelets)
    setting = parse_setting(rest) if rest else Setting()
    return setting, kubelets[0].partition("=")[2].strip() if kubelets else None


def options(spec: TestbedSpec) -> list[str]:
    """Write the options of ``cmhot testbed up`` that ask for a testbed."""
    result = ["--name", spec.name] if spec.name != "default" else []
    if spec.kubernetes != KUBERNETES_VERSION:
        result += ["--kubernetes", spec.kubernetes]
    if spec == make_spec(name=spec.name, kubernetes=spec.kubernetes):
        return result
    for node in spec.nodes:
        setting = node.setting
        parts = [f"sync={format_seconds(setting.sync_frequency_s)}"]
        parts.append(f"strategy={setting.strategy.value}")
        if setting.ttl_s:
            parts.append(f"ttl={setting.ttl_s:g}")
        if node.kubelet != spec.kubernetes:
            parts.append(f"kubelet={node.kubelet}")
        result += ["--node", ",".join(parts)]
    return result


def link_name(name: str) -> str:
    """Name the host's end of the link; interface names have at most 15 characters."""
    return f"cmhot-{_mark(name)}"


def cgroup_name(name: str) -> str:
    """Name the testbed's own cgroup below the root of every hierarchy."""
    return f"cmhot-{name}-{_mark(name)}"


def _mark(name: str) -> str:
    """Tell apart testbeds of one name that belong to different users or homes."""
    folder = os.path.realpath(home(name).folder)
    return hashlib.sha256(folder.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one testbed outside its namespaces.

    It is ``<state dir>/testbed/<name>`` and belongs to the calling user.
    """

    folder: Path

    @property
    def lock(self) -> Path:
        """Lock file of the process that changes this testbed."""
        return self.folder.parent / f".{self.folder.name}.lock"

    @property
    def run(self) -> Path:
        """State of the running programs; made anew at each start."""
        return self.folder / "run"

    @property
    def logs(self) -> Path:
        """One log a program, and the API server's audit log."""
        return self.run / "logs"

    @property
    def client(self) -> Path:
        """The starter's certificate, with which its owner may ask for the status."""
        return self.folder / "client"

    @property
    def kubeconfig(self) -> Path:
        """The only file a user needs; mode 0600."""
        return self.folder / "kubeconfig"

    @property
    def record(self) -> Path:
        """Record of the start; present only while the testbed is complete."""
        return self.folder / "testbed.json"


def all_homes() -> Path:
    """Return the folder that holds every testbed of the calling user."""
    return state_dir() / "testbed"


def home(name: str) -> Home:
    """Return the folder of the testbed of that name."""
    return Home(all_homes() / name)
