"""What a testbed is asked to be: nodes with their settings, and a name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import UsageError
from cmhot.settings import DEFAULT_SETTINGS
from cmhot.testbed.versions import KUBERNETES_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.settings import Setting

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
    """

    name: str
    setting: Setting
    index: int


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


def node_names(settings: Sequence[Setting]) -> list[str]:
    """Name nodes after their settings; repeated settings get ``-2``, ``-3``, …."""
    seen: Counter[str] = Counter()
    names = []
    for setting in settings:
        base = setting.label.replace(".ttl-0", "").replace(".", "-")
        seen[base] += 1
        names.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
    return names


def make_spec(
    settings: Sequence[Setting] = DEFAULT_SETTINGS,
    *,
    name: str = "default",
    kubernetes: str = KUBERNETES_VERSION,
) -> TestbedSpec:
    """Check what was asked for and name the nodes.

    Raises
    ------
    UsageError
        For a name that cannot be part of a file or cgroup name, for no nodes,
        or for more than `MAX_NODES`.
    """
    check_name(name)
    if not 1 <= len(settings) <= MAX_NODES:
        msg = (
            f"{len(settings)} nodes are asked for: a testbed has 1 to {MAX_NODES}; "
            "use --name to keep several testbeds"
        )
        raise UsageError(msg)
    nodes = tuple(
        NodeSpec(name=node, setting=setting, index=index)
        for index, (node, setting) in enumerate(
            zip(node_names(settings), settings, strict=True), start=1
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
