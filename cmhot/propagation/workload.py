"""What stands around a workload, and how far its rollout is.

Pure functions on objects as the API server sends them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cmhot.kubelet.uses import Object
    from cmhot.propagation.owners import Owner


REMEMBERED = "cmhot.dev/replicas"
"""Annotation of a workload that we have scaled to nothing: how many replicas it had,
and the generation which that request made, ``3@8``. Whoever scales it or changes its
template afterwards makes another one: then the number is no longer ours to restore."""
TOUCHED = "cmhot.dev/refreshed"
"""Annotation of a pod, or of a template, whose change is a refresh."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """A workload and what acts on it.

    Attributes
    ----------
    owner
        Which.
    found
        The workload, as the API server sent it.
    autoscalers, budgets
        HorizontalPodAutoscalers that scale it, PodDisruptionBudgets of its pods;
        None: they may not be listed.
    """

    owner: Owner
    found: Object
    autoscalers: tuple[str, ...] | None
    budgets: tuple[Object, ...] | None

    @property
    def replicas(self) -> int:
        """How many pods it wants."""
        return replicas_of(self.found, self.owner.kind)

    @property
    def note(self) -> str:
        """What to write into `REMEMBERED` in the request that scales it to nothing."""
        return f"{self.replicas}@{self.found['metadata']['generation'] + 1}"

    @property
    def remembered(self) -> int | None:
        """How many replicas it had before an interrupted call; None: there was none.

        A number is believed while the workload is as that call has left it.
        """
        number, generation = self._noted
        unchanged = generation == str(self.found["metadata"].get("generation"))
        return number if unchanged else None

    @property
    def forgotten(self) -> str | None:
        """Say what an interrupted call noted before somebody changed the workload."""
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
    def labels(self) -> Mapping[str, str]:
        """Labels of its pods."""
        meta = self.found["spec"]["template"].get("metadata") or {}
        return meta.get("labels") or {}

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
        kind = self.strategy.get("type", "RollingUpdate")
        if kind == "Recreate":
            return self.replicas
        limit = (self.strategy.get("rollingUpdate") or {}).get("maxUnavailable")
        if limit is None:
            return max(self.replicas // 4, 0) if self.owner.kind == "Deployment" else 1
        if isinstance(limit, str):
            share = float(limit.removesuffix("%")) / 100
            least = 0 if self.owner.kind == "Deployment" else 1
            return max(math.floor(share * self.replicas), least)
        return int(limit)


def replicas_of(found: Object, kind: str) -> int:
    """Tell how many pods a workload of a kind wants; a DaemonSet has no such wish."""
    if kind == "DaemonSet":
        return int((found.get("status") or {}).get("desiredNumberScheduled", 0))
    return int(found["spec"].get("replicas", 1))


def _strategy(spec: Object) -> Mapping[str, Any]:
    return spec.get("strategy") or spec.get("updateStrategy") or {}


def scaled_by(autoscalers: Iterable[Object], owner: Owner) -> tuple[str, ...]:
    """Name the HorizontalPodAutoscalers of a workload."""
    return tuple(
        one["metadata"]["name"]
        for one in autoscalers
        if (ref := one["spec"]["scaleTargetRef"])["kind"] == owner.kind
        and ref["name"] == owner.name
    )


def budgets_of(budgets: Iterable[Object], labels: Mapping[str, str]) -> list[Object]:
    """List the PodDisruptionBudgets of pods with these labels.

    One that chooses by expressions is taken to be meant.
    """
    return [
        one
        for one in budgets
        if (selector := one["spec"].get("selector")) is not None
        and (selector.get("matchLabels") or {}).items() <= labels.items()
    ]


def is_rolled_out(found: Object, kind: str) -> bool:
    """Tell whether all pods of a workload are from its present template, and available.

    Parameters
    ----------
    found
        The workload.
    kind
        Of it.
    """
    spec, status = found["spec"], found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
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
