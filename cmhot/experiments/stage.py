"""A place on a cluster for one experiment, and how to read its pods' content."""

from __future__ import annotations

import atexit
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.nodes import observe_settings, probe_image
from cmhot.cluster.port import (
    DEPLOYMENT,
    MANAGED_BY,
    NAMESPACE,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
)
from cmhot.cluster.probe import CONTAINER, LEAST, RESTRICTED, RUN_LABEL, epoch_ns
from cmhot.cluster.workspace import Workspace, labelled, run_of
from cmhot.collector.clock_offsets import ahead_ns
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.experiments.parameters import at_least
from cmhot.kubelet.settings import Strategy, longest_below_default_s
from cmhot.kubelet.uses import CONFIG_MAP, SECRET
from cmhot.kubelet.view import read_environ
from cmhot.law import equilibrium, longest_interval_s
from cmhot.propagation.changes import apply
from cmhot.propagation.inspection import AT_ONCE, ENVIRON
from cmhot.propagation.workload import TOUCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Captured, Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Kind
    from cmhot.propagation.changes import Update

    Object = dict[str, Any]

KINDS: dict[str, Kind] = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Pod": POD,
    "Secret": SECRET,
    "Service": SERVICE,
}
"""Kinds that an experiment makes, and removes from a namespace of others."""
FOLDER = "/etc/config"
"""Where a container of an experiment mounts its ConfigMap."""
EXPERIMENT_LABEL = "cmhot.dev/experiment"
"""On every pod of an experiment; its value is the namespace-wide name of its part."""
ACCOUNT_S = 30.0
"""Longest time for a new namespace to get the account that its pods need."""
GONE_S = 90.0
"""How long `close` waits for the pods to go: a node removes some three a second."""
POLL_S = 0.25


