"""Names, addresses and paths of a testbed: decided here and nowhere else.

Inside the testbed's namespaces everything lives under one fixed folder,
`INSIDE`, whatever the state folder is called outside:
socket paths stay short (sun_path holds 107 bytes)
and no configuration file depends on who the user is.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.owner import state_dir

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.cluster.testbed.spec import NodeSpec


INSIDE = PurePosixPath("/run/cmhot")
BIN = INSIDE / "bin"
STATE = INSIDE / "state"
PKI = STATE / "pki"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
API_PORT = 443
"""Of the Service `kubernetes`, too: its address is one of the testbed's own, so
that pods reach the API server through it without a kube-proxy."""
EARLIER_API_PORT = 6443
"""Of a testbed whose record names no port."""
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
HOST_RANGES = (
    ipaddress.IPv4Network("10.213.0.0/24"),
    ipaddress.IPv4Network("172.31.213.0/24"),
    ipaddress.IPv4Network("192.168.213.0/24"),
)
"""The link to the host takes the first free /30 of these; it alone is seen outside."""
SETTING_LABEL = "cmhot.dev/setting"
KUBELET_LABEL = "cmhot.dev/kubelet"
"""Splits a summary by the kubelet's version (`cmhot summarise --by`)."""


def node_address(node: NodeSpec) -> str:
    """Return the address at which the node's kubelet answers the API server."""
    return str(NODE_RANGE[node.index])


def programs_folder(node: NodeSpec, *, kubernetes: str) -> PurePosixPath:
    """Return the folder of the node's own programs: an older kubelet's are apart."""
    return BIN if node.kubelet == kubernetes else BIN / node.kubelet


def mount_namespace(node: NodeSpec) -> PurePosixPath:
    """Return the file that keeps the mount namespace of a node which needs one."""
    return INSIDE / f"{node.name}.mnt"


def pod_subnet(node: NodeSpec) -> str:
    """Return the node's /24 of `POD_RANGE`."""
    subnets = list(POD_RANGE.subnets(new_prefix=24))
    return str(subnets[node.index])


def api_service_address() -> str:
    """Return the first address of the service range: the Service `kubernetes`."""
    return str(SERVICE_RANGE[1])


def link_name(name: str) -> str:
    """Name the host's end of the link; interface names have at most 15 characters."""
    return f"cmhot-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def cgroup_name(name: str) -> str:
    """Name the testbed's own cgroup below the root of every hierarchy."""
    return f"cmhot-{name}"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one testbed outside its namespaces.

    Attributes
    ----------
    folder
        ``<state dir>/testbed/<name>``; belongs to the calling user.
    """

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by whoever changes this testbed."""
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
        """What was started; present only while the testbed is complete."""
        return self.folder / "testbed.json"


def all_homes() -> Path:
    """Return the folder that holds every testbed of the calling user."""
    return state_dir() / "testbed"


def home(name: str) -> Home:
    """Return the folder of the testbed of that name."""
    return Home(all_homes() / name)
