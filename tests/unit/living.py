"""The modelled cluster as unit tests need it: still, exact, and failing on purpose.

What they need beyond the model is here: requests take no time, are counted, and fail
where a test wants that; pods are synced at given instants, and not at a kubelet's own;
some have no `cat`. One Deployment ``web`` mounts the ConfigMap ``m`` at /etc/v, and
takes its key ``a`` as the variable ``A`` if asked to.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cmhot.clock import VirtualClock, ns
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import DEPLOYMENT, POD, Captured
from cmhot.errors import NotFoundError
from cmhot.kubelet.eras import IDEAL
from cmhot.kubelet.settings import Setting
from studies.fronts import Front

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmhot.clock import Clock
    from cmhot.kubelet.uses import Kind

Object = dict[str, Any]
NAMESPACE = "default"
NEVER = float("inf")
AGE_S = 60.0
"""Age of the pods when a test begins: all have started."""
SELDOM_S = 86_400.0
"""No kubelet syncs a pod by itself during a test, whatever setting it reports."""
CHANGING = {"patch", "delete"}


class Living(Front):
    """A modelled cluster in which nothing happens by chance.

    Attributes
    ----------
    env
        Whether the pods take a variable too.
    every_s
        How long after an update a pod has it by itself.
    setting
        What each of the ``nodes`` reports; a TTL it has indeed.
    asked
        Requests so far, by verb and resource as RBAC names them.
    failing
        What is raised instead of an answer, by the same.
    due
        When a pod is synced, by the monotonic clock.
    blind
        Pods without `cat`.
    """

    target, modelled = "fake", False
    inner: ModelCluster

    def __init__(
        self,
        *,
        env: bool = False,
        every_s: float = NEVER,
        setting: Setting = Setting(60),  # noqa: B008 - it is frozen
        nodes: int = 1,
        clock: Clock | None = None,
    ) -> None:
        self.clock = VirtualClock() if clock is None else clock
        self.env, self.every_s, self.setting = env, every_s, setting
        self.asked: Counter[tuple[str, str]] = Counter()
        self.failing: dict[tuple[str, str], BaseException] = {}
        self.due: dict[str, float] = {}
        self.blind: set[str] = set()
        self._lock = threading.Lock()
        still = [replace(setting, sync_frequency_s=SELDOM_S)] * nodes
        past = VirtualClock(self.clock.utc_ns() - ns(AGE_S))
        super().__init__(ModelCluster(still, timing=IDEAL, clock=past, request_s=0))
        self.put(configmap("m", a="1"))

    def deploy(self, replicas: int, **pod: object) -> None:
        """Make the Deployment; ``pod`` is what the specification of its pods has."""
        labels = {"app": "web"}
        spec = {
            "containers": [self.container()],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}],
            "terminationGracePeriodSeconds": 0,
            **pod,
        }
        whole = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        }
        self.put({"kind": "Deployment", "metadata": {"name": "web"}, "spec": whole})
        self.inner.clock.sleep(AGE_S)
        self.inner.clock = self.clock

    def container(self, **more: object) -> Object:
        """Write the container of the pods; ``more`` is what it has besides."""
        ref = {"configMapKeyRef": {"name": "m", "key": "a"}}
        env = [{"name": "A", "valueFrom": ref}] if self.env else []
        mounts = [{"name": "v", "mountPath": "/etc/v"}]
        return {"name": "c", "env": env, "volumeMounts": mounts, **more}

    # what others do: not counted

    def put(self, manifest: Object) -> None:
        """Write an object."""
        self.inner.apply(manifest, namespace=NAMESPACE)

    def update(self, value: str) -> None:
        """Write the ConfigMap; pods get it by themselves after `every_s`."""
        self._put_off()
        self.put(configmap("m", a=value))

    def change(self, **body: object) -> None:
        """Patch the Deployment."""
        self.inner.patch(DEPLOYMENT, "web", body, namespace=NAMESPACE)

    def remove(self, pod: str) -> None:
        """Delete a pod."""
        self.inner.delete(POD, pod, namespace=NAMESPACE)

    # what there is

    @property
    def deployment(self) -> Object:
        """The Deployment."""
        return self.inner.get(DEPLOYMENT, "web", namespace=NAMESPACE)

    @property
    def pods(self) -> Sequence[str]:
        """Names of the pods."""
        return self.inner.names(POD, namespace=NAMESPACE)

    @property
    def writes(self) -> int:
        """Requests that changed something."""
        return sum(self.asked[one] for one in self.asked if one[0] in CHANGING)

    # what requests meet

    def _put_off(self) -> None:
        self.due = dict.fromkeys(self.pods, self.clock.monotonic() + self.every_s)

    def passing(self, verb: str, resource: str, name: str | None) -> None:  # noqa: ARG002
        """Sync the pods that are due; count the request, and fail if it is to fail."""
        with self._lock:
            self.asked[verb, resource] += 1
            if (verb, resource) == ("patch", "configmaps"):
                self._put_off()
            now = self.clock.monotonic()
            for pod in [pod for pod, at in self.due.items() if at <= now]:
                del self.due[pod]
                with suppress(NotFoundError):  # it has gone meanwhile
                    self.inner.patch(POD, pod, {}, namespace=NAMESPACE)
        if (verb, resource) in self.failing:
            raise self.failing[verb, resource]

    def pages(self, kind: Kind, **chosen: Any) -> Iterator[Sequence[Object]]:  # noqa: ANN401
        """Yield two objects a page."""
        found, _ = self.list(kind, **chosen)
        for start in range(0, len(found), 2):
            yield found[start : start + 2]

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Find no program in a blind pod."""
        answer = super().capture(
            pod, command, namespace=namespace, container=container, timeout_s=timeout_s
        )
        return Captured(None, b"", "no such file") if pod in self.blind else answer

    def kubelet_configuration(self, node: str) -> Object:
        """Report the setting."""
        every = f"{self.setting.sync_frequency_s:g}s"
        return {**super().kubelet_configuration(node), "syncFrequency": every}


def configmap(name: str, **data: str) -> Object:
    """Make a ConfigMap."""
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}
