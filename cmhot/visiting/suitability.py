"""Whether a cluster is fit for a collection: asked before anything is created.

Each question is a request or two, and yields checks with a remedy.
What may not be looked at is no failure: it is said, and the collection will tell.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from cmhot.errors import ClusterError, CmhotError, ForbiddenError, NotFoundError
from cmhot.nodes import UNLISTED, group_by_setting, observe_settings, probe_image
from cmhot.port import probe, rights
from cmhot.port.cluster import NAMESPACE, NODE, Authorising, Kind
from cmhot.quantity import parse_quantity
from cmhot.testbed.host import Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cmhot.nodes import Group, ObservedNode
    from cmhot.plan import Plan
    from cmhot.port.cluster import Cluster
    from cmhot.port.rights import Right

QUOTA = Kind("v1", "resourcequotas")
LIMITS = Kind("v1", "limitranges")
POD_SECURITY = "pod-security.kubernetes.io/enforce"
LISTED_ONE_BY_ONE = 20
"""More nodes than this are told by setting, not by name."""


def suitability(cluster: Cluster, plan: Plan) -> list[Check]:
    """Ask whether a collection by this plan could run.

    Parameters
    ----------
    cluster
        Where.
    plan
        What; its namespace decides which rights are needed.

    Returns
    -------
    list of Check
        In the order in which they matter. A missing right has a check of its own,
        whose name is the right.
    """
    checks = list(_rights(cluster, plan.namespace))
    if plan.namespace is not None:
        checks += _namespace(cluster, plan.namespace)
    try:
        observed = observe_settings(
            cluster, given=plan.given_setting, placement=plan.placement
        )
        checks += _settings(observed)
        groups = group_by_setting(observed)
    except CmhotError as error:
        return [*checks, failed("nodes", error), *_taints(cluster, plan)]
    checks += _taints(cluster, plan)
    if plan.namespace is not None:
        checks += _room(cluster, plan, groups)
    return checks


def failed(name: str, error: CmhotError) -> Check:
    """Make a check of an error, whose sentence has its remedy behind a colon."""
    detail, _, remedy = str(error).partition(": ")
    return Check(name, ok=False, detail=detail, remedy=remedy)


def _rights(cluster: Cluster, namespace: str | None) -> Iterator[Check]:
    if not isinstance(cluster, Authorising):
        return
    if namespace is None:
        needed: tuple[Right, ...] = (*rights.OWN_NAMESPACE, *rights.RUN)
        where = "in a namespace of its own"
        remedy = (
            "`cmhot rbac --create-namespace` prints the ClusterRole that has it; or "
            "work in an existing namespace: --namespace"
        )
    else:
        needed = rights.in_namespace(namespace)
        where = f"in namespace {namespace}"
        remedy = f"`cmhot rbac --namespace {namespace}` prints the Role that has it"
    try:
        missing = [
            right for right in needed if not cluster.may(right, namespace=namespace)
        ]
    except ClusterError as error:
        yield failed("rights", error)
        return
    for right in missing:
        detail = f"not allowed {where}; needed {right.purpose}"
        yield Check(f"right to {right}", ok=False, detail=detail, remedy=remedy)
    if not missing:
        detail = f"all {len(needed)} that a collection needs {where}"
        yield Check("rights", ok=True, detail=detail)


def _namespace(cluster: Cluster, name: str) -> Iterator[Check]:
    """Look at the namespace: whether it is there, and what it demands of pods."""
    try:
        found = cluster.get(NAMESPACE, name)
    except ForbiddenError:
        return  # told by the rights
    except NotFoundError:
        yield Check(
            f"namespace {name}",
            ok=False,
            detail="does not exist",
            remedy=f"`kubectl create namespace {name}`, or leave out --namespace",
        )
        return
    except ClusterError as error:
        yield failed(f"namespace {name}", error)
        return
    if found["metadata"].get("deletionTimestamp"):
        yield Check(
            f"namespace {name}",
            ok=False,
            detail="is being deleted",
            remedy="wait until it is gone and make it anew, or choose another one",
        )
        return
    level = (found["metadata"].get("labels") or {}).get(POD_SECURITY)
    said = "no Pod Security level of its own" if level is None else f"enforces {level}"
    detail = f"exists; {said}; the probes pass the strictest, restricted"
    yield Check(f"namespace {name}", ok=True, detail=detail)


def _settings(observed: list[ObservedNode]) -> Iterator[Check]:
    """Say which settings will be known, and how."""
    if [node.name for node in observed] == [UNLISTED]:
        (node,) = observed
        yield Check(
            "nodes",
            ok=True,
            detail="may not be listed: they are those on which probes will run "
            "(`cmhot rbac --nodes` prints the right)",
        )
        yield Check("setting of all nodes", ok=True, detail=_known(node))
    elif len(observed) <= LISTED_ONE_BY_ONE:
        for node in observed:
            yield Check(f"setting of {node.name}", ok=True, detail=_known(node))
    else:
        for known, count in Counter(_known(node) for node in observed).items():
            yield Check(f"setting of {count} nodes", ok=True, detail=known)


def _known(node: ObservedNode) -> str:
    detail = f"{node.setting or 'not observable'} ({node.source})"
    if node.source == "unknown":
        detail += (
            ": give it by --setting, or let it be read: `cmhot rbac --configz kubelet`"
        )
    return detail


def _taints(cluster: Cluster, plan: Plan) -> Iterator[Check]:
    """Name nodes that no probe will run on because of their taints."""
    try:
        nodes, _ = cluster.list(NODE)
    except ClusterError:
        return
    kept_out = Counter(
        taint for node in nodes for taint in plan.placement.untolerated(node)
    )
    for taint, count in kept_out.items():
        some = "1 node is" if count == 1 else f"{count} nodes are"
        detail = f"{some} left out (to measure there as well: --toleration {taint})"
        yield Check(f"taint {taint}", ok=True, detail=detail)


def _room(cluster: Cluster, plan: Plan, groups: list[Group]) -> Iterator[Check]:
    """Compare what the probes need with quotas and limits of the namespace."""
    image, pull_policy = probe_image(cluster, plan.probe_image)
    planned = [
        probe.deployment(
            f"cmhot-{group.name}",
            run_id="planned",
            group=group.name,
            configmap=rights.PROBE_CONFIG_MAP,
            nodes=group.nodes,
            replicas=plan.pods,
            image=image,
            pull_policy=pull_policy,
        )
        for group in groups
    ]
    namespace = plan.namespace
    try:
        quotas, _ = cluster.list(QUOTA, namespace=namespace)
        limits, _ = cluster.list(LIMITS, namespace=namespace)
    except ForbiddenError:
        yield Check(
            "quota",
            ok=True,
            detail="may not be looked at: `kubectl describe quota` of somebody who may",
        )
        return
    except ClusterError as error:
        yield failed("quota", error)
        return
    needed = needs(planned)
    short = [
        f"{resource}: {needed[resource]:g} needed, {free:g} free in {quota}"
        for quota, resource, free in _free(quotas)
        if needed.get(resource, 0) > free
    ]
    short += list(_outside(limits, planned[0]))
    if short:
        yield Check(
            "quota",
            ok=False,
            detail="; ".join(short),
            remedy="ask for more room, or for fewer probes (--pods)",
        )
    else:
        detail = f"room for {int(needed['pods'])} probe pods"
        yield Check("quota", ok=True, detail=detail)


def needs(deployments: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Sum up what Deployments and their pods count for in a ResourceQuota."""
    total: defaultdict[str, float] = defaultdict(float)
    total |= {"configmaps": 1, "count/configmaps": 1}
    for deployment in deployments:
        replicas = deployment["spec"]["replicas"]
        for resource in ("count/deployments.apps", "count/replicasets.apps"):
            total[resource] += 1
        for resource in ("pods", "count/pods"):
            total[resource] += replicas
        for kind, resource, amount in _resources(deployment):
            total[f"{kind}.{resource}"] += amount * replicas
            if kind == "requests":  # cpu is short for requests.cpu
                total[resource] += amount * replicas
    return dict(total)


