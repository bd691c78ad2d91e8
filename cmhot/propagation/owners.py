"""From a pod to the workload that made it, and what the workload's template says.

What passes by when all pods of a namespace are read, page by page.

Of each pod that uses the object little is kept, of the others a number:
a namespace may have thousands.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import DEPLOYMENT
from cmhot.errors import UsageError
from cmhot.kubelet.uses import Kind, references_of, unmounted, uses_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from cmhot.kubelet.uses import Object, Reference, Use


KINDS = {
    "Deployment": DEPLOYMENT,
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "DaemonSet": Kind("apps/v1", "daemonsets"),
    "CronJob": Kind("batch/v1", "cronjobs"),
}
"""Workloads with a template; what else makes pods is named by its pods alone."""
REFRESHED = ("Deployment", "StatefulSet", "DaemonSet")
"""Those that `cmhot refresh` knows."""


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """What made a pod.

    Attributes
    ----------
    kind
        ``Deployment`` …; ``Pod`` for one that nobody made.
    name
        Of the object.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        """Say it as `kubectl` does: ``deployment/web``."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """What a workload's template says of the object, and how its pods stand to it.

    Attributes
    ----------
    owner
        The workload.
    uses
        Of the template.
    pods
        That it has, by its status.
    outdated
        Of these, that were made from an older template.
    paused
        Whether it makes no new ones although the template changed.
    """

    owner: Owner
    uses: tuple[Use, ...]
    pods: int
    outdated: int
    paused: bool


def owner_of(pod: Object, known: Container[Owner]) -> Owner:
    """Name the workload that a pod belongs to, without a further request.

    A ReplicaSet of a Deployment is named after it and the hash of its template,
    a Job of a CronJob after it and the minute.

    Parameters
    ----------
    pod
        As the API server sends it.
    known
        The workloads that there are.
    """
    meta = pod["metadata"]
    for one in meta.get("ownerReferences") or ():
        if not one.get("controller"):
            continue
        kind, name = one["kind"], one["name"]
        if kind == "ReplicaSet":
            template = (meta.get("labels") or {}).get("pod-template-hash")
            maker = Owner("Deployment", name.removesuffix(f"-{template}"))
        elif kind == "Job":
            maker = Owner("CronJob", re.sub(r"-\d+$", "", name))
        else:
            maker = Owner(kind, name)
        return maker if maker in known else Owner(kind, name)
    return Owner("Pod", meta["name"])


def workload_of(found: Mapping[str, Any], kind: str, reference: Reference) -> Workload:
    """Read what matters of a workload.

    Parameters
    ----------
    found
        As the API server sends it.
    kind
        Of `KINDS`; an item of a list does not say it.
    reference
        The object that is asked about.
    """
    spec = found["spec"]
    in_job = kind == "CronJob"
    template = spec["jobTemplate"]["spec"]["template"] if in_job else spec["template"]
    pods, updated = _counted(found, kind)
    return Workload(
        owner=Owner(kind, found["metadata"]["name"]),
        uses=uses_of(template, reference),
        pods=pods,
        outdated=max(pods - updated, 0),
        paused=bool(spec.get("paused")),
    )


def _counted(found: Mapping[str, Any], kind: str) -> tuple[int, int]:
    """Count a workload's pods, and those of its present template, by its status."""
    status = found.get("status") or {}
    if kind == "CronJob":
        return 0, 0
    if kind == "DaemonSet":
        pods = status.get("currentNumberScheduled", 0)
        return pods, status.get("updatedNumberScheduled", 0)
    pods = status.get("replicas", 0)
    if status.get("currentRevision", "") == status.get("updateRevision"):
        return pods, pods  # a StatefulSet counts them only during a rollout
    return pods, status.get("updatedReplicas", 0)


