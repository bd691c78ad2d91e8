"""From a pod to the workload that made it, and what the workload's template says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.consumers.uses import uses_of
from cmhot.errors import UsageError
from cmhot.port.cluster import DEPLOYMENT, Kind

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from cmhot.consumers.reference import Reference
    from cmhot.consumers.uses import Object, Use

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
    spec, status = found["spec"], found.get("status") or {}
    if kind == "CronJob":
        template, pods, updated = spec["jobTemplate"]["spec"]["template"], 0, 0
    elif kind == "DaemonSet":
        template, pods = spec["template"], status.get("currentNumberScheduled", 0)
        updated = status.get("updatedNumberScheduled", 0)
    else:
        template, pods = spec["template"], status.get("replicas", 0)
        updated = status.get("updatedReplicas", 0)
        if status.get("currentRevision", "") == status.get("updateRevision"):
            updated = pods  # a StatefulSet counts them only during a rollout
    return Workload(
        owner=Owner(kind, found["metadata"]["name"]),
        uses=uses_of(template, reference),
        pods=pods,
        outdated=max(pods - updated, 0),
        paused=bool(spec.get("paused")),
    )


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
