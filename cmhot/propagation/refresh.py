"""What speaks against a refresh: refusals, each with its remedy.

Make the pods of a workload see an update at once, and verify that they do.

`circumstances` is what stands around it, `refusing` what speaks against it, `session`
one refresh under way, `annotate` and `recreate` are two of the methods, `verifying` is
about which objects matter and whether it has helped, and `outcome` is how it went.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.propagation.explain import DEFAULT_NAMESPACE, inspectable
from cmhot.propagation.methods import (
    IN_PHASE,
    Method,
    Refreshed,
    Session,
    choose,
    deaf_nodes,
    recreate,
    scale_up,
    to_touch,
    touch_and_verify,
    verify,
)
from cmhot.propagation.owners import parse_workload
from cmhot.propagation.workload import TOUCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Reference
    from cmhot.propagation.watch import Waited
    from cmhot.propagation.workload import Circumstances


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


DEFAULT_TIMEOUT_S = 300.0
DEFAULT_RATE_PER_S = 50.0
"""Pods touched a second: an API server takes far more, and each is a watch event."""


def refresh(
    cluster: Cluster,
    workload: str,
    *,
    method: str,
    namespace: str = DEFAULT_NAMESPACE,
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
        Of the workload.
    configmap
        Verify this one alone: its name, or ``secret/NAME``;
        None: all ConfigMaps that the pods' containers use, without init containers.
    dry_run
        Say what would be done, and do nothing.
    despite
        What else would be a reason to refuse: ``hpa`` (an autoscaler scales it),
        ``pdb`` (a PodDisruptionBudget allows fewer pods to be missing);
        for ``recreate`` also that they may not be listed.
    timeout_s
        Longest time for all of it, seconds.
    rate_per_s
        Most pods that are touched in a second.
    tell
        Takes a line about each step.

    Returns
    -------
    Refreshed
        With ``ok``, the seconds, and what was seen from inside the pods.

    Raises
    ------
    NotFoundError
        There is no such workload, or no such object.
    UsageError
        It cannot be done so, or something speaks against it.
    ClusterError
        It was not complete in time.
    """
    chosen = _method(method)
    unknown = sorted(set(despite) - {HPA, PDB})
    if unknown:
        msg = f"--despite {unknown[0]} is not known: it takes {HPA} or {PDB}"
        raise UsageError(msg)
    begin = cluster.clock.monotonic()
    session = Session(
        cluster=cluster,
        door=inspectable(cluster),
        owner=parse_workload(workload),
        namespace=namespace,
        until=begin + timeout_s,
        tell=tell,
    )
    around = session.look_around()
    references: list[Reference] = []
    if around.remembered is None:
        references = choose(session, around.found, configmap)
        _refuse(chosen, around, references, despite)
        session.warnings += filter(None, [around.forgotten])
    steps = _steps(chosen, around, session, references)
    acted_s, seconds = None, 0.0
    verified: tuple[Waited, ...] = ()
    if not dry_run:
        _act(chosen, around, session, references, rate_per_s)
        acted_s = cluster.clock.monotonic() - begin
        if around.remembered is not None:
            # nothing that is wrong with an object may keep the pods away
            references = choose(session, around.found, configmap)
        verified = verify(chosen, session, session.read(), references)
        seconds = cluster.clock.monotonic() - begin
    return Refreshed(
        owner=session.owner,
        namespace=namespace,
        method=chosen,
        dry_run=dry_run,
        steps=tuple(steps),
        warnings=tuple(session.warnings),
        pods=around.replicas,
        writes=session.writes,
        acted_s=acted_s,
        seconds=seconds,
        restored=None if dry_run else around.remembered,
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
    around: Circumstances,
    references: list[Reference],
    despite: Collection[str],
) -> None:
    if method is Method.ROLLOUT:
        refuse_rollout(around, despite)
    elif method is Method.RECREATE:
        refuse_recreate(around, despite)
    else:
        refuse_annotate(around)
        if not references:
            msg = f"{around.owner} uses no ConfigMap: name the object with --configmap"
            raise UsageError(msg)


def _steps(
    method: Method,
    around: Circumstances,
    session: Session,
    references: list[Reference],
) -> list[str]:
    """Say what will be done, and warn of what comes with it."""
    number = around.replicas
    if around.remembered is not None:
        session.warnings.append(
            "an earlier call was interrupted while there were no pods"
        )
        return [f"scale back to the {around.remembered} replicas that it had"]
    if method is Method.ANNOTATE:
        pods = to_touch(session.pods(around.found), references)
        session.deaf = deaf_nodes(session, pods)
        session.warnings.append(IN_PHASE)
        return [f"touch {len(pods)} of {number} pods, and again who read too early"]
    if method is Method.ROLLOUT:
        kind = around.strategy.get("type", "RollingUpdate")
        missing = f"at most {around.unavailable} of them missing at a time"
        return [f"replace {number} pods by {kind}, {missing}"]
    return [
        f"remember {number} replicas, scale to 0, wait until the last pod has gone",
        f"scale back to {number}, wait until all are available",
    ]


def _act(
    method: Method,
    around: Circumstances,
    session: Session,
    references: list[Reference],
    rate_per_s: float,
) -> None:
    if around.remembered is not None:
        scale_up(session, around.remembered)
        session.await_rollout()
    elif method is Method.ANNOTATE:
        pods = to_touch(session.pods(around.found), references)
        touch_and_verify(session, pods, references, rate_per_s=rate_per_s)
    elif method is Method.ROLLOUT:
        second = session.cluster.clock.utc_ns() // NS_PER_S
        stamp = dt.datetime.fromtimestamp(second, dt.UTC).isoformat()
        annotations = {"metadata": {"annotations": {TOUCHED: stamp}}}
        session.patch({"spec": {"template": annotations}})
        session.tell("changed the template: the rollout has begun")
        session.await_rollout()
    else:
        recreate(session, around)
        session.await_rollout()
