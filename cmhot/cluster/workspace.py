"""Wait until pods are Ready, and say why one is not.

Whose an object is, by its labels: an experiment changes and removes its own only.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import DEPLOYMENT, MANAGED_BY, POD, SERVICE
from cmhot.cluster.probe import RUN_LABEL
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.kubelet.uses import CONFIG_MAP, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Kind


READY_TIMEOUT_S = 300.0
"""Longest time for pods to become Ready: image pulls included."""
AGAIN_S = 1.0
"""Between two watches, should a cluster end them at once."""


def await_ready(
    cluster: Cluster,
    wanted: int,
    *,
    namespace: str,
    labels: Mapping[str, str],
    tell: Callable[[float], None],
) -> list[dict[str, Any]]:
    """Watch pods until as many as wanted are Ready.

    Parameters
    ----------
    cluster
        Where.
    wanted
        How many.
    namespace, labels
        Which.
    tell
        Called at each change with the seconds that are left.

    Returns
    -------
    list of dict
        The Ready pods, in the order of their names.

    Raises
    ------
    ClusterError
        When the time is over; it says what the last pod waits for.
    """
    clock = cluster.clock
    until = clock.monotonic() + READY_TIMEOUT_S
    ready: dict[str, dict[str, Any]] = {}
    last: dict[str, Any] | None = None
    while clock.monotonic() < until:
        pods, version = cluster.list(POD, namespace=namespace, labels=labels)
        changes = cluster.watch(
            POD, namespace=namespace, labels=labels, resource_version=version
        )
        for pod in itertools.chain(pods, changes):
            last = pod
            if is_pod_ready(pod):
                ready[pod["metadata"]["uid"]] = pod
            tell(until - clock.monotonic())
            if len(ready) >= wanted:
                return sorted(ready.values(), key=lambda one: one["metadata"]["name"])
            if clock.monotonic() > until:
                break
        clock.sleep(AGAIN_S)
    msg = (
        f"only {len(ready)} of {wanted} probe pods became Ready within "
        f"{READY_TIMEOUT_S:.0f} s; {why_not_ready(last)}"
    )
    raise ClusterError(msg)


def is_pod_ready(pod: dict[str, Any]) -> bool:
    """Tell whether a pod's condition Ready is true and it is not going away."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions") or []
    )


def why_not_ready(pod: dict[str, Any] | None) -> str:
    """Say what a pod's status tells of its waiting."""
    if pod is None:
        return "the cluster created none: look at the events of the namespace"
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            reason, text = waiting.get("reason"), waiting.get("message", "")
            return f"{name} waits: {reason} {text}".strip()
    for condition in status.get("conditions") or []:
        if condition["status"] == "False" and condition.get("message"):
            return f"{name}: {condition['message']}"
    return f"{name} is {status.get('phase', 'unknown')}"


KINDS: dict[str, Kind] = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Pod": POD,
    "Secret": SECRET,
    "Service": SERVICE,
}
"""What an experiment makes, and has to remove from a namespace that is not its own."""


def labelled(manifest: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Copy a manifest, with the labels by which `cmhot clean` finds the object."""
    meta = manifest["metadata"]
    own = {**MANAGED_BY, RUN_LABEL: run_id}
    labels = {**(meta.get("labels") or {}), **own}
    return {**manifest, "metadata": {**meta, "labels": labels}}


def run_of(cluster: Cluster, kind: Kind, name: str, *, namespace: str) -> str | None:
    """Read which run an object is of; empty: none, None: there is no such object."""
    try:
        found = cluster.get(kind, name, namespace=namespace)
    except NotFoundError:
        return None
    return str((found["metadata"].get("labels") or {}).get(RUN_LABEL, ""))


def taken(kind: Kind, name: str, *, namespace: str, run_id: str) -> UsageError:
    """Say that an object is there already, and what to do.

    Parameters
    ----------
    kind, name, namespace
        Which.
    run_id
        Whose it is; empty: no run's.
    """
    said = f"{kind.plural}/{name} in namespace {namespace} is there already, and "
    if not run_id:
        return UsageError(
            f"{said}this experiment makes one of that name: give another namespace, or "
            "none, and it makes one of its own"
        )
    kinds = ",".join(one.plural for one in KINDS.values())
    return UsageError(
        f"{said}is of run {run_id}: wait until that has ended, or remove what it left, "
        f"kubectl delete {kinds} -n {namespace} -l {RUN_LABEL}={run_id}"
    )
