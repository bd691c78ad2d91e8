"""A place on a cluster for one experiment: a namespace, a node, an image, an end.

What pods hold, and since when: read in them, one command each.
"""

from __future__ import annotations

import atexit
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.nodes import observe_settings, probe_image
from cmhot.cluster.port import MANAGED_BY, NAMESPACE, POD, SERVICE_ACCOUNT
from cmhot.cluster.probe import CONTAINER, epoch_ns
from cmhot.cluster.workspace import KINDS, await_ready, labelled, run_of, taken
from cmhot.collector.clock_offsets import ask
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.experiments.parameters import at_least
from cmhot.kubelet.settings import Strategy
from cmhot.kubelet.view import read_environ
from cmhot.law import equilibrium, longest_interval_s
from cmhot.propagation.changes import apply
from cmhot.propagation.workload import TOUCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Kind
    from cmhot.propagation.changes import Update

    Object = dict[str, Any]

FOLDER = "/etc/config"
"""Where a container of an experiment mounts its ConfigMap."""
EXPERIMENT_LABEL = "cmhot.dev/experiment"
"""On every pod of an experiment; its value is the namespace-wide name of its part."""
ACCOUNT_S = 30.0
"""Longest time for a new namespace to get its account, without which no pod starts."""
GONE_S = 90.0
"""How long the end waits for the pods to go: a node takes away some three a second."""
POLL_S = 0.25
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Of a pod that the Pod Security standard *restricted* lets start."""
LEAST = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""The same, of its containers."""


class Stage:
    """A namespace with an experiment in it; used by `with`, or by `open` and `close`.

    Whoever opens it in a notebook closes it in another cell; should that cell never
    run, the end of the kernel closes it. What even that leaves carries the label of
    its run: `cmhot clean` finds its namespace, in one of others its Deployments and
    ConfigMaps.

    Parameters
    ----------
    cluster
        Where.
    node
        On which all pods run; None: wherever the scheduler puts them.
    namespace
        An existing one, of which nothing but what was made here is changed or removed;
        empty or None: one of our own.
    image
        Of the containers; empty or None: as `cmhot.cluster.nodes.probe_image` has it.

    Attributes
    ----------
    cluster, door
        Where, and how to look into its containers.
    node
        As given.
    namespace
        Where everything is.
    run_id
        In a label of everything that is made here.
    image, pull_policy
        Of the containers.

    Raises
    ------
    UsageError
        Nobody can look into the target's containers.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        node: ObservedNode | None = None,
        namespace: str | None = None,
        image: str | None = None,
    ) -> None:
        self.cluster = cluster
        self.door: Cluster = cluster
        self.node = node
        self.is_own = not namespace
        self.run_id = f"cmhot-live-{secrets.token_hex(3)}"
        self.namespace = namespace or self.run_id
        self.image, self.pull_policy = probe_image(cluster, image or None)
        self._made: list[tuple[Kind, str]] = []
        self._is_open = False

    def open(self) -> Self:
        """Make the namespace, or see that it exists.

        Raises
        ------
        NotFoundError
            The namespace that was given does not exist.
        ClusterError
            The new one is not usable in time.
        """
        if not self.is_own:
            self.cluster.get(NAMESPACE, self.namespace)
            self._is_open = True
            atexit.register(self.close)
            return self
        made = {"apiVersion": "v1", "kind": "Namespace"}
        meta = {"metadata": {"name": self.namespace}}
        self.cluster.apply(labelled({**made, **meta}, self.run_id))
        self._is_open = True
        atexit.register(self.close)
        if not self.until(self._has_account, within_s=ACCOUNT_S):
            self.close()
            msg = f"namespace {self.namespace} got no account within {ACCOUNT_S:g} s"
            raise ClusterError(msg)
        return self

    def close(self) -> None:
        """Remove all that was made, and wait until its pods have gone.

        Raises
        ------
        ClusterError
            Something could not be removed; the rest was.
        """
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self.close)
        if self.is_own:
            self.cluster.delete(NAMESPACE, self.namespace)
        refused: ClusterError | None = None
        for kind, name in reversed(self._made if not self.is_own else []):
            try:
                # an apply that was refused has made nothing: it may be another's
                if self._run_of(kind, name) == self.run_id:
                    self.cluster.delete(kind, name, namespace=self.namespace)
            except ClusterError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        self.until(lambda: not self.left(), within_s=GONE_S)

    def left(self) -> list[str]:
        """Name what is still there of the experiment."""
        if self.is_own:
            try:
                self.cluster.get(NAMESPACE, self.namespace)
            except NotFoundError:
                return []
            return [f"namespaces/{self.namespace}"]
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

        Raises
        ------
        UsageError
            The namespace is not our own, and something of such a name is in it that
            was not made here; nothing of these objects was applied.
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
        """See that a name is free, or that of something that was made here.

        Raises
        ------
        UsageError
            It is another's.
        """
        if self.is_own:
            return
        run_id = self._run_of(kind, name)
        if run_id not in {None, self.run_id}:
            raise taken(kind, name, namespace=self.namespace, run_id=run_id or "")

    def await_pods(self, part: str, number: int) -> list[Object]:
        """Wait until so many pods of a part of the experiment are Ready; sorted."""
        return await_ready(
            self.cluster,
            number,
            namespace=self.namespace,
            labels={EXPERIMENT_LABEL: part},
            tell=lambda _: None,
        )

    def pods(self, part: str) -> list[Object]:
        """List the pods of a part of the experiment, as they are."""
        labels = {EXPERIMENT_LABEL: part}
        return self.cluster.list(POD, namespace=self.namespace, labels=labels)[0]

    def until(self, condition: Callable[[], object], *, within_s: float) -> bool:
        """Look again and again until a condition holds; False when it never did."""
        clock = self.cluster.clock
        end = clock.monotonic() + within_s
        while not condition():
            if clock.monotonic() > end:
                return False
            clock.sleep(POLL_S)
        return True

    def _has_account(self) -> bool:
        return self._run_of(SERVICE_ACCOUNT, "default") is not None

    def _run_of(self, kind: Kind, name: str) -> str | None:
        return run_of(self.cluster, kind, name, namespace=self.namespace)

    def container(self, **more: object) -> Object:
        """Describe a container that does nothing until it is told to end."""
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
        Of the node; empty: the one of the longest, or shortest, `syncFrequency`,
        of these one under Watch if there is any.
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
    sign = -1 if slowest else 1
    # Watch is the default, and what is said of immutable objects holds under it alone
    _, chosen = min(
        ordered,
        key=lambda pair: (
            sign * pair[0].sync_frequency_s,
            pair[0].strategy is not Strategy.WATCH,
        ),
    )
    return chosen


def origin(cluster: Cluster, node: ObservedNode) -> dict[str, Any]:
    """Say where a table comes from, for its ``attrs``."""
    return {
        "node": node.name,
        "setting": str(node.setting),
        "kubelet": node.kubelet,
        "modelled": cluster.modelled,
    }


Item = TypeVar("Item")
Found = TypeVar("Found")
AT_ONCE = 8
"""Looks at the same time: each is a process started by a kubelet."""


def together(
    stage: Stage, look: Callable[[Item], Found], items: Sequence[Item]
) -> list[Found]:
    """Look at several things at once; the model's time is that of one thread."""
    with ThreadPoolExecutor(1 if stage.cluster.modelled else AT_ONCE) as pool:
        return list(pool.map(look, items))


