"""Which workload a pod belongs to, and how far that workload's rollout is.

Pure functions on objects as the API server sends them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import DEPLOYMENT
from cmhot.errors import UsageError
from cmhot.kubelet.uses import Kind, uses_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cmhot.kubelet.uses import Object, Reference, Use


KINDS = {
    "Deployment": DEPLOYMENT,
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "DaemonSet": Kind("apps/v1", "daemonsets"),
    "CronJob": Kind("batch/v1", "cronjobs"),
}
"""Workloads with a template; other owners are known from their pods alone."""
REFRESHED = ("Deployment", "StatefulSet", "DaemonSet")
"""Workloads that `cmhot refresh` handles."""
REMEMBERED = "cmhot.dev/replicas"
"""Annotation of a workload that we have scaled to nothing: its former replicas, and the
generation that this request made, ``3@8``. Scaling it or changing its template makes
another generation: then the number is no longer ours to restore."""
TOUCHED = "cmhot.dev/refreshed"
"""Annotation of a pod whose change is a refresh."""
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""Annotation of a template whose change is a rollout, as `kubectl rollout restart` has
it."""
_ENDED = {"Succeeded", "Failed"}
_GROUPS = {
    **dict.fromkeys(["ReplicaSet", "Deployment", "StatefulSet", "DaemonSet"], "apps"),
    **dict.fromkeys(["Job", "CronJob"], "batch"),
    **dict.fromkeys(["ReplicationController", "Node"], ""),
}
"""API groups of Kubernetes' own kinds that own pods."""
_RUN = re.compile(r"(?P<cronjob>.+)-(2[5-9]\d|[3-9]\d\d)\d{5}")
"""Name of a CronJob's Job: the minute since 1970 that it was due in; no date."""


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """The owner of a pod; of kind ``Pod``, a pod without an owner.

    ``group`` is the API group of a kind that is not Kubernetes' own: a Deployment or a
    StatefulSet of another group is none of ours.
    """

    kind: str
    name: str
    group: str = ""

    def __str__(self) -> str:
        """Say it as `kubectl` does: ``deployment/web``."""
        kind = self.kind.lower()
        return (
            f"{kind}.{self.group}/{self.name}" if self.group else f"{kind}/{self.name}"
        )

    @property
    def is_refreshed(self) -> bool:
        """Whether `cmhot refresh` handles it."""
        return self.kind in REFRESHED and not self.group


@dataclass(frozen=True, slots=True)
class Replacement:
    """How a workload replaces its pods, and who else changes the workload.

    Attributes
    ----------
    strategy
        ``RollingUpdate``, ``Recreate`` or ``OnDelete``.
    partition
        Below which ordinal a StatefulSet's rollout leaves the pods alone.
    paused
        Whether its rollouts are stopped.
    operator
        Its own controller, which may undo changes; None: it has none.
    """

    strategy: str = "RollingUpdate"
    partition: int = 0
    paused: bool = False
    operator: Workload | None = None

    @property
    def reaches_all(self) -> bool:
        """Whether a changed template replaces every pod."""
        return self.strategy != "OnDelete" and not self.partition and not self.paused


@dataclass(frozen=True, slots=True)
class WorkloadUses:
    """How a workload's template uses an object, and how its pods stand to it."""

    owner: Workload
    uses: tuple[Use, ...]
    pods: int  # by its status, as `outdated`
    outdated: int  # made from an older template
    replacement: Replacement


def parse_workload(text: str) -> Workload:
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
        return Workload(known[kind], name)
    msg = (
        f"{text!r} names no workload: write deployment/NAME, statefulset/NAME or "
        "daemonset/NAME"
    )
    raise UsageError(msg)


def owner_of(pod: Object, is_known: Callable[[Workload], bool]) -> Workload:
    """Name the workload that a pod belongs to, without a further request.

    A ReplicaSet of a Deployment is named after it and the hash of its template, which
    is a label of its pods; a Job of a CronJob after it and the minute. That is believed
    where the workload ``is_known``.
    """
    meta = pod["metadata"]
    owner = controller_of(pod)
    if owner is None:
        return Workload("Pod", meta["name"])
    maker = owner
    if owner.group:
        return owner
    if owner.kind == "ReplicaSet":
        template = (meta.get("labels") or {}).get("pod-template-hash")
        if template and owner.name.endswith(f"-{template}"):
            maker = Workload("Deployment", owner.name.removesuffix(f"-{template}"))
    elif owner.kind == "Job" and (run := _RUN.fullmatch(owner.name)):
        maker = Workload("CronJob", run["cronjob"])
    return maker if is_known(maker) else owner


def controller_of(found: Object) -> Workload | None:
    """Name the controller of an object by its own reference; None: it has none."""
    for one in found["metadata"].get("ownerReferences") or ():
        if one.get("controller"):
            kind, group = one["kind"], one["apiVersion"].rpartition("/")[0]
            is_own = _GROUPS.get(kind) == group
            return Workload(kind, one["name"], "" if is_own else group)
    return None


