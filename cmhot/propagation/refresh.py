"""Make the pods of a workload see an update at once, and verify that they do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cmhot.display import Page, Shown, as_lines
from cmhot.errors import UsageError
from cmhot.propagation.methods import (
    IN_PHASE,
    WorkloadRefresh,
    annotate,
    choose_objects,
    find_caching_nodes,
    pods_to_touch,
    recreate,
    roll_out,
    scale_up,
    verify,
)
from cmhot.propagation.workload import parse_workload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Reference
    from cmhot.propagation.wait import Waited
    from cmhot.propagation.workload import Workload, WorkloadState


DEFAULT_TIMEOUT_S = 300.0
DEFAULT_RATE_PER_S = 50.0
"""Pods touched a second: an API server can do far more, but each is a watch event."""
HPA, PDB = "hpa", "pdb"
"""Reasons to refuse that ``despite`` may override."""


class Method(StrEnum):
    """The ways to make pods see an update at once."""

    ANNOTATE = "annotate"
    """Touch each pod: that syncs it, and a sync reads its volumes."""
    ROLLOUT = "rollout"
    """Change the template: the workload replaces its pods by its strategy."""
    RECREATE = "recreate"
    """Scale to nothing and back: there are no pods in between."""


@dataclass(frozen=True, slots=True, repr=False)
class Refreshed(Shown):
    """How a refresh went.

    Attributes
    ----------
    owner, namespace
        The workload.
    method
        How.
    dry_run
        Whether nothing was done, and `steps` lists what would be.
    steps
        What was done, in order.
    warnings
        Warnings about the method, and about what could not be verified.
    pods
        Pods that the workload had.
    writes
        Requests that changed something.
    acted_s
        Seconds from the call until all steps were done; None: a dry run.
    seconds
        Seconds from the call until it was verified.
    restored
        Replicas that an earlier call had left at nothing, and this one brought back;
        None: there was none.
    verified
        The content found inside the pods afterwards, object by object.
    """

    owner: Workload
    namespace: str
    method: Method
    dry_run: bool
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    pods: int
    writes: int = 0
    acted_s: float | None = None
    seconds: float = 0.0
    restored: int | None = None
    verified: tuple[Waited, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all containers that were inspected have it; a dry run is fine."""
        return all(one.landed for one in self.verified)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``refresh --json``."""
        return {
            "workload": str(self.owner),
            "namespace": self.namespace,
            "method": self.method.value,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "steps": list(self.steps),
            "warnings": list(self.warnings),
            "pods": self.pods,
            "writes": self.writes,
            "acted_s": self.acted_s,
            "seconds": self.seconds,
            "restored": self.restored,
            "verified": [one.to_dict() for one in self.verified],
        }

    def to_text(self) -> str:
        """Write the outcome for people."""
        would = "would " * self.dry_run
        lines = [self._heading()]
        lines += [f"  {would}{step}" for step in self.steps]
        lines += [f"! {warning}" for warning in self.warnings]
        for one in self.verified:
            lines += one.to_text().split("\n")
        return as_lines([*lines, *self._durations()])

    def page(self) -> Page:
        """Show the steps, and the containers that still lag behind."""
        would = "would " * self.dry_run
        pages = [one.page() for one in self.verified]
        notes = [
            *(f"{would}{step}" for step in self.steps),
            *self.warnings,
            *(line for one in pages for line in (one.heading, *one.notes)),
            *self._durations(),
        ]
        return Page(self._heading(), [row for one in pages for row in one.rows], notes)

    def _heading(self) -> str:
        would = "would " * self.dry_run
        return f"{self.owner} in {self.namespace}, {self.method} {would}".rstrip()

    def _durations(self) -> list[str]:
        if self.acted_s is None:
            return []
        return [f"done after {self.acted_s:.1f} s, verified after {self.seconds:.1f} s"]


def refresh(
    cluster: Cluster,
    workload: str,
    *,
    method: str,
    namespace: str | None = None,
    configmap: str | None = None,
    dry_run: bool = False,
    despite: Collection[str] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
    rate_per_s: float = DEFAULT_RATE_PER_S,
    tell: Callable[[str], None] = lambda _: None,
) -> Refreshed:
    """Make the pods of a workload see an update at once, and verify that they do.

    A call that finds the workload scaled to nothing by an earlier, interrupted one
    brings its replicas back, whatever the method: its pods are new then.

    Parameters
    ----------
    cluster
        From `connect`.
    workload
        ``deployment/NAME``, ``statefulset/NAME`` or ``daemonset/NAME``.
    method
        ``annotate`` (a sync of each pod: volumes are read again, nothing restarts),
        ``rollout`` (new pods, by the workload's strategy) or
        ``recreate`` (no pods, then new ones).
    namespace
        Of the workload; None: that of the context.
    configmap
        Verify this one alone: its name, or ``secret/NAME``;
        None: all ConfigMaps that the pods' containers use, without init containers.
    dry_run
        List what would be done, and do nothing.
    despite
        Reasons to refuse that are overridden: ``hpa`` (an autoscaler scales it),
        ``pdb`` (a PodDisruptionBudget allows fewer pods to be missing);
        for ``recreate`` also that they may not be listed.
    timeout_s
        Longest time for the whole refresh, seconds.
    rate_per_s
        Most pods that are touched in a second.
    tell
        Called with a line about each step.

    Returns
    -------
    Refreshed
        With ``ok``, the seconds, and the content found inside the pods.

    Raises
    ------
    NotFoundError
        There is no such workload, or no such object.
    UsageError
        The method cannot work here, or there is a reason to refuse.
    ClusterError
        It was not complete in time.
    """
    namespace = namespace or cluster.namespace
    chosen = _method(method)
    unknown = sorted(set(despite) - {HPA, PDB})
    if unknown:
        msg = f"--despite {unknown[0]} is not known: it takes {HPA} or {PDB}"
        raise UsageError(msg)
    begin = cluster.clock.monotonic()
    work = WorkloadRefresh(
        cluster=cluster,
        owner=parse_workload(workload),
        namespace=namespace,
        until_s=begin + timeout_s,
        report=tell,
    )
    state = work.state()
    references: Sequence[Reference] = ()
    if state.remembered is None:
        references = choose_objects(work, state.found, configmap)
        _refuse(chosen, state, references, despite)
        work.warnings += filter(None, [state.forgotten])
    steps = _steps(chosen, state, work, references)
    acted_s, seconds = None, 0.0
    verified: tuple[Waited, ...] = ()
    if not dry_run:
        _act(chosen, state, work, references, rate_per_s)
        acted_s = cluster.clock.monotonic() - begin
        if state.remembered is not None:
            # no problem with an object may keep the pods away
            references = choose_objects(work, state.found, configmap)
        verified = verify(
            work,
            work.read(),
            references,
            # content that no sync brings is out of this method's reach
            updatable_only=chosen is Method.ANNOTATE,
        )
        seconds = cluster.clock.monotonic() - begin
    return Refreshed(
        owner=work.owner,
        namespace=namespace,
        method=chosen,
        dry_run=dry_run,
        steps=tuple(steps),
        warnings=tuple(work.warnings),
        pods=state.replicas,
        writes=work.writes,
        acted_s=acted_s,
        seconds=seconds,
        restored=None if dry_run else state.remembered,
        verified=verified,
    )


def _method(text: str) -> Method:
    try:
        return Method(text)
    except ValueError:
        known = ", ".join(Method)
        msg = f"method {text!r} is not known: choose one of {known}"
        raise UsageError(msg) from None


def _refuse(
    method: Method,
    state: WorkloadState,
    references: Sequence[Reference],
    despite: Collection[str],
) -> None:
    if method is Method.ROLLOUT:
        refuse_rollout(state, despite)
    elif method is Method.RECREATE:
        refuse_recreate(state, despite)
    else:
        refuse_annotate(state)
        if not references:
            msg = f"{state.owner} uses no ConfigMap: name the object with --configmap"
            raise UsageError(msg)


def _steps(
    method: Method,
    state: WorkloadState,
    work: WorkloadRefresh,
    references: Sequence[Reference],
) -> list[str]:
    """List the steps that will be done, and warn of their effects."""
    number = state.replicas
    if state.remembered is not None:
        work.warnings.append("an earlier call was interrupted while there were no pods")
        return [f"scale back to the {state.remembered} replicas that it had"]
    if method is Method.ANNOTATE:
        pods = pods_to_touch(work.pods(state.found), references)
        find_caching_nodes(work, pods)
        work.warnings.append(IN_PHASE)
        return [f"touch {len(pods)} of {number} pods, and again who read too early"]
    if method is Method.ROLLOUT:
        kind = state.strategy.get("type", "RollingUpdate")
        missing = f"at most {state.unavailable} of them missing at a time"
        return [f"replace {number} pods by {kind}, {missing}"]
    return [
        f"remember {number} replicas, scale to 0, wait until the last pod has gone",
        f"scale back to {number}, wait until all are available",
    ]


def _act(
    method: Method,
    state: WorkloadState,
    work: WorkloadRefresh,
    references: Sequence[Reference],
    rate_per_s: float,
) -> None:
    if state.remembered is not None:
        scale_up(work, state.remembered)
        work.await_rollout()
    elif method is Method.ANNOTATE:
        pods = pods_to_touch(work.pods(state.found), references)
        annotate(work, pods, references, rate_per_s=rate_per_s)
    elif method is Method.ROLLOUT:
        roll_out(work)
    else:
        recreate(work, state)


def refuse_rollout(state: WorkloadState, despite: Collection[str]) -> None:
    """Refuse a rollout that would not happen, or would take too many pods at once."""
    owner = state.owner
    if state.found["spec"].get("paused"):
        msg = f"{owner} is paused: resume it first (kubectl rollout resume {owner})"
        raise UsageError(msg)
    if state.strategy.get("type") == "OnDelete":
        msg = (
            f"{owner} replaces pods only when they are deleted (OnDelete): "
            "delete them, or use --method annotate"
        )
        raise UsageError(msg)
    if state.partition:
        msg = (
            f"a rollout of {owner} leaves its pods below {state.partition} as they "
            "are (partition): set that to 0, or use --method annotate"
        )
        raise UsageError(msg)
    _refuse_budget(state, state.unavailable, despite, "a rollout of")


def refuse_recreate(state: WorkloadState, despite: Collection[str]) -> None:
    """Refuse to scale a workload to nothing that others scale, or that must stay up."""
    owner = state.owner
    if owner.kind == "DaemonSet":
        msg = f"{owner} has no replicas to scale: use --method rollout"
        raise UsageError(msg)
    if state.replicas == 0:
        msg = f"{owner} has no replicas: there is nothing to recreate"
        raise UsageError(_with(state.forgotten, msg))
    _refuse_loss(state)
    if state.autoscalers is None and HPA not in despite:
        msg = (
            f"whether an autoscaler scales {owner} may not be seen: look yourself, and "
            "say --despite hpa, or use --method rollout"
        )
        raise UsageError(msg)
    if state.autoscalers and HPA not in despite:
        msg = (
            f"{owner} is scaled by the autoscaler {', '.join(state.autoscalers)}, "
            "which acts on the same replicas: use --method rollout, or say "
            "--despite hpa"
        )
        raise UsageError(msg)
    if state.budgets is None and PDB not in despite:
        msg = (
            f"whether a PodDisruptionBudget wants pods of {owner} to stay may not be "
            "seen: look yourself, and say --despite pdb, or use --method rollout"
        )
        raise UsageError(msg)
    _refuse_budget(state, state.replicas, despite, "to recreate")


def refuse_annotate(state: WorkloadState) -> None:
    """Refuse to touch pods where there are none."""
    if state.replicas == 0:
        msg = f"{state.owner} has no pods: there is nothing to touch"
        raise UsageError(_with(state.forgotten, msg))


def _with(more: str | None, msg: str) -> str:
    return msg if more is None else f"{msg}; {more}"


def _refuse_loss(state: WorkloadState) -> None:
    """Refuse to replace pods where the new ones would lack something of the old."""
    owner = state.owner
    if state.deletes_claims:
        msg = (
            f"to scale {owner} to nothing would delete its PersistentVolumeClaims and "
            "what is in them (persistentVolumeClaimRetentionPolicy.whenScaled: "
            "Delete): use --method rollout"
        )
        raise UsageError(msg)
    status = state.found.get("status") or {}
    if state.partition and status.get("currentRevision") != status.get(
        "updateRevision"
    ):
        msg = (
            f"{owner} holds back an update below pod {state.partition} (partition), "
            "and to scale it to nothing would end that: use --method annotate"
        )
        raise UsageError(msg)


def _refuse_budget(
    state: WorkloadState, missing: int, despite: Collection[str], what: str
) -> None:
    """Refuse when more pods would be missing than a budget allows now."""
    if PDB in despite:
        return
    for budget in state.budgets or ():
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        if missing > allowed:
            msg = (
                f"{what} {state.owner} takes away up to {missing} of its pods at "
                f"once, and the PodDisruptionBudget {budget['metadata']['name']} "
                f"allows {allowed} now: use --method annotate, let the strategy or the "
                "budget allow it, or say --despite pdb"
            )
            raise UsageError(msg)