class Stage:
    """A workspace with an experiment in it; used by `with`, or by `open` and `close`.

    A notebook opens it in one cell and closes it in another; should that cell never
    run, the end of the kernel closes it. Objects left even then carry the label of
    their run: `cmhot clean` finds its own namespace, or its Deployments and ConfigMaps
    in a namespace of others.

    Parameters
    ----------
    cluster
        Where.
    node
        Node of all pods; None: wherever the scheduler puts them.
    namespace
        An existing one, in which only objects made here are changed or removed;
        empty or None: one of our own.
    image
        Of the containers; empty or None: as `cmhot.cluster.nodes.probe_image` has it.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        node: ObservedNode | None = None,
        namespace: str | None = None,
        image: str | None = None,
    ) -> None:
        self.cluster, self.node = cluster, node
        self.run_id = f"cmhot-live-{secrets.token_hex(3)}"
        self.namespace = namespace or self.run_id
        self.image, self.pull_policy = probe_image(cluster, image or None)
        self._workspace = Workspace(
            cluster, self.run_id, self.namespace, is_own=not namespace
        )
        self._made: list[tuple[Kind, str]] = []
        self._is_open = False

    def open(self) -> Self:
        """Make the namespace, or check that it exists.

        Raises
        ------
        NotFoundError
            The namespace that was given does not exist.
        ClusterError
            The new one is not usable in time.
        """
        self._workspace.open()
        self._is_open = True
        atexit.register(self.close)
        if self._workspace.is_own and not self.until(
            self._has_account, within_s=ACCOUNT_S
        ):
            self.close()
            msg = f"namespace {self.namespace} got no account within {ACCOUNT_S:g} s"
            raise ClusterError(msg)
        return self

    def close(self) -> None:
        """Remove the objects that were made, and wait until the pods have gone.

        Raises
        ------
        ClusterError
            Something could not be removed; the rest was.
        """
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self.close)
        if self._workspace.is_own:
            refused = [error for _, error in self._workspace.remove(())]
        else:
            refused = []
            for made in reversed(self._made):
                try:
                    # a refused apply has made nothing: the object may be another's
                    own = [(*made, None)] if self._run_of(*made) == self.run_id else []
                except ClusterError as error:
                    refused.append(error)
                else:
                    refused += [error for _, error in self._workspace.remove(own)]
        if refused:
            raise refused[0]
        self.until(lambda: not self.left(), within_s=GONE_S)

    def left(self) -> list[str]:
        """Name the experiment's objects that are still there."""
        if self._workspace.is_own:
            is_there = self._run_of(NAMESPACE, self.namespace) is not None
            return [f"namespaces/{self.namespace}"] if is_there else []
        return [
            f"{kind.plural}/{name}"
            for kind, name in self._made
            if self._run_of(kind, name) == self.run_id
        ]

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def apply(self, *manifests: Mapping[str, Any]) -> list[Object]:
        """Apply objects with the run's label, and remember them for the end.

        A name that is in use by others is refused before any object is applied.
        """
        entries = [(KINDS[one["kind"]], one["metadata"]["name"]) for one in manifests]
        for kind, name in entries:
            self.refuse_taken(kind, name)
        stored = []
        for entry, one in zip(entries, manifests, strict=True):
            # before it is sent: an answer may be lost, and the object made
            if entry not in self._made:
                self._made.append(entry)
            own = labelled(one, self.run_id)
            stored += apply(self.cluster, own, namespace=self.namespace)
        return stored

    def refuse_taken(self, kind: Kind, name: str) -> None:
        """Refuse a name that an object has which this experiment did not make."""
        if self._workspace.is_own:
            return
        run_id = self._run_of(kind, name)
        if run_id is None or run_id == self.run_id:
            return
        said = f"{kind.plural}/{name} in namespace {self.namespace} is there already, "
        if not run_id:
            msg = (
                f"{said}and this experiment makes one of that name: give another "
                "namespace, or none, and it makes one of its own"
            )
            raise UsageError(msg)
        kinds = ",".join(one.plural for one in KINDS.values())
        msg = (
            f"{said}and is of run {run_id}: wait until that has ended, or remove what "
            f"it left, kubectl delete {kinds} -n {self.namespace} "
            f"-l {RUN_LABEL}={run_id}"
        )
        raise UsageError(msg)

    def _run_of(self, kind: Kind, name: str) -> str | None:
        """Read which run an object belongs to; empty: to none; None: no object."""
        where = self.namespace if kind.namespaced else None
        try:
            found = self.cluster.get(kind, name, namespace=where)
        except NotFoundError:
            return None
        return run_of(found) or ""

    def _has_account(self) -> bool:
        return self._run_of(SERVICE_ACCOUNT, "default") is not None

    def await_pods(self, part: str, number: int) -> list[Object]:
        """Wait until so many pods of a part of the experiment are Ready; sorted."""
        labels = {EXPERIMENT_LABEL: part}
        return self._workspace.await_ready(number, labels=labels)

    def pods(self, part: str) -> list[Object]:
        """List the pods of a part of the experiment, as they are."""
        labels = {EXPERIMENT_LABEL: part}
        return self.cluster.list(POD, namespace=self.namespace, labels=labels)[0]

    def run_in(
        self, pod: str, command: Sequence[str], *, container: str = CONTAINER
    ) -> Captured:
        """Run a command in a container; its failure is an answer."""
        return self.cluster.capture(
            pod, command, namespace=self.namespace, container=container
        )

    def until(self, condition: Callable[[], object], *, within_s: float) -> bool:
        """Check again and again until a condition holds; False: it never did."""
        clock = self.cluster.clock
        end = clock.monotonic() + within_s
        while not condition():
            if clock.monotonic() > end:
                return False
            clock.sleep(POLL_S)
        return True

    def container(self, **more: object) -> Object:
        """Describe a container that does nothing until it is ended."""
        return {
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "command": ["sleep", "86400"],
            "securityContext": dict(LEAST),
            "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
            **more,
        }

    def pod_spec(self, container: Object, **more: object) -> Object:
        """Describe a pod on the experiment's node, which goes quickly."""
        where = {} if self.node is None else {"nodeName": self.node.name}
        return {
            **where,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": dict(RESTRICTED),
            "containers": [container],
            **more,
        }

    def deployment(self, name: str, *, pods: int, spec: Object) -> Object:
        """Describe a Deployment, whose name is that part of the experiment."""
        labels = {EXPERIMENT_LABEL: name}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": {**MANAGED_BY, **labels}},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }

    def mounted_config_map(
        self, name: str, *, pods: int, data: Mapping[str, str]
    ) -> list[Object]:
        """Describe a ConfigMap and a Deployment of its name that mounts it.

        The volume is at `FOLDER`, and `publications` and `one_update` read it there.
        """
        at_least(1, pods=pods)
        mounts = [{"name": "config", "mountPath": FOLDER}]
        spec = self.pod_spec(
            self.container(volumeMounts=mounts),
            volumes=[{"name": "config", "configMap": {"name": name}}],
        )
        return [config_map(name, **data), self.deployment(name, pods=pods, spec=spec)]


def config_map(name: str, **data: str) -> Object:
    """Describe a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(MANAGED_BY)},
        "data": data,
    }


def choose_node(
    cluster: Cluster, name: str = "", *, slowest: bool = True
) -> ObservedNode:
    """Find a node of known setting for an experiment.

    Parameters
    ----------
    cluster
        Where.
    name
        Of the node; empty: the one of the longest `syncFrequency` below the default
        of a minute, where there is one, or of the shortest; of these one under Watch
        if there is any.
    slowest
        Which of the two.

    Returns
    -------
    ObservedNode
        With its setting.

    Raises
    ------
    UsageError
        There is no such node, or no setting is known.
    """
    known = [one for one in observe_settings(cluster) if one.setting is not None]
    if name:
        known = [one for one in known if one.name == name]
    if not known:
        there = ", ".join(one.name for one in observe_settings(cluster))
        what = f"node = {name!r} is none whose" if name else "no node's"
        msg = (
            f"{what} kubelet tells its setting: {cluster.target} has {there or 'none'}"
        )
        raise UsageError(msg)
    ordered = [(one.setting, one) for one in known if one.setting is not None]
    if slowest:
        at_s = longest_below_default_s(setting for setting, _ in ordered)
        ordered = [pair for pair in ordered if pair[0].sync_frequency_s == at_s]
    # Watch is the default, and the rule for immutable objects holds under it alone
    _, chosen = min(
        ordered,
        key=lambda pair: (
            pair[0].sync_frequency_s,
            pair[0].strategy is not Strategy.WATCH,
        ),
    )
    return chosen


def origin(cluster: Cluster, node: ObservedNode) -> dict[str, Any]:
    """Give the origin of a table, for its ``attrs``."""
    return {
        "node": node.name,
        "setting": str(node.setting),
        "kubelet": node.kubelet,
        "modelled": cluster.modelled,
    }


Item = TypeVar("Item")
Found = TypeVar("Found")


def together(
    stage: Stage, read: Callable[[Item], Found], items: Sequence[Item]
) -> list[Found]:
    """Read several things at once; the model's time is that of one thread."""
    with ThreadPoolExecutor(1 if stage.cluster.modelled else AT_ONCE) as pool:
        return list(pool.map(read, items))