def is_pod_of(pod: Object, found: Object, owner: Workload) -> bool:
    """Report whether a pod is a workload's own: by its controller, not by its labels.

    Of the same kind and name, that may still be one that was deleted, and made anew.
    """
    if owner_of(pod, lambda one: one == owner) != owner:
        return False
    uids = {
        one.get("uid")
        for one in pod["metadata"]["ownerReferences"]
        if one.get("controller") and one["kind"] == owner.kind
    }
    return uids <= {None, found["metadata"].get("uid")}


def last_writer(found: Object) -> str:
    """Name who has written an object last, its status left aside; empty: not told."""
    fields: Sequence[Object] = found["metadata"].get("managedFields") or ()
    written = [one for one in fields if not one.get("subresource") and one.get("time")]
    last = max(written, key=lambda one: str(one["time"]), default={})
    return str(last.get("manager", ""))


def nodes_of_unready(pods: Iterable[Object]) -> list[str]:
    """Name the nodes on which pods are not Ready."""
    return sorted(
        {
            pod["spec"].get("nodeName") or "no node"
            for pod in pods
            if not any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in (pod.get("status") or {}).get("conditions") or ()
            )
        }
    )


def number_of(number: int, thing: str) -> str:
    """Count things in words: ``1 pod``, ``2 pods``."""
    return f"{number} {thing}{'s' * (number != 1)}"


def is_leaving(pod: Object) -> bool:
    """Report whether a pod's containers have ended, or are about to."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in _ENDED or bool(pod["metadata"].get("deletionTimestamp"))


def selector_of(found: Object) -> dict[str, str] | None:
    """Give the labels of a workload's pods; None: labels alone do not choose them."""
    selector = found["spec"]["selector"]
    if selector.get("matchExpressions"):
        return None
    labels: dict[str, str] = selector["matchLabels"]
    return labels


def template_of(found: Object, kind: str) -> Object:
    """Give the pod template of a workload of `KINDS`."""
    spec = found["spec"]
    inner = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    template: Object = inner["template"]
    return template


def workload_uses(found: Object, kind: str, reference: Reference) -> WorkloadUses:
    """Read how a workload of `KINDS` uses an object; a list's items lack their kind."""
    pods, updated = _counted(found, kind)
    return WorkloadUses(
        owner=Workload(kind, found["metadata"]["name"]),
        uses=uses_of(template_of(found, kind), reference),
        pods=pods,
        outdated=max(pods - updated, 0),
        replacement=replacement_of(found),
    )


def replacement_of(found: Object) -> Replacement:
    """Read how a workload replaces its pods."""
    spec, strategy = found["spec"], _strategy(found["spec"])
    return Replacement(
        strategy=strategy.get("type") or "RollingUpdate",
        partition=int((strategy.get("rollingUpdate") or {}).get("partition") or 0),
        paused=bool(spec.get("paused")),
        operator=controller_of(found),
    )


def _counted(found: Object, kind: str) -> tuple[int, int]:
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


def will_use(found: Object, kind: str, reference: Reference) -> bool:
    """Report whether a workload of `REFRESHED` has, or will have, pods that use it."""
    if not uses_of(found["spec"]["template"], reference):
        return False
    if kind != "DaemonSet":
        return bool(found["spec"].get("replicas", 1))
    wanted = (found.get("status") or {}).get("desiredNumberScheduled", 0)
    return _is_unseen(found) or bool(wanted)


def _is_unseen(found: Object) -> bool:
    """Report whether a workload's status is older than its specification."""
    observed = (found.get("status") or {}).get("observedGeneration", 0)
    return bool(observed < found["metadata"].get("generation", 0))


def _strategy(spec: Object) -> Mapping[str, Any]:
    return spec.get("strategy") or spec.get("updateStrategy") or {}


def is_rolling_out(found: Object, kind: str) -> bool:
    """Report whether a workload's own rollout is about to replace some of its pods."""
    spec = found["spec"]
    strategy = _strategy(spec)
    if spec.get("paused") or strategy.get("type") == "OnDelete":
        return False
    if _is_unseen(found):
        return True
    kept = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    pods, updated = _counted(found, kind)
    return pods - updated > kept


def pods_to_come(found: Object, kind: str) -> str:
    """Say which pods a workload is still to make or to end; empty: none.

    Pods that stay what they are, under OnDelete, a partition or a pause, do not count.
    """
    if _is_unseen(found):
        return "its controller has not seen its last change yet"
    status, wanted = found.get("status") or {}, replicas_of(found, kind)
    field = "currentNumberScheduled" if kind == "DaemonSet" else "replicas"
    there = int(status.get(field, 0))
    if there < wanted:
        return f"{wanted - there} of its {wanted} pods are not there yet"
    if is_rolling_out(found, kind):
        pods, updated = _counted(found, kind)
        return f"{pods - updated} of its {pods} pods are of an older template"
    if there > wanted:
        return f"it has {there} pods, and wants {wanted}"
    return ""