def publications(
    stage: Stage,
    pods: Sequence[Object],
    folder: str,
    *,
    container: str = CONTAINER,
) -> dict[str, int]:
    """Read in each pod when a volume was published last: the mtime of ``..data``.

    Parameters
    ----------
    stage
        Where.
    pods
        As the API server sent them.
    folder
        Where the volume is mounted.
    container
        In which container.

    Returns
    -------
    dict
        By pod: UTC epoch nanoseconds of the cluster's clock. What a node's clock is
        ahead is taken off, where it is more than asking for it takes.

    Raises
    ------
    ClusterError
        A pod could not be asked.
    """
    homes = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods}
    first = {node: pod for pod, node in homes.items()}
    ahead_ns = {node: _ahead_ns(stage, pod, container) for node, pod in first.items()}

    def one(pod: str) -> int:
        path = f"{folder.rstrip('/')}/..data"
        answer = stage.door.capture(
            pod,
            ["stat", "-c", "%y", path],
            namespace=stage.namespace,
            container=container,
        )
        if answer.code != 0:
            msg = f"pod {pod} does not tell of {path}: {answer.complaint}"
            raise ClusterError(msg)
        return epoch_ns(answer.output.decode().strip()) - ahead_ns[homes[pod]]

    return dict(zip(homes, together(stage, one, list(homes)), strict=True))


def _ahead_ns(stage: Stage, pod: str, container: str) -> int:
    """Bound how far a node's clock is ahead; 0 where that is within the bound."""
    if stage.cluster.modelled or stage.cluster.target == "testbed":
        return 0  # one clock
    bounds = ask(
        stage.cluster,
        stage.cluster.clock,
        pod,
        namespace=stage.namespace,
        container=container,
    )
    row = bounds.row("", 0)
    if row is None or abs(row["offset_ns"]) <= row["bound_ns"]:
        return 0
    return int(row["offset_ns"])


def one_update(stage: Stage, update: Update) -> pd.DataFrame:
    """Read in each pod of `Stage.mounted_config_map` when it got an update.

    Returns
    -------
    DataFrame
        One row per pod, in the order of their publications: ``node, pod, consumer,
        configmap, seq, published_ns``, and ``delay_s`` from the acknowledgement on;
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
        }
        for pod, at_ns in publications(stage, pods, FOLDER).items()
    ]
    return pd.DataFrame(rows).sort_values("published_ns", ignore_index=True)


def spread_syncs(stage: Stage, part: str, setting: Setting, *, seed: int) -> None:
    """Touch each pod once, and wait until all are as if they had run for long.

    A touch syncs a pod and sets its timer anew. At instants that are drawn from the
    equilibrium law, every pod is stationary as of the longest interval after the
    first of them (Feller, An Introduction to Probability Theory, volume II, XI.4).
    So it takes as long as the longest interval, one and a half times `syncFrequency`.

    Parameters
    ----------
    stage
        Where.
    part
        Whose pods.
    setting
        Of their kubelet.
    seed
        Of the instants.
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


def variables(stage: Stage, pod: str, *, container: str = CONTAINER) -> dict[str, str]:
    """Read the environment that a container's first process was started with."""
    answer = stage.door.capture(
        pod, ["cat", "/proc/1/environ"], namespace=stage.namespace, container=container
    )
    found = read_environ(answer.output)
    return {name: value.decode(errors="replace") for name, value in found.items()}


def text_of(
    stage: Stage, pod: str, path: str, *, container: str = CONTAINER
) -> str | None:
    """Read a file in a container; None: it is not there."""
    answer = stage.door.capture(
        pod, ["cat", path], namespace=stage.namespace, container=container
    )
    return answer.output.decode(errors="replace") if answer.code == 0 else None
