"""Virtual kubelets behind the cluster port: for tests, and where no testbed can run.

A renewal model: each pod syncs on its node's one-second tick,
`syncFrequency` times U(1, 1.5) after the sync before (see `cmhot.law`),
and an annotation syncs it at once.
Time is virtual: a collection of minutes takes a second.
Whatever is made from it must say "modelled".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S, VirtualClock
from cmhot.cluster import CONFIG_MAP, NODE, POD
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.law import JITTER, LOOPS_S, TICK_S
from cmhot.settings import DEFAULT_SETTINGS, TTL_ANNOTATION, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.cluster import Kind
    from cmhot.settings import Setting

REQUEST_S = 0.005
"""Time a request takes, seconds: about what the testbed's API server needs."""
FORCED_SYNC_S = (0.0, LOOPS_S)
"""From an annotation to the publication: the two volume loops, uniform in sum."""
READ_AFTER_S = 0.1
"""From a publication to the probe's line: half of its pause, nearly."""


@dataclass(slots=True)
class _Node:
    name: str
    setting: Setting
    tick_s: float
    """Phase of the kubelet's ticker within the second."""


@dataclass(slots=True)
class _Pod:
    name: str
    node: _Node
    labels: dict[str, str]
    configmap: str
    next_sync_s: float
    shown: int | None = None
    log: list[str] = field(default_factory=list)


def _stamp(at_ns: int, end: str) -> str:
    return f"{np.datetime64(at_ns, 'ns')}{end}"


class ModelCluster:
    """A modelled cluster; implements `cmhot.cluster.Cluster`.

    Parameters
    ----------
    settings
        One node is made for each.
    seed
        Of the kubelets' jitter and phases.

    Raises
    ------
    UsageError
        For Cache with a TTL above 0, which this model does not know.
    """

    target = "model"
    modelled = True
    local_image = "model"

    def __init__(
        self, settings: Sequence[Setting] = DEFAULT_SETTINGS, *, seed: int = 1
    ) -> None:
        for setting in settings:
            if setting.strategy is Strategy.CACHE and setting.ttl_s != 0:
                msg = (
                    f"the model does not know {setting}: measure it on a testbed "
                    "(cmhot testbed up --node strategy=Cache,ttl=…)"
                )
                raise UsageError(msg)
        self.clock = VirtualClock()
        self._rng = np.random.default_rng(seed)
        self._nodes = [
            _Node(f"model-{number}", setting, float(self._rng.random()))
            for number, setting in enumerate(settings, start=1)
        ]
        self._pods: dict[str, _Pod] = {}
        self._contents: dict[str, list[tuple[float, int]]] = {}
        self._version = 1

    def version(self) -> str:
        """Say that there is no Kubernetes behind it."""
        return "modelled"

    def sources(self) -> None:
        """Return None: no programs were started."""
        return

    def _request(self) -> str:
        """Spend a request's time; return a new resource version."""
        self.clock.sleep(REQUEST_S)
        self._version += 1
        return str(self._version)

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
        if kind != CONFIG_MAP or name not in self._contents:
            msg = f"the model has no {kind.plural}/{name} in {namespace}"
            raise NotFoundError(msg)
        _, seq = self._contents[name][-1]
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

    @staticmethod
    def _node_object(node: _Node) -> dict[str, Any]:
        return {
            "metadata": {
                "name": node.name,
                "labels": {"kubernetes.io/hostname": node.name},
                "annotations": {TTL_ANNOTATION: f"{node.setting.ttl_s or 0:g}"},
            },
            "spec": {},
            "status": {
                "nodeInfo": {
                    "kubeletVersion": "modelled",
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
            seq = int(manifest["data"]["seq"])
            self._contents.setdefault(name, []).append((self.clock.monotonic(), seq))
        elif manifest["kind"] == "Deployment":
            self._start_pods(name, manifest["spec"])
        return {**manifest, "metadata": {"name": name, "resourceVersion": version}}

    def _start_pods(self, name: str, spec: Mapping[str, Any]) -> None:
        template = spec["template"]
        required = template["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        hosts = required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
        nodes = [node for node in self._nodes if node.name in hosts]
        configmap = template["spec"]["volumes"][0]["configMap"]["name"]
        for number in range(spec["replicas"]):
            pod = _Pod(
                name=f"{name}-{number}",
                node=nodes[number % len(nodes)],
                labels=dict(template["metadata"]["labels"]),
                configmap=configmap,
                next_sync_s=0.0,
            )
            self._sync(pod, self.clock.monotonic())
            self._pods[pod.name] = pod

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Change a ConfigMap's number, or touch a pod, which syncs it."""
        version = self._request()
        now = self.clock.monotonic()
        if kind == CONFIG_MAP:
            self._contents[name].append((now, int(body["data"]["seq"])))
        elif kind == POD:
            pod = self._pods[name]
            self._catch_up(pod)
            low, high = FORCED_SYNC_S
            self._sync(pod, now, read_s=now + float(self._rng.uniform(low, high)))
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
            self._contents.pop(name, None)

    def log(
        self,
        pod: str,
        *,
        namespace: str,  # noqa: ARG002
        container: str,  # noqa: ARG002
        since_ns: int | None = None,  # noqa: ARG002 - the caller knows what it has seen
    ) -> str:
        """Return what the pod's probe has printed so far."""
        self._request()
        self._catch_up(self._pods[pod])
        return "".join(self._pods[pod].log)

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

    def _catch_up(self, pod: _Pod) -> None:
        """Do the periodic syncs that have become due."""
        while pod.next_sync_s <= self.clock.monotonic():
            due = pod.next_sync_s
            delay = float(self._rng.uniform(0, LOOPS_S / 2, 2).sum())
            self._sync(pod, due, read_s=due + delay)

    def _sync(self, pod: _Pod, at_s: float, *, read_s: float | None = None) -> None:
        """Read the content, note it if it is new, and set the next sync."""
        read_s = at_s if read_s is None else read_s
        history = self._contents.get(pod.configmap, [])
        current = next((seq for when, seq in reversed(history) if when <= read_s), None)
        if current is not None and current != pod.shown:
            pod.shown = current
            self._note(pod, current, read_s)
        shortest = pod.node.setting.sync_frequency_s
        ready = at_s + shortest * (1 + JITTER * float(self._rng.random()))
        ticks = math.floor((ready - pod.node.tick_s) / TICK_S) + 1
        pod.next_sync_s = ticks * TICK_S + pod.node.tick_s

    def _note(self, pod: _Pod, seq: int, published_s: float) -> None:
        start_ns = self.clock.utc_ns() - round(self.clock.monotonic() * NS_PER_S)
        published_ns = start_ns + round(published_s * NS_PER_S)
        read_ns = published_ns + round(READ_AFTER_S * NS_PER_S)
        modified = _stamp(published_ns, " +0000").replace("T", " ")
        pod.log.append(f"{_stamp(read_ns, 'Z')} publication {seq} {modified}\n")
