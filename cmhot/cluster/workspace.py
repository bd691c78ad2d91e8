"""A namespace for one run: opened, labelled as the run's, waited in, and removed.

In a namespace of others each caller finds its own objects with the rights that it has:
a collection lists Deployments, a closed loop reads none, an experiment one by one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import CONFLICT, MANAGED_BY, NAMESPACE, POD
from cmhot.cluster.probe import RUN_LABEL, namespace_of
from cmhot.errors import ClusterError, NotReadyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Kind


READY_TIMEOUT_S = 300.0
"""Longest time for pods to become Ready: image pulls included."""
AGAIN_S = 1.0
"""Pause between two watches, should a cluster end them at once."""


@dataclass(slots=True)
class Workspace:
    """A namespace for one run: its own, which goes at the end, or a given one.

    A name is no proof: its own is the one with the UID that it was made with.
    """

    cluster: Cluster
    run_id: str
    namespace: str
    is_own: bool
    uid: str | None = None  # of its own; None: it has not been made

    @classmethod
    def of(cls, cluster: Cluster, run_id: str, given: str | None) -> Workspace:
        """Take the given namespace, or else one that is named after the run."""
        return cls(cluster, run_id, given or namespace_of(run_id), not given)

    @property
    def labels(self) -> dict[str, str]:
        """What the run's pods are found by."""
        return {RUN_LABEL: self.run_id}

    def open(self) -> None:
        """Make the namespace, or check that the given one exists.

        Raises
        ------
        UsageError
            When there is one of the name that it would make, whoever's it is.
        """
        if not self.is_own:
            self.cluster.get(NAMESPACE, self.namespace)
            return
        meta = {"name": self.namespace}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        try:
            made = self.cluster.create(labelled(manifest, self.run_id))
        except ClusterError as error:
            if error.status != CONFLICT:
                raise
            msg = (
                f"namespace {self.namespace}, which run {self.run_id} would make, is "
                f"there already{self._whose()}, and is left alone: measure in a "
                "--namespace of yours or name the run otherwise; `cmhot clean` removes "
                "what a run that has ended left"
            )
            raise UsageError(msg) from error
        self.uid = made["metadata"]["uid"]

    def _whose(self) -> str:
        """Say by its labels whose the namespace is, as far as one may look."""
        try:
            found = self.cluster.get(NAMESPACE, self.namespace)
        except ClusterError:
            return ""
        run_id = run_of(found)
        if run_id is not None:
            return f", of run {run_id}"
        labels = found["metadata"].get("labels") or {}
        told = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return f", of no run of cmhot (labels: {told or 'none'})"

    def await_ready(
        self,
        wanted: int,
        *,
        labels: Mapping[str, str] | None = None,
        report: Callable[[float], None] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """Watch pods, the run's or those with the labels, until so many are Ready.

        At each change the seconds that are left are reported. Returns the Ready pods
        by name; an error after `READY_TIMEOUT_S` says what the last pod waits for.
        """
        labels = self.labels if labels is None else labels
        clock = self.cluster.clock
        until = clock.monotonic() + READY_TIMEOUT_S
        ready: dict[str, dict[str, Any]] = {}
        last: dict[str, Any] | None = None
        where: dict[str, Any] = {"namespace": self.namespace, "labels": labels}
        while clock.monotonic() < until:
            pods, version = self.cluster.list(POD, **where)
            changes = self.cluster.watch(POD, **where, resource_version=version)
            for pod in itertools.chain(pods, changes):
                last = pod
                if is_pod_ready(pod):
                    ready[pod["metadata"]["uid"]] = pod
                report(until - clock.monotonic())
                if len(ready) >= wanted:
                    return sorted(ready.values(), key=_name_of)
                if clock.monotonic() > until:
                    break
            clock.sleep(AGAIN_S)
        msg = (
            f"only {len(ready)} of {wanted} probe pods became Ready within "
            f"{READY_TIMEOUT_S:.0f} s; {_why_not_ready(last)}"
        )
        raise NotReadyError(msg)

    def remove(
        self, objects: Iterable[tuple[Kind, str, str | None]]
    ) -> list[tuple[str, ClusterError]]:
        """Delete the namespace that was made, or these objects of a given one.

        Of each the name and the UID, None: whichever has its name. Returns what could
        not be deleted, and why.
        """
        if self.is_own:
            # what was never made, or is another's, is not there to be deleted
            objects = [(NAMESPACE, self.namespace, self.uid)] if self.uid else []
        left = []
        for kind, name, uid in objects:
            where = self.namespace if kind.namespaced else None
            try:
                self.cluster.delete(kind, name, namespace=where, uid=uid)
            except ClusterError as error:
                left.append((name, error))
        return left


def labelled(manifest: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Copy a manifest, with the labels by which `cmhot clean` finds the object."""
    meta = manifest["metadata"]
    own = {**MANAGED_BY, RUN_LABEL: run_id}
    labels = {**(meta.get("labels") or {}), **own}
    return {**manifest, "metadata": {**meta, "labels": labels}}


def run_of(found: Mapping[str, Any]) -> str | None:
    """Read from its label which run an object belongs to; None: to none."""
    labels: Mapping[str, str] = found["metadata"].get("labels") or {}
    return labels.get(RUN_LABEL)


def _name_of(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["name"])


def is_pod_ready(pod: dict[str, Any]) -> bool:
    """Report whether a pod's condition Ready is true and it is not being deleted."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions") or []
    )


def _why_not_ready(pod: dict[str, Any] | None) -> str:
    """Read from a pod's status what it waits for."""
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
