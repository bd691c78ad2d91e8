"""Make the pods of a workload see an update at once, and verify that they do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cmhot.display import Page, Shown, as_lines
from cmhot.errors import UsageError
from cmhot.kubelet.uses import Role, references_of, uses_of
from cmhot.propagation.methods import (
    AUTOSCALER,
    BUDGET,
    FIRST_LOOK_S,
    IN_PHASE,
    Rollout,
    Touches,
    WorkloadRefresh,
    are_newer,
    change_template,
    choose_objects,
    find_caching_nodes,
    pods_to_touch,
    read_by_init,
    recreate,
    refuse_blocked,
    scale_up,
    was_changed_lately,
)
from cmhot.propagation.remedies import restarted_by, to_replace, without_refresh
from cmhot.propagation.workload import (
    is_rolled_out,
    nodes_of_unready,
    number_of,
    parse_workload,
    replacement_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Object, Reference
    from cmhot.propagation.remedies import Shell
    from cmhot.propagation.wait import Waited
    from cmhot.propagation.workload import Workload, WorkloadState


DEFAULT_TIMEOUT_S = 300.0
DEFAULT_RATE_PER_S = 50.0
"""Pods touched a second: an API server can do far more, but each is a watch event."""
HPA, PDB, CURRENT = "hpa", "pdb", "current"
"""Reasons to refuse, or to do nothing, that ``despite`` may override."""


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
    unseen
        What the pods use and was not looked at, and why.
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
    unseen: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all was looked at, and all containers have it; a dry run is fine."""
        is_seen = self.dry_run or not self.unseen
        return is_seen and all(one.landed for one in self.verified)

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
            "unseen": list(self.unseen),
        }

    def to_text(self) -> str:
        """Write the outcome for people."""
        would = "would " * self.dry_run
        lines = [self._heading()]
        lines += [f"  {would}{step}" for step in self.steps]
        lines += [f"! {warning}" for warning in self.warnings]
        for one in self.verified:
            lines += one.to_text().split("\n")
        lines += self._not_looked_at()
        return as_lines([*lines, *self._durations()])

    def page(self) -> Page:
        """Show the steps, and the containers that still lag behind."""
        would = "would " * self.dry_run
        pages = [one.page() for one in self.verified]
        notes = [
            *(f"{would}{step}" for step in self.steps),
            *self.warnings,
            *(line for one in pages for line in (one.heading, *one.notes)),
            *self._not_looked_at(),
            *self._durations(),
        ]
        return Page(self._heading(), [row for one in pages for row in one.rows], notes)

    def _heading(self) -> str:
        would = "would " * self.dry_run
        return f"{self.owner} in {self.namespace}, {self.method} {would}".rstrip()

    def _durations(self) -> list[str]:
        if self.acted_s is None:
            return []
        done = f"done after {self.acted_s:.1f} s"
        if not self.verified:
            return [f"{done}; nothing was looked at"]
        verdict = "verified" if self.ok else "NOT verified"
        return [f"{done}, {verdict} after {self.seconds:.1f} s"]

    def _not_looked_at(self) -> list[str]:
        return [f"not looked at: {one}" for one in self.unseen]


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
        None: all ConfigMaps and Secrets of the template. What only init containers use
        cannot be looked at: their pods have to be newer than its last change.
    dry_run
        List what would be done, and do nothing.
    despite
        Reasons to refuse that are overridden: ``hpa`` (an autoscaler scales it),
        ``pdb`` (a PodDisruptionBudget allows fewer pods to be missing);
        for ``recreate`` also that they may not be listed. ``current`` (restart pods
        also when all of them have started since the last change, and hold it).
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
        It was not complete in time, or somebody has undone it meanwhile.
    """
    namespace = namespace or cluster.namespace
    chosen = _method(method)
    unknown = sorted(set(despite) - {HPA, PDB, CURRENT})
    if unknown:
        known = f"{HPA}, {PDB} or {CURRENT}"
        msg = f"--despite {unknown[0]} is not known: it takes {known}"
        raise UsageError(msg)
    if (instead := without_refresh(workload)) is not None:
        raise UsageError(instead)
    begin = cluster.clock.monotonic()
    work = WorkloadRefresh(
        cluster=cluster.until(begin + timeout_s),
        owner=parse_workload(workload),
        namespace=namespace,
        until_s=begin + timeout_s,
        report=tell,
    )
    plan = _plan(work, chosen, configmap, despite)
    acted_s: float | None = None
    verified: tuple[Waited, ...] = ()
    if not dry_run:
        for warning in work.warnings:  # while it may still be called off
            tell(warning)
        acted_s, verified = _act(work, plan, configmap, rate_per_s)
    return Refreshed(
        owner=work.owner,
        namespace=namespace,
        method=chosen,
        dry_run=dry_run,
        steps=tuple(plan.steps),
        warnings=tuple(work.warnings),
        pods=plan.state.replicas,
        writes=work.writes,
        acted_s=None if acted_s is None else acted_s - begin,
        seconds=0.0 if dry_run else cluster.clock.monotonic() - begin,
        restored=None if dry_run else plan.state.remembered,
        verified=verified,
        unseen=tuple(work.unseen),
    )


@dataclass(slots=True)
class _Plan:
    """What a refresh is to do, and what it found before."""

    method: Method
    state: WorkloadState
    pods: Sequence[Object]
    looked_at: Sequence[Reference] = ()  # objects that running containers use
    targets: Sequence[Object] = ()  # pods to touch
    is_needless: bool = False  # no pod is older than what it uses
    steps: list[str] = field(default_factory=list)


def _plan(
    work: WorkloadRefresh,
    method: Method,
    named: str | None,
    despite: Collection[str],
) -> _Plan:
    """Read what there is, refuse what cannot work, and list the steps."""
    found = work.find()
    kinds = {
        Method.ANNOTATE: (),
        Method.ROLLOUT: (BUDGET,),
        Method.RECREATE: (AUTOSCALER, BUDGET),
    }
    states: list[WorkloadState] = []
    pods: list[Object] = []
    work.together(
        lambda: states.append(work.state(found, kinds[method])),
        lambda: pods.extend(work.pods(found)),
    )
    plan = _Plan(method, states[0], pods)
    if plan.state.remembered is not None:
        work.warnings.append("an earlier call was interrupted while there were no pods")
        plan.steps = [f"scale back to the {plan.state.remembered} replicas that it had"]
        return plan
    work.warnings += filter(None, [plan.state.forgotten])
    references = choose_objects(work, found, pods, named)
    plan.looked_at, by_init = read_by_init(found, references)
    if method is Method.ANNOTATE:
        _plan_touches(work, plan, by_init)
        return plan
    template = found["spec"]["template"]
    if method is Method.ROLLOUT:
        refuse_rollout(plan.state, despite, shell=work.shell, pods=pods)
    else:
        refuse_recreate(plan.state, despite, shell=work.shell, pods=pods)
    refuse_blocked(work, template, starts=True)
    _warn_of_others(work, plan)
    work.warnings += [
        f"none but init containers of {work.owner} use {one}: "
        "what they have read is not looked at"
        for one in by_init
    ]
    _plan_restarts(work, plan, is_meant=CURRENT in despite or bool(by_init))
    return plan


def _plan_touches(
    work: WorkloadRefresh, plan: _Plan, by_init: Sequence[Reference]
) -> None:
    state, owner = plan.state, work.owner
    refuse_annotate(state)
    instead = _anew(state, work.shell, plan.pods)
    if not (plan.looked_at or by_init or work.unseen):
        msg = f"{owner} uses no ConfigMap and no Secret: there is nothing to bring in"
        raise UsageError(msg)
    if by_init and not plan.looked_at:
        some = ", ".join(map(str, by_init))
        msg = (
            f"none but init containers of {owner} use {some}, and no sync lets them "
            f"read it again: {instead}"
        )
        raise UsageError(msg)
    plan.targets = pods_to_touch(plan.pods, plan.looked_at)
    if not plan.targets:
        msg = (
            f"no pod of {owner} that is on a node mounts the object in a way that "
            f"updates: {instead}"
        )
        raise UsageError(msg)
    refuse_blocked(work, state.found["spec"]["template"], starts=False)
    if kept := _kept(work, plan):
        work.warnings.append(
            f"a touch renews volumes alone; where {' or '.join(kept)} has changed, "
            f"{instead}"
        )
    older = [one for one in by_init if not are_newer(plan.pods, [work.stored(one)])]
    work.unseen += [
        f"what init containers of {owner} have read of {one} is not looked at, and no "
        "sync lets them read it again"
        for one in older
    ]
    number = f"{len(plan.targets)} of {number_of(len(plan.pods), 'pod')}"
    plan.steps = [f"touch {number}, and again those that still have the old content"]


def _kept(work: WorkloadRefresh, plan: _Plan) -> dict[str, None]:
    """Name what running containers keep as it was before the last change, once each."""
    return {
        f"{use.way} {use.key_or_path} of container {use.container}": None
        for one in plan.looked_at
        if not are_newer(plan.pods, [work.stored(one)])
        for use in uses_of(plan.state.found["spec"]["template"], one)
        if use.way.is_fixed and use.role is not Role.INIT
    }


def _plan_restarts(work: WorkloadRefresh, plan: _Plan, *, is_meant: bool) -> None:
    """List the steps that make new pods, unless there is nothing new for them."""
    state, number = plan.state, plan.state.replicas
    stored = [work.stored(one) for one in plan.looked_at]
    is_newer = are_newer(plan.pods, stored)
    # to look costs as much as a rollout may gain: not where the reason is at hand
    is_worth_a_look = is_newer or not was_changed_lately(work.cluster.clock, stored)
    has_parts = bool(plan.looked_at and plan.pods) and not work.unseen
    if has_parts and is_worth_a_look and _hold_already(work, plan):
        is_done = is_rolled_out(state.found, work.owner.kind)
        plan.is_needless = is_newer and is_done and not is_meant
        if not plan.is_needless:
            work.warnings.append(
                "every container holds the current content already: new pods are of "
                "use to programs alone that read it at their start"
            )
    if plan.is_needless:
        plan.steps = [
            (
                f"restart nothing: all {number_of(number, 'pod')} have started since "
                "the last change of what they use, and hold it (--despite current "
                "restarts them all the same)"
            )
        ]
    elif plan.method is Method.ROLLOUT:
        kind = state.strategy.get("type", "RollingUpdate")
        missing = f"at most {state.unavailable} of them missing at a time"
        plan.steps = [f"replace {number_of(number, 'pod')} by {kind}, {missing}"]
    else:
        plan.steps = [
            f"remember {number} replicas, scale to 0, wait until the last pod has gone",
            f"scale back to {number}, wait until all are available",
        ]


def _hold_already(work: WorkloadRefresh, plan: _Plan) -> bool:
    from cmhot.propagation.verification import hold_already  # noqa: PLC0415 - see `_act`

    return hold_already(work, plan.pods, plan.looked_at)


def _warn_of_others(work: WorkloadRefresh, plan: _Plan) -> None:
    """Warn of who else changes the workload, and of what stops a rollout."""
    owner, found = work.owner, plan.state.found
    if (operator := replacement_of(found).operator) is not None:
        work.warnings.append(
            f"{owner} belongs to {operator}, whose controller may undo this: should "
            "it do so, change it there, or delete the pods one after the other"
        )
    if by := restarted_by(found):
        work.warnings.append(
            f"{owner} is annotated with {by}: something rolls it out by itself after a "
            "change, perhaps in a moment; this makes another rollout"
        )
    nodes = nodes_of_unready(plan.pods)
    is_full = nodes and len(nodes) >= plan.state.unavailable
    if owner.kind == "DaemonSet" and is_full:
        work.warnings.append(
            f"its pods on {', '.join(nodes)} are not Ready, and at most "
            f"{plan.state.unavailable} may be missing at a time (maxUnavailable): the "
            "rollout does not go on before they are"
        )


def _act(
    work: WorkloadRefresh, plan: _Plan, named: str | None, rate_per_s: float
) -> tuple[float | None, tuple[Waited, ...]]:
    """Take the steps; give the instant at which they were done, and what is seen."""
    clock, tried = work.cluster.clock, plan.method.value
    if plan.targets:
        begun_s = clock.monotonic()
        touches = Touches(work, rate_per_s)
        touches.touch(plan.targets)
        acted_s = clock.monotonic()
    # the touch comes first: to import what looks takes as long
    from cmhot.propagation.verification import verify  # noqa: PLC0415

    if plan.state.remembered is not None:
        scale_up(work, plan.state.remembered)
        work.complete(Rollout(work))
        acted_s = clock.monotonic()
        # no problem with an object may keep the pods away
        found = work.read()
        references = choose_objects(work, found, work.pods(found), named)
        looked_at, _ = read_by_init(found, references)
        return acted_s, verify(work, looked_at, tried=tried)
    if plan.is_needless:
        return clock.monotonic(), verify(work, plan.looked_at, tried=tried)
    if plan.method is Method.ANNOTATE:
        find_caching_nodes(work, plan.targets)
        work.warnings.append(IN_PHASE)
        clock.sleep(FIRST_LOOK_S - (clock.monotonic() - begun_s))
        return acted_s, verify(work, plan.looked_at, tried=tried, touches=touches)
    if plan.method is Method.RECREATE:
        recreate(work, plan.state)
        return clock.monotonic(), verify(work, plan.looked_at, tried=tried)
    rollout = change_template(work)
    if not plan.looked_at or plan.state.replicas == 0:
        work.complete(rollout)
    seen = verify(work, plan.looked_at, tried=tried, rollout=rollout, old=plan.pods)
    return rollout.completed_s, seen


def _method(text: str) -> Method:
    try:
        return Method(text)
    except ValueError:
        known = ", ".join(Method)
        msg = f"method {text!r} is not known: choose one of {known}"
        raise UsageError(msg) from None


def refuse_rollout(
    state: WorkloadState,
    despite: Collection[str],
    *,
    shell: Shell,
    pods: Sequence[Object] = (),
) -> None:
    """Refuse a rollout that would not happen, or would take too many pods at once."""
    if not replacement_of(state.found).reaches_all:
        msg = _anew(state, shell, pods)
        if any(
            not use.way.is_fixed and use.role is not Role.INIT
            for reference in references_of(state.found["spec"]["template"])
            for use in uses_of(state.found["spec"]["template"], reference)
        ):
            annotate = shell.cmhot("refresh", str(state.owner), "--method", "annotate")
            msg = f"{msg}; for volumes: {annotate}"
        raise UsageError(msg)
    _refuse_budget(state, state.unavailable, despite, "a rollout of")


def _anew(state: WorkloadState, shell: Shell, pods: Sequence[Object]) -> str:
    """Say how a workload gets new pods."""
    owner, replacement = state.owner, replacement_of(state.found)
    if replacement.reaches_all:
        again = shell.cmhot("refresh", str(owner), "--method", "rollout")
        return f"use --method rollout: {again}"
    why = to_replace(owner, replacement)
    if replacement.paused:
        return f"{why}: {shell.kubectl('rollout', 'resume', str(owner))}"
    first = min((pod["metadata"]["name"] for pod in pods), default="NAME")
    delete = shell.kubectl("delete", "pod", first)
    return f"{why}: delete them one after the other, as in {delete}"


def refuse_recreate(
    state: WorkloadState,
    despite: Collection[str],
    *,
    shell: Shell,
    pods: Sequence[Object] = (),
) -> None:
    """Refuse to scale a workload to nothing that others scale, or that must stay up."""
    owner, instead = state.owner, _anew(state, shell, pods)
    if owner.kind == "DaemonSet":
        msg = f"{owner} has no replicas to scale: {instead}"
        raise UsageError(msg)
    if state.replicas == 0:
        msg = f"{owner} has no replicas: there is nothing to recreate"
        raise UsageError(_with(state.forgotten, msg))
    _refuse_loss(state, instead)
    if state.autoscalers is None and HPA not in despite:
        msg = (
            f"whether an autoscaler scales {owner} may not be seen: look yourself, and "
            f"say --despite hpa; or {instead}"
        )
        raise UsageError(msg)
    if state.autoscalers and HPA not in despite:
        msg = (
            f"{owner} is scaled by the autoscaler {', '.join(state.autoscalers)}, "
            f"which acts on the same replicas: say --despite hpa; or {instead}"
        )
        raise UsageError(msg)
    if state.budgets is None and PDB not in despite:
        msg = (
            f"whether a PodDisruptionBudget wants pods of {owner} to stay may not be "
            f"seen: look yourself, and say --despite pdb; or {instead}"
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


def _refuse_loss(state: WorkloadState, instead: str) -> None:
    """Refuse to replace pods where the new ones would lack something of the old."""
    owner = state.owner
    if state.deletes_claims:
        msg = (
            f"to scale {owner} to nothing would delete its PersistentVolumeClaims and "
            "what is in them (persistentVolumeClaimRetentionPolicy.whenScaled: "
            f"Delete): {instead}"
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
