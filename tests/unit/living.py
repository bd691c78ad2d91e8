"""A cluster in memory whose containers hold content, and get it when they are synced.

It implements the port and what explain, wait and refresh need besides, on a virtual
clock: one Deployment ``web`` whose pods mount the ConfigMap ``m`` at /etc/v, and take
its key ``a`` as the variable ``A`` where that is asked for.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.clock import VirtualClock
from cmhot.cluster.port import DEPLOYMENT, NODE, POD, Captured
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.propagation.methods import AUTOSCALER, BUDGET
from cmhot.propagation.workload import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.cluster.rights import Right
    from cmhot.kubelet.uses import Kind

Object = dict[str, Any]
SYNC_S = 0.1
"""From a touch to the publication."""
NEVER = float("inf")


@dataclass(slots=True)
class Inside:
    """What a pod's container holds.

    Attributes
    ----------
    file, variable
        Content of the key at the last publication, and at the start.
    due_s
        When it will be published anew.
    """

    file: str
    variable: str
    due_s: float = NEVER


@dataclass(slots=True)
class Living:
    """The cluster.

    Attributes
    ----------
    env
        Whether the pods take a variable too.
    every_s
        How long after an update a pod has it by itself.
    blind
        Pods without `cat`.
    deaf
        Pods that a touch does not refresh; counted down with each touch.
    forbidden
        Plurals that may not be listed.
    asked
        Requests, by verb and plural.
    die_after
        Writes after which the caller dies, as by SIGKILL; None: it does not.
    late
        Whether somebody changes the Deployment just after it was read.
    refuses
        Whether kubelets may not be asked.
    is_silent
        Whether kubelets give no answer.
    """

    env: bool = False
    every_s: float = NEVER
    blind: set[str] = field(default_factory=set)
    deaf: Counter[str] = field(default_factory=Counter)
    forbidden: set[str] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    die_after: int | None = None
    late: bool = False
    refuses: bool = False
    is_silent: bool = False
    annotations: dict[str, str] = field(default_factory=dict)
    setting: dict[str, str] = field(default_factory=dict)
    target: str = "fake"
    modelled: bool = False
    local_image: str | None = "image"
    namespace: str = "default"
    clock: VirtualClock = field(default_factory=VirtualClock)
    inside: dict[str, Inside] = field(default_factory=dict)
    others: dict[str, list[Object]] = field(default_factory=dict)
    configmap: Object = field(default_factory=dict)
    deployment: Object = field(default_factory=dict)
    born: int = 0

    def __post_init__(self) -> None:
        """Start with content "1" and no pods."""
        self.configmap = {
            "kind": "ConfigMap",
            "metadata": {"name": "m"},
            "data": {"a": "1"},
        }
        self.setting = self.setting or {
            "syncFrequency": "1m0s",
            "configMapAndSecretChangeDetectionStrategy": "Watch",
        }

    def deploy(self, replicas: int) -> None:
        """Make the Deployment and its pods."""
        container: Object = {
            "name": "c",
            "volumeMounts": [{"name": "v", "mountPath": "/etc/v"}],
        }
        if self.env:
            ref = {"configMapKeyRef": {"name": "m", "key": "a"}}
            container["env"] = [{"name": "A", "valueFrom": ref}]
        spec = {
            "containers": [container],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}],
        }
        labels = {"app": "web"}
        self.deployment = {
            "metadata": {
                "name": "web",
                "generation": 1,
                "resourceVersion": "1",
                "annotations": {},
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
        self._replace()

    def update(self, value: str) -> None:
        """Write the ConfigMap; pods get it by themselves after `every_s`."""
        self.configmap["data"] = {"a": value}
        for one in self.inside.values():
            one.due_s = self.clock.monotonic() + self.every_s

    def _replace(self) -> None:
        """Make all pods anew."""
        number = self.deployment["spec"]["replicas"]
        value = self.configmap["data"]["a"]
        self.inside = {
            f"web-5f-{self.born + i}": Inside(value, value) for i in range(number)
        }
        self.born += number
        self.deployment["status"] = {
            "observedGeneration": self.deployment["metadata"]["generation"],
            "replicas": number,
            "updatedReplicas": number,
            "availableReplicas": number,
        }

    def _pod(self, name: str) -> Object:
        meta = {
            "name": name,
            "uid": name,
            "labels": {"app": "web", "pod-template-hash": "5f"},
            "ownerReferences": [
                {"kind": "ReplicaSet", "name": "web-5f", "controller": True}
            ],
        }
        status = {"name": "c", "containerID": name, "state": {"running": {}}}
        spec = copy.deepcopy(self.deployment["spec"]["template"]["spec"])
        return {
            "metadata": meta,
            "spec": {**spec, "nodeName": "n"},
            "status": {"phase": "Running", "containerStatuses": [status]},
        }

    def _of(self, kind: Kind) -> list[Object]:
        if kind == POD:
            return [self._pod(name) for name in self.inside]
        if kind == DEPLOYMENT:
            return [self.deployment]
        if kind == CONFIG_MAP:
            return [self.configmap]
        if kind == NODE:
            info = {"kubeletVersion": "v1.37.1"}
            meta = {"name": "n", "annotations": self.annotations}
            return [{"metadata": meta, "status": {"nodeInfo": info}}]
        return self.others.get(kind.plural, [])

    def _ask(self, verb: str, kind: Kind) -> None:
        self.asked[verb, kind.plural] += 1
        if verb == "list" and kind.plural in self.forbidden:
            raise ForbiddenError(f"list {kind.plural} is not allowed")

    def version(self) -> str:
        """Tell the version."""
        return "v1.37.1"

    def sources(self) -> None:
        """Tell nothing."""
        return

    def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Object:
        """Return a copy."""
        self._ask("get", kind)
        for one in self._of(kind):
            if one and one["metadata"]["name"] == name:
                return copy.deepcopy(one)
        raise NotFoundError(f"no {kind.plural}/{name} in {namespace}")

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,  # noqa: ARG002 - there is but one
        labels: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> tuple[list[Object], str]:
        """Return copies."""
        self._ask("list", kind)
        return copy.deepcopy([one for one in self._of(kind) if one]), "1"

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[Object]]:
        """Yield two objects a page."""
        found, _ = self.list(kind, namespace=namespace, labels=labels)
        for start in range(0, len(found), 2):
            yield found[start : start + 2]

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """Return names."""
        found, _ = self.list(kind, namespace=namespace)
        return [one["metadata"]["name"] for one in found]

    def capture(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> Captured:
        """Read what the container holds now."""
        self.asked["exec", container] += 1
        assert namespace
        if pod in self.blind and container == "c":
            return Captured(None, b"", "no such file")
        if pod not in self.inside:
            raise NotFoundError(f"no pod {pod}")
        held = self.inside[pod]
        if self.clock.monotonic() >= held.due_s:
            held.file, held.due_s = self.configmap["data"]["a"], NEVER
        if command[-1].endswith("/environ"):
            return Captured(0, f"A={held.variable}\0".encode(), "")
        if command[:2] == ["ls", "-A"]:
            return Captured(0, b"a\n", "")
        assert command[-1].endswith("/etc/v/a")
        return Captured(0, held.file.encode(), "")

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Note that it was asked for; it never starts here."""
        self.asked["ephemeral", pod] += 1
        assert namespace
        assert container["targetContainerName"] == "c"

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> Object:
        """Touch a pod, or change the Deployment, whose pods follow at once."""
        self._ask("patch", kind)
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                raise KeyboardInterrupt
        if kind == POD:
            if name not in self.inside:
                raise NotFoundError(f"no pod {name} in {namespace}")
            if self.deaf[name] > 0:
                self.deaf[name] -= 1
            else:
                self.inside[name].due_s = self.clock.monotonic() + SYNC_S
            return {"metadata": {"name": name}}
        assert kind == KINDS["Deployment"]
        return self._change(body)

    def _change(self, body: Mapping[str, Any]) -> Object:
        meta, spec = self.deployment["metadata"], self.deployment["spec"]
        told = body.get("metadata", {})
        if self.late:
            meta["resourceVersion"] = "later"
        if (
            told.get("resourceVersion", meta["resourceVersion"])
            != meta["resourceVersion"]
        ):
            raise ClusterError("conflict", status=409)
        before = dict(meta["annotations"]), spec["replicas"]
        for key, value in told.get("annotations", {}).items():
            if value is None:
                meta["annotations"].pop(key, None)
            else:
                meta["annotations"][key] = value
        changed = body.get("spec", {})
        spec["replicas"] = changed.get("replicas", spec["replicas"])
        if "template" in changed or before != (meta["annotations"], spec["replicas"]):
            meta["generation"] += 1
            meta["resourceVersion"] = str(meta["generation"])
        if changed:
            self._replace()
        return copy.deepcopy(self.deployment)

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Tell the setting."""
        self.asked["configz", node] += 1
        if self.refuses:
            raise ForbiddenError(f"get nodes/{node}/proxy is not allowed")
        if self.is_silent:
            raise ClusterError(f"the kubelet of {node} does not answer")
        return self.setting

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> Object:
        """Take the ConfigMap."""
        assert manifest["kind"] == "ConfigMap"
        self.update(manifest["data"]["a"])
        return {**manifest, "metadata": {"name": "m", "namespace": namespace}}

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> None:
        """Refuse: nothing here deletes."""
        raise NotImplementedError(kind, name, namespace)

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[Object]:
        """Refuse: nothing here watches."""
        raise NotImplementedError(kind, namespace, labels, resource_version)

    def log(
        self, pod: str, *, namespace: str, container: str, since_ns: int | None = None
    ) -> str:
        """Refuse: nothing here reads logs."""
        raise NotImplementedError(pod, namespace, container, since_ns)

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """Refuse: `capture` is used instead."""
        raise NotImplementedError(pod, command, namespace, container)

    def may(self, right: Right, *, namespace: str | None = None) -> bool:
        """Allow all."""
        del right, namespace
        return True


def scaler(name: str = "web") -> dict[str, list[Object]]:
    """Make an autoscaler of a Deployment."""
    ref = {"kind": "Deployment", "name": name}
    one = {"metadata": {"name": "hpa"}, "spec": {"scaleTargetRef": ref}}
    return {AUTOSCALER.plural: [one]}


def budget(allowed: int) -> dict[str, list[Object]]:
    """Make a PodDisruptionBudget of the Deployment's pods."""
    one = {
        "metadata": {"name": "pdb"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }
    return {BUDGET.plural: [one]}
