"""Virtual kubelets behind the port, in virtual time.

A collection of minutes takes a second. Whatever comes from it must say "modelled".
"""

from __future__ import annotations

import copy
import functools
import threading
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np

from cmhot.clock import NS_PER_S, VirtualClock, ns
from cmhot.cluster.model.virtual_kubelet import (
    READ_AFTER_S,
    make_nodes,
    node_object,
    version_text,
)
from cmhot.cluster.model.workloads import Inside, Store, World, kind_of, status_of
from cmhot.cluster.port import CONFLICT, DEPLOYMENT, NAMESPACE, NODE, POD, Captured
from cmhot.errors import ClusterError, NotFoundError
from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import DEFAULT_SETTINGS
from cmhot.kubelet.uses import CONFIG_MAP, SECRET, Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.model.virtual_kubelet import Volume
    from cmhot.cluster.model.workloads import Running
    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Kind


Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
NUMBER = "seq"
"""The key that a probe prints (`cmhot.cluster.probe`)."""
REQUEST_S = 0.005
"""Time a request takes, seconds: about what the testbed's API server needs."""
REFERENCES = {CONFIG_MAP: "configmap", SECRET: "secret"}
"""Kinds whose content reaches pods."""


def _one_at_a_time(
    method: Callable[Concatenate[ModelCluster, Asked], Answer],
) -> Callable[Concatenate[ModelCluster, Asked], Answer]:
    """Let one thread at a time make a request: virtual time has no other order."""

    @functools.wraps(method)
    def guarded(
        self: ModelCluster, /, *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Answer:
        with self._lock:
            return method(self, *args, **kwargs)

    return guarded


class ModelCluster:
    """A modelled cluster; implements `cmhot.cluster.port.Cluster`.

    One node is made for each setting; ``seed`` is of the kubelets' jitter and phases,
    ``kubernetes`` their version, such as ``v1.28.15`` (None: current; a `UsageError`
    where no behaviour is known), ``timing`` what their work costs. Time is that of
    ``clock``, a virtual one unless it is given; a request takes ``request_s`` of it.
    """

    target = "model"
    modelled = True
    local_image = "model"
    namespace = "default"

    def __init__(
        self,
        settings: Sequence[Setting] = DEFAULT_SETTINGS,
        *,
        seed: int = 1,
        kubernetes: str | None = None,
        timing: Timing = TYPICAL,
        clock: Clock | None = None,
        request_s: float = REQUEST_S,
    ) -> None:
        self.clock: Clock = VirtualClock() if clock is None else clock
        self._request_s = request_s
        self._start_ns = self.clock.utc_ns()
        self._kubernetes = kubernetes
        self._nodes = make_nodes(
            settings, seed=seed, kubernetes=kubernetes, timing=timing
        )
        self._store = Store()
        self._world = World(self._nodes, self._store)
        self._ending: set[str] = set()  # namespaces that wait for their pods to go
        self._lock = threading.RLock()

    def until(self, instant_s: float | None) -> Self:  # noqa: ARG002
        """Stay as it is: answers come at once."""
        return self

    def version(self) -> str:
        """Name the version that is modelled; no Kubernetes is behind it."""
        return version_text(self._kubernetes)

    def sources(self) -> None:
        """Return None: no programs were started."""
        return

    def _request(self) -> int:
        """Spend a request's time; return now, nanoseconds since the model's start."""
        self.clock.sleep(self._request_s)
        now = self.clock.utc_ns() - self._start_ns
        self._world.run(now)
        if self._ending:
            self._ending &= {pod.namespace for pod in self._world.pods.values()}
        return now

    @_one_at_a_time
    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Return the two fields that the modelled kubelet has."""
        self._request()
        setting = next(one.setting for one in self._nodes if one.name == node)
        return {
            "syncFrequency": f"{setting.sync_frequency_s:g}s",
            "configMapAndSecretChangeDetectionStrategy": setting.strategy.value,
        }

    @_one_at_a_time
    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Return an object."""
        now = self._request()
        if kind == POD:
            return self._pod(name, namespace).shown(now, self._start_ns)
        if kind == NAMESPACE and name in self._ending:
            return {"metadata": {"name": name}, "status": {"phase": "Terminating"}}
        found = self._store.find(kind, name, namespace)
        if found is None:
            raise _absent(kind, name, namespace)
        return self._with_status(kind, found, now)

    @_one_at_a_time
    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List nodes, pods, or what was applied."""
        now = self._request()
        version = str(self._store.version)
        if kind == NODE:
            return [node_object(one, self.version()) for one in self._nodes], version
        if kind == POD:
            wanted = (labels or {}).items()
            pods = [
                pod.shown(now, self._start_ns)
                for pod in self._world.pods.values()
                if namespace in {None, pod.namespace}
                and wanted <= (pod.meta.get("labels") or {}).items()
            ]
            return pods, version
        found = self._store.select(kind, namespace, labels)
        return [self._with_status(kind, one, now) for one in found], version

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield all in one page."""
        yield self.list(kind, namespace=namespace, labels=labels)[0]

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """Return names."""
        found, _ = self.list(kind, namespace=namespace)
        return [one["metadata"]["name"] for one in found]

    def watch(
        self,
        kind: Kind,  # noqa: ARG002
        *,
        namespace: str,  # noqa: ARG002
        labels: Mapping[str, str],  # noqa: ARG002
        resource_version: str,  # noqa: ARG002
    ) -> Iterator[dict[str, Any]]:
        """Yield nothing, as a watch that ends at once: users list again."""
        return iter(())

    def _with_status(
        self, kind: Kind, stored: Mapping[str, Any], now: int
    ) -> dict[str, Any]:
        """Copy an object, with the status that its controller would write."""
        found = copy.deepcopy(dict(stored))
        if kind == DEPLOYMENT:
            meta = found["metadata"]
            pods = self._world.of(meta.get("namespace"), meta["name"])
            found["status"] = status_of(found, pods, at_ns=now)
        return found

    def _pod(self, name: str, namespace: str | None) -> Running:
        try:
            return self._world.pods[namespace, name]
        except KeyError:
            raise _absent(POD, name, namespace) from None

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Take an object, unless one of its name is there."""
        kind, name = kind_of(manifest), manifest["metadata"]["name"]
        if self._store.find(kind, name, None) is not None:
            msg = f"{kind.plural}/{name} exists already (the model)"
            raise ClusterError(msg, status=CONFLICT)
        return self.apply(manifest)

    @_one_at_a_time
    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Take an object; a Deployment's controller, or a kubelet, then acts on it."""
        now, kind = self._request(), kind_of(manifest)
        name = manifest["metadata"]["name"]
        where = manifest["metadata"].get("namespace") or namespace
        if kind == POD:
            meta = {k: v for k, v in manifest["metadata"].items() if k != "name"}
            self._world.start(manifest, [name], where, meta=meta, at_ns=now)
            return self._pod(name, where).shown(now, self._start_ns)
        at_ns = self._start_ns + now
        stored = self._store.apply(manifest, where, at_ns=at_ns)
        if kind == NAMESPACE:
            account = {"kind": "ServiceAccount", "metadata": {"name": "default"}}
            self._store.apply(account, name, at_ns=at_ns)
        return self._changed(kind, name, where, stored, now)

    def _changed(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        stored: dict[str, Any],
        now: int,
    ) -> dict[str, Any]:
        """Pass a write on to `World`; give the object as it is then."""
        if kind in REFERENCES:
            reference = Reference(REFERENCES[kind], name)
            self._world.write(reference, namespace, stored, at_ns=now)
        elif kind == DEPLOYMENT:
            self._world.reconcile(namespace, name, at_ns=now)
        return self._with_status(kind, stored, now)

    @_one_at_a_time
    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Change an object; a change of a pod's metadata syncs it."""
        now = self._request()
        if kind == POD:
            pod = self._pod(name, namespace)
            self._world.touch(pod, body.get("metadata") or {}, at_ns=now)
            return pod.shown(now, self._start_ns)
        at_ns = self._start_ns + now
        stored = self._store.patch(kind, name, body, namespace, at_ns=at_ns)
        if stored is None:
            raise _absent(kind, name, namespace)
        return self._changed(kind, name, namespace, stored, now)

    @_one_at_a_time
    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Remove an object and its dependents; files stay in the pods."""
        now = self._request()
        if kind == POD:
            pod = self._world.pods.get((namespace, name))
            if pod is not None:
                self._world.end(pod, at_ns=now)
                self._world.reconcile_owner(pod, now)
            return
        there = self._store.find(kind, name, namespace)
        if there is None or uid not in {None, there["metadata"]["uid"]}:
            return
        gone = self._store.remove(kind, name, namespace)
        if gone is None:
            return
        if kind in REFERENCES:
            immutable = bool(gone.get("immutable"))
            reference = Reference(REFERENCES[kind], name)
            self._world.forget(reference, namespace, immutable=immutable)
        elif kind == DEPLOYMENT:
            self._world.reconcile(namespace, name, at_ns=now)
        elif kind == NAMESPACE:
            self._store.remove_all(name)
            self._ending.add(name)
            for pod in [*self._world.pods.values()]:
                if pod.namespace == name:
                    self._world.end(pod, at_ns=now)

    @_one_at_a_time
    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,  # noqa: ARG002 - a probe has but one
        since_ns: int | None = None,
    ) -> str:
        """Return the lines that the pod's probe has printed of its first ConfigMap."""
        now = self._request()
        known = self._pod(pod, namespace)
        known.node.kubelet.run(now)
        if not known.inside.volumes:
            return ""
        return _printed(
            known.inside.volumes[0],
            self._world.contents,
            at_ns=now,
            epoch_ns=self._start_ns,
            since_ns=since_ns,
        )

    def run_in(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
    ) -> str:
        """Run `cat`, `env` or `stat`; their failure is an error."""
        done = self.capture(pod, command, namespace=namespace, container=container)
        if done.code != 0:
            msg = f"exec in pod {namespace}/{pod} failed: {done.complaint}"
            raise ClusterError(msg)
        return done.output.decode()

    @_one_at_a_time
    def events(self, pod: str, *, namespace: str) -> Sequence[dict[str, Any]]:  # noqa: ARG002
        """Give none: the model tells no events."""
        self._request()
        return ()

    @_one_at_a_time
    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,  # noqa: ARG002 - answers come at once
    ) -> Captured:
        """Run `cat`, `env`, `stat` or ``kill 1``: the model has no other program."""
        now = self._request()
        known = self._pod(pod, namespace)
        if now < known.started_ns.get(container, now + 1):
            msg = f"container {container} of {namespace}/{pod} is not running"
            raise ClusterError(msg)
        known.node.kubelet.run(now)
        if [*command] == ["kill", "1"]:
            self._world.restart(known, container, at_ns=now)
            return Captured(0, b"", "")
        inside = Inside(
            known,
            self._world.objects,
            self._kubernetes,
            at_ns=now,
            epoch_ns=self._start_ns,
        )
        done = inside.run(container, command)
        if done is None:
            msg = (
                f"the model cannot run {command[0]!r} in "
                f"{namespace}/{pod}/{container}: look into pods of a real cluster"
            )
            raise ClusterError(msg)
        return done

    @_one_at_a_time
    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Start an ephemeral container."""
        now = self._request()
        known = self._pod(pod, namespace)
        known.node.kubelet.run(now)
        self._world.add_ephemeral(known, container, at_ns=now)


def _printed(
    volume: Volume,
    contents: Sequence[Mapping[str, bytes]],
    *,
    at_ns: int,
    epoch_ns: int,
    since_ns: int | None,
) -> str:
    """Write the lines of a probe about a volume since an instant, from its second on.

    The kubelet cuts a log at the second, too. ``contents`` says what each number of a
    publication stands for; ``at_ns`` is now, since the model's start, which is
    ``epoch_ns`` in UTC, as ``since_ns`` is.
    """
    instants, late = volume.instants_ns, ns(READ_AFTER_S)
    first = 0
    if since_ns is not None:
        second_ns = since_ns // NS_PER_S * NS_PER_S
        first = bisect_left(instants, second_ns - epoch_ns - late)
    until = bisect_right(instants, at_ns - late)
    if first >= until:
        return ""
    published_ns = np.array(instants[first:until]) + epoch_ns
    read = np.datetime_as_string((published_ns + late).view("M8[ns]"))
    published = np.datetime_as_string(published_ns.view("M8[ns]"))
    lines = [
        f"{stamp}Z publication {contents[number].get(NUMBER, b'').decode()} "
        f"{modified.replace('T', ' ')} +0000\n"
        for stamp, number, modified in zip(
            read.tolist(),
            volume.numbers[first:until],
            published.tolist(),
            strict=True,
        )
    ]
    return "".join(lines)


def _absent(kind: Kind, name: str, namespace: str | None) -> NotFoundError:
    """Make the error of an object that the model does not have."""
    return NotFoundError(f"the model has no {kind.plural}/{name} in {namespace}")
