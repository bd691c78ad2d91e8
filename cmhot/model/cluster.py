"""Virtual kubelets behind the cluster port: for tests, and where no testbed can run.

Time is virtual: a collection of minutes takes a second.
Whatever is made from it must say "modelled".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S, VirtualClock
from cmhot.errors import ClusterError, NotFoundError
from cmhot.kubelet import TYPICAL
from cmhot.model.contents import History
from cmhot.model.kubelet import ns
from cmhot.model.nodes import READ_AFTER_S, make_nodes, version_text
from cmhot.port.cluster import CONFIG_MAP, NODE, POD
from cmhot.settings import DEFAULT_SETTINGS, TTL_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.kubelet import Timing
    from cmhot.model.nodes import ModelNode
    from cmhot.model.pods import ModelPod, Volume
    from cmhot.port.cluster import Kind
    from cmhot.settings import Setting

REQUEST_S = 0.005
"""Time a request takes, seconds: about what the testbed's API server needs."""


@dataclass(frozen=True, slots=True)
class _Pod:
    name: str
    labels: dict[str, str]
    node: ModelNode
    inside: ModelPod


class ModelCluster:
    """A modelled cluster; implements `cmhot.port.cluster.Cluster`.

    Parameters
    ----------
    settings
        One node is made for each.
    seed
        Of the kubelets' jitter and phases.
    kubernetes
        Version of the kubelets, such as ``v1.28.15``; None: current.
    timing
        What the kubelets' work costs.

    Raises
    ------
    UsageError
        For a version of which no behaviour is known.
    """

    target = "model"
    modelled = True
    local_image = "model"

    def __init__(
        self,
        settings: Sequence[Setting] = DEFAULT_SETTINGS,
        *,
        seed: int = 1,
        kubernetes: str | None = None,
        timing: Timing = TYPICAL,
    ) -> None:
        self.clock = VirtualClock()
        self._start_ns = self.clock.utc_ns()
        self._kubernetes = kubernetes
        self._nodes = make_nodes(
            settings, seed=seed, kubernetes=kubernetes, timing=timing
        )
        self._pods: dict[str, _Pod] = {}
        self._histories: dict[str, History] = {}
        self._stored: dict[str, int] = {}
        self._version = 1

    def version(self) -> str:
        """Say that there is no Kubernetes behind it, and which one is modelled."""
        return version_text(self._kubernetes)

    def sources(self) -> None:
        """Return None: no programs were started."""
        return

    def _request(self) -> str:
        """Spend a request's time; return a new resource version."""
        self.clock.sleep(REQUEST_S)
        self._version += 1
        return str(self._version)

    @property
    def _now_ns(self) -> int:
        """Nanoseconds since the model's start."""
        return self.clock.utc_ns() - self._start_ns

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Return the two fields that the modelled kubelet has."""
        self._request()
        setting = next(one.setting for one in self._nodes if one.name == node)
        return {
            "syncFrequency": f"{setting.sync_frequency_s:g}s",
            "configMapAndSecretChangeDetectionStrategy": setting.strategy.value,
        }

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Return a ConfigMap's number; other kinds are not kept."""
        self._request()
        if kind != CONFIG_MAP or name not in self._stored:
            raise _absent(kind, name, namespace)
        seq = self._stored[name]
        return {"metadata": {"name": name}, "data": {"seq": str(seq)}}

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,  # noqa: ARG002 - the model has but one
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List nodes or pods."""
        version = self._request()
        if kind == NODE:
            return [self._node_object(node) for node in self._nodes], version
        wanted = (labels or {}).items()
        pods = [pod for pod in self._pods.values() if wanted <= pod.labels.items()]
        return [self._pod_object(pod) for pod in pods], version

    def watch(
        self,
        kind: Kind,  # noqa: ARG002
        *,
        namespace: str,  # noqa: ARG002
        labels: Mapping[str, str],  # noqa: ARG002
        resource_version: str,  # noqa: ARG002
    ) -> Iterator[dict[str, Any]]:
        """Yield nothing: modelled pods are Ready as soon as they are listed."""
        return iter(())

    def _node_object(self, node: ModelNode) -> dict[str, Any]:
        ttl = node.setting.ttl_s
        return {
            "metadata": {
                "name": node.name,
                "labels": {"kubernetes.io/hostname": node.name},
                "annotations": {} if ttl is None else {TTL_ANNOTATION: f"{ttl:g}"},
            },
            "spec": {},
            "status": {
                "nodeInfo": {
                    "kubeletVersion": self.version(),
                    "containerRuntimeVersion": "modelled",
                }
            },
        }

    @staticmethod
    def _pod_object(pod: _Pod) -> dict[str, Any]:
        return {
            "metadata": {
                "name": pod.name,
                "uid": f"uid-{pod.name}",
                "labels": pod.labels,
            },
            "spec": {"nodeName": pod.node.name},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }

    def apply(
        self,
        manifest: Mapping[str, Any],
        *,
        namespace: str | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Take a namespace, a ConfigMap or a Deployment of probes."""
        version = self._request()
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "ConfigMap":
            self._write(name, manifest["data"])
        elif manifest["kind"] == "Deployment":
            self._start_pods(name, manifest["spec"])
        return {**manifest, "metadata": {"name": name, "resourceVersion": version}}

    def _history(self, configmap: str) -> History:
        """Find what a ConfigMap contained; one that is mounted may come later."""
        return self._histories.setdefault(configmap, History())

    def _write(self, configmap: str, data: Mapping[str, str]) -> None:
        number = self._stored[configmap] = int(data["seq"])
        self._history(configmap).write(number, at_ns=self._now_ns)

    def _start_pods(self, name: str, spec: Mapping[str, Any]) -> None:
        template = spec["template"]
        required = template["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        hosts = required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
        nodes = [node for node in self._nodes if node.name in hosts]
        labels = dict(template["metadata"]["labels"])
        mounts = [
            self._history(volume["configMap"]["name"])
            for volume in template["spec"]["volumes"]
            if "configMap" in volume
        ]
        numbers = range(spec["replicas"])
        for turn, node in enumerate(nodes):
            own = numbers[turn :: len(nodes)]
            started = node.kubelet.add([mounts] * len(own), at_ns=self._now_ns)
            for number, pod in zip(own, started, strict=True):
                self._pods[f"{name}-{number}"] = _Pod(
                    f"{name}-{number}", labels, node, pod
                )

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Change a ConfigMap's number, or touch a pod, which syncs it."""
        version = self._request()
        if kind == CONFIG_MAP and name in self._stored:
            self._write(name, body["data"])
        elif kind == POD and name in self._pods:
            pod = self._pods[name]
            pod.node.kubelet.update(pod.inside, at_ns=self._now_ns)
        else:
            raise _absent(kind, name, namespace)
        return {"metadata": {"name": name, "resourceVersion": version}}

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,  # noqa: ARG002
    ) -> None:
        """Forget a ConfigMap; pods stay readable until the cluster goes."""
        self._request()
        if kind == CONFIG_MAP:
            self._stored.pop(name, None)

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,  # noqa: ARG002 - a probe has but one
        since_ns: int | None = None,
    ) -> str:
        """Return what the pod's probe has printed so far of its first ConfigMap."""
        self._request()
        if pod not in self._pods:
            raise _absent(POD, pod, namespace)
        known = self._pods[pod]
        known.node.kubelet.run(self._now_ns)
        if not known.inside.volumes:
            return ""
        return self._render(known.inside.volumes[0], since_ns)

    def _render(self, volume: Volume, since_ns: int | None) -> str:
        """Write the lines that the probe has printed since an instant, and no others.

        As the kubelet does, it starts at the whole second.
        """
        instants, late = volume.instants_ns, ns(READ_AFTER_S)
        first = 0
        if since_ns is not None:
            second_ns = since_ns // NS_PER_S * NS_PER_S
            first = bisect_left(instants, second_ns - self._start_ns - late)
        until = bisect_right(instants, self._now_ns - late)
        if first >= until:
            return ""
        published_ns = np.array(instants[first:until]) + self._start_ns
        read = np.datetime_as_string((published_ns + late).view("M8[ns]"))
        published = np.datetime_as_string(published_ns.view("M8[ns]"))
        lines = [
            f"{stamp}Z publication {number} {modified.replace('T', ' ')} +0000\n"
            for stamp, number, modified in zip(
                read.tolist(),
                volume.numbers[first:until],
                published.tolist(),
                strict=True,
            )
        ]
        return "".join(lines)

    def run_in(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
    ) -> str:
        """Refuse: modelled pods run nothing."""
        msg = (
            f"the model cannot run {command[0]!r} in {namespace}/{pod}/{container}: "
            "look into pods of a real cluster"
        )
        raise ClusterError(msg)


def _absent(kind: Kind, name: str, namespace: str | None) -> NotFoundError:
    """Say that the model has no such object."""
    return NotFoundError(f"the model has no {kind.plural}/{name} in {namespace}")
