"""Which nodes a cluster has, which setting each kubelet has, and how that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.cluster import NODE
from cmhot.errors import ForbiddenError, UsageError
from cmhot.probe import DEFAULT_IMAGE
from cmhot.settings import TTL_ANNOTATION, Setting, parse_duration, parse_strategy

if TYPE_CHECKING:
    from cmhot.cluster import Cluster

DEFAULT_TTL_S = 60.0
"""What a kubelet takes without the annotation
(`defaultTTL`, pkg/kubelet/configmap/configmap_manager.go)."""


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node as the cluster shows it.

    Attributes
    ----------
    name
        Of the Node object.
    hostname
        Its label ``kubernetes.io/hostname``, by which pods are placed.
    kubelet
        Version that the kubelet reports.
    runtime
        Container runtime and version that the kubelet reports.
    setting
        None when it could not be observed.
    source
        ``configz`` or ``unknown``.
    """

    name: str
    hostname: str
    kubelet: str
    runtime: str
    setting: Setting | None
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of run.json's ``settings``."""
        known = self.setting
        return {
            "sync_frequency_s": None if known is None else known.sync_frequency_s,
            "strategy": None if known is None else known.strategy.value,
            "ttl_s": None if known is None else known.ttl_s,
            "source": self.source,
            "kubelet": self.kubelet,
            "runtime": self.runtime,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes of one setting, measured together.

    Attributes
    ----------
    name
        The setting's label value.
    setting
        None when it is not known.
    nodes
        Host names.
    """

    name: str
    setting: Setting | None
    nodes: tuple[str, ...]


def setting_from_configz(
    configuration: dict[str, Any], annotations: dict[str, str]
) -> Setting:
    """Read the three knobs from a kubelet's configuration and its node's annotations.

    Parameters
    ----------
    configuration
        ``kubeletconfig`` of /configz, where durations are Go strings.
    annotations
        Of the Node.
    """
    ttl = annotations.get(TTL_ANNOTATION)
    return Setting(
        sync_frequency_s=parse_duration(configuration["syncFrequency"]),
        strategy=parse_strategy(
            configuration["configMapAndSecretChangeDetectionStrategy"]
        ),
        ttl_s=DEFAULT_TTL_S if ttl is None else float(ttl),
    )


def observe_settings(cluster: Cluster) -> list[ObservedNode]:
    """Ask every node that takes pods for its kubelet's setting.

    A cluster that does not allow it yields ``unknown``, not an error.
    """
    nodes, _ = cluster.list(NODE)
    observed = []
    for node in nodes:
        if node["spec"].get("unschedulable"):
            continue
        meta, info = node["metadata"], node["status"]["nodeInfo"]
        setting, source = None, "unknown"
        try:
            configuration = cluster.kubelet_configuration(meta["name"])
        except ForbiddenError:
            pass
        else:
            annotations = meta.get("annotations") or {}
            setting, source = (
                setting_from_configz(configuration, annotations),
                "configz",
            )
        observed.append(
            ObservedNode(
                name=meta["name"],
                hostname=meta["labels"]["kubernetes.io/hostname"],
                kubelet=info["kubeletVersion"],
                runtime=info["containerRuntimeVersion"],
                setting=setting,
                source=source,
            )
        )
    return observed


def group_by_setting(nodes: list[ObservedNode]) -> list[Group]:
    """Put nodes of one setting together, in the order of their settings.

    Raises
    ------
    UsageError
        When there is no node that takes pods.
    """
    if not nodes:
        msg = "the cluster has no schedulable node: uncordon one, or start a testbed"
        raise UsageError(msg)
    by_setting: dict[Setting | None, list[str]] = {}
    for node in nodes:
        by_setting.setdefault(node.setting, []).append(node.hostname)
    known = sorted(setting for setting in by_setting if setting is not None)
    unknown = [None] if None in by_setting else []
    return [
        Group(
            name="setting-unknown" if setting is None else setting.label,
            setting=setting,
            nodes=tuple(by_setting[setting]),
        )
        for setting in [*known, *unknown]
    ]


def probe_image(cluster: Cluster, wanted: str | None) -> tuple[str, str]:
    """Choose the probes' image and whether nodes may pull it.

    Returns
    -------
    tuple
        Reference and ``imagePullPolicy``.
        A testbed's image is on its nodes already and in no registry.
    """
    if wanted is not None:
        return wanted, "IfNotPresent"
    if cluster.local_image is not None:
        return cluster.local_image, "Never"
    return DEFAULT_IMAGE, "IfNotPresent"