def is_rolled_out(found: Object, kind: str) -> bool:
    """Report whether all pods are from the present template, and available."""
    spec, status = found["spec"], found.get("status") or {}
    if _is_unseen(found):
        return False
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated = status.get("updatedNumberScheduled", 0)
        return bool(updated == wanted == status.get("numberAvailable", 0))
    wanted = spec.get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    if kind == "StatefulSet":
        # under OnDelete, no rollout ends, and the current revision never moves
        is_rolling = _strategy(spec).get("type") != "OnDelete"
        if is_rolling and status.get("currentRevision") != status.get("updateRevision"):
            return False
        updated = status.get("replicas", 0)
    return bool(
        updated == wanted == status.get("replicas", 0)
        and status.get("availableReplicas", 0) == wanted
    )


def replicas_of(found: Object, kind: str) -> int:
    """Return how many pods a workload wants; a DaemonSet has it in its status."""
    if kind == "DaemonSet":
        return int((found.get("status") or {}).get("desiredNumberScheduled", 0))
    return int(found["spec"].get("replicas", 1))


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """A workload as it was read, and the autoscalers and budgets of its pods.

    ``autoscalers`` scale it, ``budgets`` are PodDisruptionBudgets of its pods;
    None: they may not be listed.
    """

    owner: Workload
    found: Object
    autoscalers: tuple[str, ...] | None
    budgets: tuple[Object, ...] | None

    @property
    def replicas(self) -> int:
        """How many pods it wants."""
        return replicas_of(self.found, self.owner.kind)

    @property
    def note(self) -> str:
        """The value of `REMEMBERED` for the request that scales it to nothing."""
        return f"{self.replicas}@{self.found['metadata']['generation'] + 1}"

    @property
    def remembered(self) -> int | None:
        """How many replicas it had before an interrupted call; None: there was none.

        The number counts while the workload is as that call left it.
        """
        number, generation = self._noted
        unchanged = generation == str(self.found["metadata"].get("generation"))
        return number if unchanged else None

    @property
    def forgotten(self) -> str | None:
        """Return an interrupted call's note that a later change has made void."""
        number, _ = self._noted
        if number is None or self.remembered is not None:
            return None
        return (
            f"an interrupted call noted that {self.owner} had {number} replicas, and "
            "it was changed since then: should it have them, "
            f"`kubectl scale {self.owner} --replicas={number}`"
        )

    @property
    def _noted(self) -> tuple[int | None, str]:
        """Replicas and generation in the annotation; it is void if there are pods."""
        text = (self.found["metadata"].get("annotations") or {}).get(REMEMBERED, "")
        number, _, generation = text.partition("@")
        is_void = self.replicas > 0 or not number.isdecimal()
        return None if is_void else int(number), generation

    @property
    def strategy(self) -> Mapping[str, Any]:
        """How it replaces pods."""
        return _strategy(self.found["spec"])

    @property
    def partition(self) -> int:
        """Below which ordinal a StatefulSet's rollout leaves the pods alone."""
        return int((self.strategy.get("rollingUpdate") or {}).get("partition") or 0)

    @property
    def deletes_claims(self) -> bool:
        """Whether volume claims are deleted with the pods that scaling takes away."""
        spec = self.found["spec"]
        policy = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        has_claims = bool(spec.get("volumeClaimTemplates"))
        return has_claims and policy.get("whenScaled") == "Delete"

    @property
    def unavailable(self) -> int:
        """How many pods may be missing during its rollout."""
        if self.strategy.get("type", "RollingUpdate") == "Recreate":
            return self.replicas
        least = 0 if self.owner.kind == "Deployment" else 1
        limit = (self.strategy.get("rollingUpdate") or {}).get("maxUnavailable")
        if limit is None:
            limit = "25%" if self.owner.kind == "Deployment" else 1
        if isinstance(limit, str):
            share = float(limit.removesuffix("%")) / 100
            return max(math.floor(share * self.replicas), least)
        return int(limit)


def scaled_by(autoscalers: Iterable[Object], owner: Workload) -> tuple[str, ...]:
    """Name the HorizontalPodAutoscalers of a workload."""
    return tuple(
        one["metadata"]["name"]
        for one in autoscalers
        if (ref := one["spec"]["scaleTargetRef"])["kind"] == owner.kind
        and ref["name"] == owner.name
    )


def budgets_of(budgets: Iterable[Object], labels: Mapping[str, str]) -> list[Object]:
    """List the PodDisruptionBudgets of pods with these labels.

    A budget that selects by expressions is taken to select them.
    """
    return [
        one
        for one in budgets
        if (selector := one["spec"].get("selector")) is not None
        and (selector.get("matchLabels") or {}).items() <= labels.items()
    ]
