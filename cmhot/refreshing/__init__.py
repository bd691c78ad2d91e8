"""Make the pods of a workload see an update at once, and verify that they do.

`circumstances` is what stands around it, `refusing` what speaks against it, `session`
one refresh under way, `annotate` and `recreate` are two of the methods, `verifying` is
about which objects matter and whether it has helped, and `outcome` is how it went.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S
from cmhot.consumers.owners import parse_workload
from cmhot.errors import UsageError
from cmhot.explaining import DEFAULT_NAMESPACE, inspectable
from cmhot.refreshing.annotate import (
    IN_PHASE,
    deaf_nodes,
    to_touch,
    touch_and_verify,
)
from cmhot.refreshing.circumstances import TOUCHED
from cmhot.refreshing.outcome import Method, Refreshed
from cmhot.refreshing.recreate import recreate, scale_up
from cmhot.refreshing.refusing import (
    HPA,
    PDB,
    refuse_annotate,
    refuse_recreate,
    refuse_rollout,
)
from cmhot.refreshing.session import Session
from cmhot.refreshing.verifying import choose, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cmhot.consumers.reference import Reference
    from cmhot.landing.outcome import Waited
    from cmhot.port.cluster import Cluster
    from cmhot.refreshing.circumstances import Circumstances

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
