"""What a testbed is asked to be: nodes with their settings, and a name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.versions import KUBERNETES_VERSION, older_kubelet
from cmhot.errors import UsageError
from cmhot.kubelet.settings import DEFAULT_SETTINGS, Setting, parse_setting

if TYPE_CHECKING:
    from collections.abc import Sequence


MAX_NODES = 12
"""More kubelets than this disturb each other's ticks on an ordinary machine."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: a kubelet with its own containerd.

    Attributes
    ----------
    name
        Node name in Kubernetes.
    setting
        What the kubelet is configured to.
    index
        1 for the first node; its addresses derive from it.
    kubelet
        Version of its kubelet, such as ``v1.37.1``.
    """

    name: str
    setting: Setting
    index: int
    kubelet: str = KUBERNETES_VERSION


@dataclass(frozen=True, slots=True)
class TestbedSpec:
    """All that two starts of the same testbed have in common.

    Attributes
    ----------
    name
        Keeps testbeds apart; part of file, interface and cgroup names.
    nodes
        In the order asked for.
    kubernetes
        Version of the Kubernetes programs, such as ``v1.37.1``.
    """

    __test__ = False  # pytest collects classes that start with "Test"

    name: str
    nodes: tuple[NodeSpec, ...]
    kubernetes: str = KUBERNETES_VERSION

    @property
    def older_kubelets(self) -> tuple[str, ...]:
        """Return the versions of kubelets that are not the testbed's own, once each."""
        versions = dict.fromkeys(node.kubelet for node in self.nodes)
        return tuple(version for version in versions if version != self.kubernetes)


def parse_node(text: str) -> tuple[Setting, str | None]:
    """Read ``sync=10s,strategy=Watch,kubelet=v1.26.15`` as the command line gives it.

    Returns
    -------
    Setting
        As `cmhot.kubelet.settings.parse_setting` reads it.
    str or None
        Version of the kubelet; None: the testbed's own.

    Raises
    ------
    UsageError
        As `cmhot.kubelet.settings.parse_setting`, or for a kubelet given twice.
    """
    parts = text.split(",")
    kubelets = [part for part in parts if part.strip().startswith("kubelet=")]
    if len(kubelets) > 1:
        msg = f"'kubelet' is given twice in {text!r}: keep one of them"
        raise UsageError(msg)
    rest = ",".join(part for part in parts if part not in kubelets)
    setting = parse_setting(rest) if rest else Setting()
    return setting, kubelets[0].partition("=")[2].strip() if kubelets else None


def node_names(settings: Sequence[Setting], suffixes: Sequence[str]) -> list[str]:
    """Name nodes after their settings; repeated names get ``-2``, ``-3``, …."""
    seen: Counter[str] = Counter()
    names = []
    for setting, suffix in zip(settings, suffixes, strict=True):
        base = setting.label.replace(".ttl-0", "") + suffix
        base = base.replace(".", "-")
        seen[base] += 1
        names.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
    return names


def make_spec(
    settings: Sequence[Setting] = DEFAULT_SETTINGS,
    *,
    name: str = "default",
    kubernetes: str = KUBERNETES_VERSION,
    kubelets: Sequence[str | None] = (),
) -> TestbedSpec:
    """Check what was asked for and name the nodes.

    Parameters
    ----------
    settings
        One for each node.
    name
        Of the testbed.
    kubernetes
        Version of its programs.
    kubelets
        Version of each node's kubelet, None for `kubernetes`; empty: all are that.

    Raises
    ------
    UsageError
        For a name that cannot be part of a file or cgroup name, for no nodes,
        for more than `MAX_NODES`, or for a kubelet whose version is not pinned.
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
            zip(node_names(settings, suffixes), settings, versions, strict=True),
            start=1,
        )
    )
    return TestbedSpec(name=name, nodes=nodes, kubernetes=kubernetes)


def check_name(name: str) -> None:
    """Refuse a testbed name that could not be part of a path or a cgroup.

    Raises
    ------
    UsageError
        Unless the name is a short DNS label.
    """
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        msg = (
            f"{name!r} cannot name a testbed: use up to 32 lower-case letters, "
            "digits and inner hyphens"
        )
        raise UsageError(msg)
