"""What speaks against a refresh: refusals, each with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from cmhot.refreshing.circumstances import Circumstances

HPA, PDB = "hpa", "pdb"
"""What a refresh may be told to go on in spite of."""


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
    if around.partition:
        msg = (
            f"a rollout of {owner} leaves its pods below {around.partition} as they "
            "are (partition): set that to 0, or use --method annotate"
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
        raise UsageError(_with(around.forgotten, msg))
    _refuse_loss(around)
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
    if around.budgets is None and PDB not in despite:
        msg = (
            f"whether a PodDisruptionBudget wants pods of {owner} to stay may not be "
            "seen: look yourself, and say --despite pdb, or use --method rollout"
        )
        raise UsageError(msg)
    _refuse_budget(around, around.replicas, despite, "to recreate")


def refuse_annotate(around: Circumstances) -> None:
    """Refuse to touch pods where there are none.

    Raises
    ------
    UsageError
        With the remedy.
    """
    if around.replicas == 0:
        msg = f"{around.owner} has no pods: there is nothing to touch"
        raise UsageError(_with(around.forgotten, msg))


def _with(more: str | None, msg: str) -> str:
    return msg if more is None else f"{msg}; {more}"


def _refuse_loss(around: Circumstances) -> None:
    """Refuse what new pods do not bring back."""
    owner = around.owner
    if around.deletes_claims:
        msg = (
            f"to scale {owner} to nothing would delete its PersistentVolumeClaims and "
            "what is in them (persistentVolumeClaimRetentionPolicy.whenScaled: "
            "Delete): use --method rollout"
        )
        raise UsageError(msg)
    status = around.found.get("status") or {}
    if around.partition and status.get("currentRevision") != status.get(
        "updateRevision"
    ):
        msg = (
            f"{owner} holds back an update below pod {around.partition} (partition), "
            "and to scale it to nothing would end that: use --method annotate"
        )
        raise UsageError(msg)


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
