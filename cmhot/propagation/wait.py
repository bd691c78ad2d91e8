"""Wait until every container that uses an object holds its current content.

What a container holds is looked at from inside it (`inspection`), never concluded.
Nothing is changed, unless ephemeral containers are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.kubelet.uses import Reference, parse_reference
from cmhot.propagation.explain import DEFAULT_NAMESPACE, inspectable
from cmhot.propagation.inspection import Onlookers
from cmhot.propagation.owners import KINDS, REFRESHED, parse_workload, will_use
from cmhot.propagation.watch import UnusedError, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.propagation.owners import Owner
    from cmhot.propagation.watch import Progress, Waited


DEFAULT_TIMEOUT_S = 180.0
"""Twice what the default setting allows, 91 s."""


def wait(
    cluster: Cluster,
    reference: str,
    *,
    workload: str | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    updatable_only: bool = False,
    ephemeral: bool = False,
    given: Setting | None = None,
    tell: Callable[[Progress], None] | None = None,
) -> Waited:
    """Wait until every consuming container holds the object's current content.

    Files are compared byte by byte, as they are in the container; variables as the
    container's first process got them. Keys that were removed are not looked for.
    Containers that no update reaches (env, subPath) and that hold something else end
    the wait at once, unless a rollout under way replaces their pods.

    Parameters
    ----------
    cluster
        From `connect`.
    reference
        ``configmap/NAME`` or ``secret/NAME``.
    workload
        Only its pods, such as ``deployment/web``; None: all of the namespace.
    namespace
        Of the object and of the pods.
    timeout_s
        Longest time in seconds.
    updatable_only
        Leave out what no update reaches, and wait for the others.
    ephemeral
        Look into containers without `cat` through an ephemeral container.
        That changes the pod, and syncs it.
    given
        Setting of the kubelets that may not be asked; None: it is not known.
    tell
        Called after each round.

    Returns
    -------
    Waited
        ``landed``, and who lags behind and why.

    Raises
    ------
    NotFoundError
        There is no such object.
    UsageError
        No running pod uses it, nor will one of a workload that may be seen; the
        workload is none; nobody can look into its pods.
    """
    return _wait(
        cluster,
        reference,
        workload=workload,
        namespace=namespace,
        timeout_s=timeout_s,
        updatable_only=updatable_only,
        ephemeral=ephemeral,
        given=given,
        tell=tell,
    )


def _wait(
    cluster: Cluster,
    reference: str,
    *,
    namespace: str,
    timeout_s: float,
    updatable_only: bool,
    tell: Callable[[Progress], None] | None,
    workload: str | None = None,
    ephemeral: bool = False,
    given: Setting | None = None,
    is_awaited: bool = False,
) -> Waited:
    wanted = parse_reference(reference)
    door = inspectable(cluster)
    owner = None if workload is None else parse_workload(workload)
    labels = None if owner is None else selector_of(cluster, owner, namespace)
    waiter = Waiter(
        cluster=cluster,
        door=door,
        reference=wanted,
        owner=owner,
        labels=labels,
        namespace=namespace,
        updatable_only=updatable_only,
        given=given,
        onlookers=Onlookers(cluster, door, namespace=namespace) if ephemeral else None,
        is_awaited=is_awaited,
    )
    return waiter.run(timeout_s, tell)


def wait_for_applied(
    cluster: Cluster,
    applied: Sequence[Mapping[str, Any]],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    updatable_only: bool = False,
    tell: Callable[[Progress], None] | None = None,
    skipped: Callable[[str], None] = lambda _: None,
) -> list[Waited]:
    """Wait for each ConfigMap and Secret among what was applied.

    Those that no pod uses, or will use, are left out: nothing is to be waited for.
    Pods of workloads that were applied as well are waited for before there are any.

    Parameters
    ----------
    cluster
        From `connect`.
    applied
        From `cmhot.apply`: objects as stored.
    timeout_s
        Longest time for each, seconds.
    updatable_only, tell
        As of `wait`.
    skipped
        Takes a line about each that is left out.

    Returns
    -------
    list of Waited
        In the order given.
    """
    found = []
    for one in applied:
        meta = one["metadata"]
        if one["kind"] not in {"ConfigMap", "Secret"}:
            continue
        reference = Reference(one["kind"].lower(), meta["name"])
        where = meta.get("namespace", DEFAULT_NAMESPACE)
        try:
            waited = _wait(
                cluster,
                str(reference),
                namespace=where,
                timeout_s=timeout_s,
                updatable_only=updatable_only,
                tell=tell,
                is_awaited=any(
                    other["kind"] in REFRESHED
                    and other["metadata"].get("namespace", DEFAULT_NAMESPACE) == where
                    and will_use(other, other["kind"], reference)
                    for other in applied
                ),
            )
        except UnusedError:
            skipped(f"no pod uses {reference}: there is nothing to wait for")
            continue
        found.append(waited)
    return found


def selector_of(
    cluster: Cluster, owner: Owner, namespace: str
) -> dict[str, str] | None:
    """Give the labels of a workload's pods; None: they are not chosen by labels alone.

    Raises
    ------
    NotFoundError
        There is no such workload.
    """
    found = cluster.get(KINDS[owner.kind], owner.name, namespace=namespace)
    selector = found["spec"]["selector"]
    if selector.get("matchExpressions"):
        return None
    labels: dict[str, str] = selector["matchLabels"]
    return labels