def publications(
    stage: Stage,
    pods: Sequence[Object],
    folder: str,
    *,
    container: str = CONTAINER,
) -> dict[str, tuple[int, float]]:
    """Read in each pod when a volume was published last: the mtime of ``..data``.

    Returns by pod UTC epoch nanoseconds of the cluster's clock, and the largest error
    of that, in seconds. What a node's clock is ahead is taken off, where it is more
    than asking for it takes.
    """
    homes = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods}
    first = {node: pod for pod, node in homes.items()}
    where = {"namespace": stage.namespace, "container": container}
    ahead = {node: ahead_ns(stage.cluster, pod, **where) for node, pod in first.items()}

    def one(pod: str) -> tuple[int, float]:
        path = f"{folder.rstrip('/')}/..data"
        answer = stage.run_in(pod, ["stat", "-c", "%y", path], container=container)
        if answer.code != 0:
            msg = f"pod {pod} does not tell of {path}: {answer.complaint}"
            raise ClusterError(msg)
        offset_ns, bound_ns = ahead[homes[pod]]
        stamp_ns = epoch_ns(answer.output.decode().strip())
        return stamp_ns - offset_ns, bound_ns / NS_PER_S

    return dict(zip(homes, together(stage, one, list(homes)), strict=True))


def one_update(stage: Stage, update: Update) -> pd.DataFrame:
    """Read in each pod of `Stage.mounted_config_map` when it got an update.

    Returns
    -------
    DataFrame
        One row per pod, in the order of their publications: ``node, pod, consumer,
        configmap, seq, published_ns``, and ``delay_s`` from the acknowledgement on,
        with ``clock_bound_s``, the largest error that clocks make in it;
        ``planned_ns, sent_ns, acked_ns`` of the update are the same in each.
    """
    pods = stage.pods(update.configmap)
    homes = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods}
    written = {
        name: getattr(update, name)
        for name in ("configmap", "planned_ns", "sent_ns", "acked_ns")
    }
    rows = [
        {
            **written,
            "node": homes[pod],
            "pod": pod,
            "consumer": "volume",
            "seq": 1,
            "published_ns": at_ns,
            "delay_s": (at_ns - update.acked_ns) / NS_PER_S,
            "clock_bound_s": bound_s,
        }
        for pod, (at_ns, bound_s) in publications(stage, pods, FOLDER).items()
    ]
    return pd.DataFrame(rows).sort_values("published_ns", ignore_index=True)


def spread_syncs(stage: Stage, part: str, setting: Setting, *, seed: int) -> None:
    """Touch each pod once, and wait until all are in equilibrium.

    A touch syncs a pod and sets its timer anew. At instants that are drawn from the
    equilibrium law, every pod is stationary as of the longest interval after the
    first of them (Feller, An Introduction to Probability Theory, volume II, XI.4).
    So it takes as long as the longest interval, one and a half times `syncFrequency`.
    """
    clock = stage.cluster.clock
    pods = [
        pod for pod in stage.pods(part) if "deletionTimestamp" not in pod["metadata"]
    ]
    begin_s = clock.monotonic()
    due_s = np.sort(equilibrium(setting, np.random.default_rng(seed), len(pods)))
    for pod, at_s in zip(pods, due_s.tolist(), strict=True):
        clock.sleep(begin_s + at_s - clock.monotonic())
        stage.cluster.patch(
            POD,
            pod["metadata"]["name"],
            {"metadata": {"annotations": {TOUCHED: str(clock.utc_ns())}}},
            namespace=stage.namespace,
        )
    clock.sleep(begin_s + longest_interval_s(setting) - clock.monotonic())


def variables(stage: Stage, pod: str) -> dict[str, str]:
    """Read the environment with which a container's first process was started."""
    found = read_environ(stage.run_in(pod, ["cat", ENVIRON]).output)
    return {name: value.decode(errors="replace") for name, value in found.items()}


def text_of(stage: Stage, pod: str, path: str) -> str | None:
    """Read a file in a container; None: it is not there."""
    answer = stage.run_in(pod, ["cat", path])
    return answer.output.decode(errors="replace") if answer.code == 0 else None
