"""What stands around a workload, and what speaks against touching it.

Pure functions on objects as the API server sends them; refusals are errors of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cmhot.consumers.owners import Owner
    from cmhot.consumers.uses import Object

REMEMBERED = "cmhot.dev/replicas"
"""Annotation of a workload that we have scaled to nothing: how many replicas it had."""
TOUCHED = "cmhot.dev/refreshed"
"""Annotation of a pod, or of a template, whose change is a refresh."""
HPA, PDB = "hpa", "pdb"
"""What a refresh may be told to go on in spite of."""


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
        """How many pods it wants; a DaemonSet: has."""
        if self.owner.kind == "DaemonSet":
            return int(
                (self.found.get("status") or {}).get("desiredNumberScheduled", 0)
            )
        return int(self.found["spec"].get("replicas", 1))

    @property
    def remembered(self) -> int | None:
        """How many replicas it had before an interrupted call; None: there was none."""
        text = (self.found["metadata"].get("annotations") or {}).get(REMEMBERED)
        return int(text) if text and text.isdecimal() and self.replicas == 0 else None

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its pods."""
        meta = self.found["spec"]["template"].get("metadata") or {}
        return meta.get("labels") or {}

    @property
    def strategy(self) -> Mapping[str, Any]:
        """How it replaces pods."""
        spec = self.found["spec"]
        return spec.get("strategy") or spec.get("updateStrategy") or {}

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


def refuse_rollout(around: Circumstances, despite: Collection[str]) -> None:
    """Refuse a rollout that would not happen, or would take too many pods at once.

    Raises
    ------
    UsageError
        With the remedy.
    """
    owner = around.owner
    if around.found["spec"].get("paused"):
        msg = f"{owner} is paused: resume it first (kubectl rollout resume {owner})"
        raise UsageError(msg)
    if around.strategy.get("type") == "OnDelete":
        msg = (
            f"{owner} replaces pods only when they are deleted (OnDelete): "
            "delete them, or use --method annotate"
        )
        raise UsageError(msg)
    _refuse_budget(around, around.unavailable, despite, "a rollout of")


def refuse_recreate(around: Circumstances, despite: Collection[str]) -> None:
    """Refuse to scale to nothing what others scale, or what must stay available.

    Raises
    ------
    UsageError
        With the remedy.
    """
    owner = around.owner
    if owner.kind == "DaemonSet":
        msg = f"{owner} has no replicas to scale: use --method rollout"
        raise UsageError(msg)
    if around.replicas == 0:
        msg = f"{owner} has no replicas: there is nothing to recreate"
        raise UsageError(msg)
    if around.autoscalers is None and HPA not in despite:
        msg = (
            f"whether an autoscaler scales {owner} may not be seen: look yourself, and "
            "say --despite hpa, or use --method rollout"
        )
        raise UsageError(msg)
    if around.autoscalers and HPA not in despite:
        msg = (
            f"{owner} is scaled by the autoscaler {', '.join(around.autoscalers)}, "
            "which acts on the same replicas: use --method rollout, or say "
            "--despite hpa"
        )
        raise UsageError(msg)
    _refuse_budget(around, around.replicas, despite, "to recreate")


def _refuse_budget(
    around: Circumstances, missing: int, despite: Collection[str], what: str
) -> None:
    """Refuse when more pods would be missing than a budget allows now."""
    if PDB in despite:
        return
    for budget in around.budgets or ():
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        if missing > allowed:
            msg = (
                f"{what} {around.owner} takes away up to {missing} of its pods at "
                f"once, and the PodDisruptionBudget {budget['metadata']['name']} "
                f"allows {allowed} now: use --method annotate, let the strategy or the "
                "budget allow it, or say --despite pdb"
            )
            raise UsageError(msg)


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
    if kind == "StatefulSet" and status.get("currentRevision") != status.get(
        "updateRevision"
    ):
        return False
    updated = status.get("updatedReplicas", 0)
    if kind == "StatefulSet":
        updated = status.get("replicas", 0)
    return bool(
        updated == wanted == status.get("replicas", 0)
        and status.get("availableReplicas", 0) == wanted
    )