def _resources(deployment: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield requests and limits of a Deployment's containers, in base units."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for kind, amounts in container["resources"].items():
            for resource, amount in amounts.items():
                yield kind, resource, parse_quantity(amount)


def _free(quotas: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, float]]:
    for quota in quotas:
        used = quota.get("status", {}).get("used") or {}
        for resource, most in (quota["spec"].get("hard") or {}).items():
            free = parse_quantity(most) - parse_quantity(used.get(resource, "0"))
            yield quota["metadata"]["name"], resource, free


def _outside(
    limits: Iterable[Mapping[str, Any]], deployment: Mapping[str, Any]
) -> Iterator[str]:
    """Name limits of a LimitRange within which a probe does not stay."""
    is_beyond = {"min": operator.lt, "max": operator.gt}
    ours = {
        (kind, resource): amount for kind, resource, amount in _resources(deployment)
    }
    for limit in limits:
        for item in limit["spec"]["limits"]:
            if item["type"] not in {"Container", "Pod"}:
                continue
            for bound, kind in [("min", "requests"), ("max", "limits")]:
                for resource, amount in (item.get(bound) or {}).items():
                    own, theirs = ours.get((kind, resource)), parse_quantity(amount)
                    if own is not None and is_beyond[bound](own, theirs):
                        yield (
                            f"a probe {kind} {own:g} of {resource}, LimitRange "
                            f"{limit['metadata']['name']} has a {bound} of {amount}"
                        )