def will_use(found: Mapping[str, Any], kind: str, reference: Reference) -> bool:
    """Tell whether a workload has pods that use an object, or will have some.

    Parameters
    ----------
    found
        As the API server sends it.
    kind
        Of `REFRESHED`.
    reference
        The object.
    """
    if not uses_of(found["spec"]["template"], reference):
        return False
    if kind != "DaemonSet":
        return bool(found["spec"].get("replicas", 1))
    status = found.get("status") or {}
    is_new = status.get("observedGeneration", 0) < found["metadata"].get(
        "generation", 0
    )
    return is_new or bool(status.get("desiredNumberScheduled", 0))


def is_rolling_out(found: Mapping[str, Any], kind: str) -> bool:
    """Tell whether pods of a workload will be replaced without anybody's doing.

    Parameters
    ----------
    found
        As the API server sends it.
    kind
        Of `REFRESHED`.
    """
    spec, status = found["spec"], found.get("status") or {}
    strategy = spec.get("strategy") or spec.get("updateStrategy") or {}
    if spec.get("paused") or strategy.get("type") == "OnDelete":
        return False
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return True
    kept = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    pods, updated = _counted(found, kind)
    return pods - updated > kept


def parse_workload(text: str) -> Owner:
    """Read ``deployment/NAME``, ``statefulset/NAME`` or ``daemonset/NAME``.

    Raises
    ------
    UsageError
        For anything else.
    """
    short = {"deploy": "Deployment", "sts": "StatefulSet", "ds": "DaemonSet"}
    known = {kind.lower(): kind for kind in REFRESHED} | short
    kind, _, name = text.strip().partition("/")
    kind = kind.lower()
    kind = kind.removesuffix("s") if kind not in known else kind
    if kind in known and name and "/" not in name:
        return Owner(known[kind], name)
    msg = (
        f"{text!r} names no workload: write deployment/NAME, statefulset/NAME or "
        "daemonset/NAME"
    )
    raise UsageError(msg)


_OVER = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class Consumer:
    """A pod that uses the object.

    Attributes
    ----------
    name, node
        Its own, and its node's; None: it is not scheduled.
    uses
        How.
    """

    name: str
    node: str | None
    uses: tuple[Use, ...]


@dataclass(slots=True)
class Survey:
    """Collects pods that use an object.

    Attributes
    ----------
    reference
        The object.
    workloads
        Of the namespace, by what names them.
    consumers
        Pods that use it, by their owner.
    pods
        All pods of an owner, whether they use it or not.
    named
        Objects of its kind that pods name.
    unmounted
        Volumes of it that no container mounts, by owner.
    total
        Pods that were read.
    """

    reference: Reference
    workloads: Mapping[Owner, Workload]
    consumers: dict[Owner, list[Consumer]] = field(default_factory=dict)
    pods: Counter[Owner] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)
    unmounted: dict[Owner, set[str]] = field(default_factory=dict)
    total: int = 0
    _same: dict[tuple[Use, ...], tuple[Use, ...]] = field(default_factory=dict)

    def add(self, page: Iterable[Object]) -> None:
        """Take a page of pods, and forget it."""
        for pod in page:
            self.total += 1
            if is_leaving(pod):
                continue
            owner = owner_of(pod, self.workloads)
            self.pods[owner] += 1
            references = references_of(pod)
            self.named |= {
                one.name for one in references if one.kind == self.reference.kind
            }
            if self.reference not in references:
                continue
            uses = uses_of(pod, self.reference)
            loose = unmounted(pod, self.reference)
            if loose:
                self.unmounted.setdefault(owner, set()).update(loose)
            # pods of a template are alike: one copy serves them all
            uses = self._same.setdefault(uses, uses)
            consumer = Consumer(
                pod["metadata"]["name"], pod["spec"].get("nodeName"), uses
            )
            self.consumers.setdefault(owner, []).append(consumer)

    def per_node(self) -> Counter[str]:
        """Count the pods of each node that use it; some may not be scheduled yet."""
        return Counter(
            one.node
            for pods in self.consumers.values()
            for one in pods
            if one.node is not None
        )


def is_leaving(pod: Object) -> bool:
    """Tell whether a pod's containers have ended, or are about to."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in _OVER or bool(pod["metadata"].get("deletionTimestamp"))
