"""Whether a cluster is fit for a collection, and which load that will cause.

All is checked before anything is created. Each check takes a request or two, and has a
remedy. Objects that may not be read are no failure: the check says so.
"""

from __future__ import annotations

import operator
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.clock import CLOCK_LIMIT_S, has_one_clock
from cmhot.cluster import probe, rights
from cmhot.cluster.nodes import (
    UNLISTED,
    caveats,
    group_by_setting,
    observe_settings,
    probe_image,
)
from cmhot.cluster.port import NAMESPACE, NODE, Authorising
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import host
from cmhot.cluster.testbed.host import Check
from cmhot.cluster.testbed.programs import known_sources
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
from cmhot.errors import (
    ClusterError,
    CmhotError,
    ForbiddenError,
    NotFoundError,
    UsageError,
)
from cmhot.kubelet.eras import caveat
from cmhot.kubelet.settings import DEFAULT_SETTINGS, Setting, Strategy
from cmhot.kubelet.uses import Kind
from cmhot.runs.plan import DEFAULT_SYNC_S, Plan, expected_duration_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cmhot.cluster.nodes import Group, ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.programs import Availability


QUOTA = Kind("v1", "resourcequotas")
LIMITS = Kind("v1", "limitranges")
POD_SECURITY = "pod-security.kubernetes.io/enforce"
LISTED_ONE_BY_ONE = 20
"""More nodes than this are listed by setting, not by name."""


def examine(target: str | None, plan: Plan | None = None) -> list[Check]:
    """Check a target, or (None) whether this machine can run a testbed.

    `plan` is what is to be collected there; None: the default, in a namespace of its
    own.
    """
    if target is None:
        return _examine_machine()
    return _examine_cluster(target, plan or Plan())


def _examine_machine() -> list[Check]:
    checks = host.checks(nodes=len(DEFAULT_SETTINGS))
    if host.runs_linux():
        checks += [
            _describe(availability)
            for availability in known_sources(kubernetes_version=KUBERNETES_VERSION)
        ]
    return checks


def _describe(availability: Availability) -> Check:
    """Describe which file serves a program, or how it would be fetched."""
    name, source = f"program {availability.program}", availability.source
    if source is None:
        return Check(name, ok=True, detail=availability.remark)
    why = f" ({source.why})" if source.why else ""
    return Check(name, ok=True, detail=f"{source.version} from {source.step}{why}")


def _examine_cluster(target: str, plan: Plan) -> list[Check]:
    try:
        cluster = connect(target)
        version = cluster.version()
    except CmhotError as error:
        return [failed("API server", error)]
    checks = [Check("API server", ok=True, detail=f"{target} answers, {version}")]
    return checks + suitability(cluster, plan)


def suitability(cluster: Cluster, plan: Plan) -> list[Check]:
    """Check whether a collection by this plan could run; important checks come first.

    A missing right has a check of its own, whose name is the right.
    """
    checks = [*_rights(cluster, plan.namespace), *_clocks(cluster)]
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
    """Make a check of an error, whose sentence says what to do."""
    return Check(name, ok=False, detail=str(error))


def _rights(cluster: Cluster, namespace: str | None) -> Iterator[Check]:
    if not isinstance(cluster, Authorising):
        return
    needed = rights.for_collection(namespace)
    if namespace is None:
        where = "in a namespace of its own"
        remedy = (
            "`cmhot rbac --create-namespace` prints the ClusterRole that has it; or "
            "work in an existing namespace: --namespace"
        )
    else:
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


def _clocks(cluster: Cluster) -> Iterator[Check]:
    """Say how well the clocks of nodes will be known, and what that will do.

    A node's stamp may be of any instant until the answer: of half of that at best.
    """
    if cluster.modelled or has_one_clock(cluster.target):
        return
    began = cluster.clock.monotonic()
    try:
        cluster.version()
    except ClusterError as error:
        yield failed("clocks", error)
        return
    bound_s = (cluster.clock.monotonic() - began) / 2
    ok = bound_s <= CLOCK_LIMIT_S
    detail = (
        f"those of nodes will be known to ± {bound_s:.2g} s at best, half of what an "
        "answer of the API server takes: "
    )
    if ok:
        detail += "the limits of delays are wider by what they are known to"
    else:
        detail += f"a run with more than ± {CLOCK_LIMIT_S:g} s is invalid"
    remedy = None if ok else "measure from nearer: `cmhot job` does from within"
    yield Check("clocks", ok=ok, detail=detail, remedy=remedy)


def _namespace(cluster: Cluster, name: str) -> Iterator[Check]:
    """Check that the namespace is there, and its demands on pods."""
    try:
        found = cluster.get(NAMESPACE, name)
    except ForbiddenError:
        return  # the missing right has a check of its own
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
    """Check which settings will be known, and how."""
    if [node.name for node in observed] == [UNLISTED]:
        (node,) = observed
        yield Check(
            "nodes",
            ok=True,
            detail="may not be listed: they are those on which probes will run "
            "(`cmhot rbac --nodes` prints the right)",
        )
        yield Check("setting of all nodes", ok=True, detail=_setting_text(node))
    elif len(observed) <= LISTED_ONE_BY_ONE:
        for node in observed:
            yield Check(f"setting of {node.name}", ok=True, detail=_setting_text(node))
    else:
        for text, count in Counter(_setting_text(node) for node in observed).items():
            yield Check(f"setting of {count} nodes", ok=True, detail=text)


def _setting_text(node: ObservedNode) -> str:
    detail = f"{node.setting or 'not observable'} ({node.source})"
    if node.why:
        detail += f": {node.why}; if it is known, give it by --setting"
    elif node.source == "unknown":
        detail += (
            ": give it by --setting, or let it be read: `cmhot rbac --configz kubelet`"
        )
    said = caveat(node.kubelet)
    return detail if said is None else f"{detail}; {said}"


def _taints(cluster: Cluster, plan: Plan) -> Iterator[Check]:
    """List nodes whose taints keep the probes off."""
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
            replicas=plan.pods_of(group.setting),
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
    """Sum up the use of a ResourceQuota by Deployments and their pods."""
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
    """Name limits of a LimitRange that a probe would break."""
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


_QUANTITY = re.compile(r"([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_DECIMAL = {unit: 10.0**power for unit, power in zip("num", (-9, -6, -3), strict=True)}
_LARGE = {unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)}
_BINARY = {f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)}
_FACTOR = {"": 1.0, **_DECIMAL, **_LARGE, **_BINARY}


def parse_quantity(text: str | float) -> float:
    """Read an amount as Kubernetes writes it: ``100m``, ``32Mi``, ``1e3``.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        msg = f"{text!r} is no quantity: Kubernetes writes 100m, 32Mi, 5"
        raise UsageError(msg)
    return float(match[1]) * _FACTOR[match[2] or ""]


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """The load that a collection puts on a cluster."""

    pods: int
    updates_per_s: float
    watch_events_per_s: float  # one a write for every kubelet that watches
    reads_per_s: float  # of probes' logs
    duration_s: float  # from the first annotation to the end
    settings: tuple[str, ...]
    caveats: tuple[str, ...] = ()  # what is not known of the kubelets

    def lines(self) -> list[str]:
        """Write the load in sentences."""
        return [
            f"settings: {'; '.join(self.settings)}",
            (
                f"{self.pods} probe pods for {self.duration_s / 60:.1f} minutes "
                "once they are Ready"
            ),
            (
                f"{self.updates_per_s:.2f} writes/s, about "
                f"{self.watch_events_per_s:.2f} watch events/s, "
                f"{self.reads_per_s:.2f} log reads/s"
            ),
            *self.caveats,
        ]


def estimate_load(cluster: Cluster, plan: Plan) -> LoadEstimate:
    """Estimate the load of a collection, without creating anything."""
    observed = observe_settings(
        cluster, given=plan.given_setting, placement=plan.placement
    )
    groups = group_by_setting(observed)
    settings = [group.setting or Setting(DEFAULT_SYNC_S) for group in groups]
    rate = 1 / plan.mean_gap_s(settings)
    numbers = [plan.pods_of(group.setting) for group in groups]
    # a kubelet watches what its pods use: at most one a probe
    watching = sum(
        min(len(group.nodes) or probes, probes)
        for group, probes in zip(groups, numbers, strict=True)
        if group.setting is None or group.setting.strategy is Strategy.WATCH
    )
    pods = sum(numbers)
    return LoadEstimate(
        pods=pods,
        updates_per_s=rate,
        watch_events_per_s=rate * watching,
        reads_per_s=pods / probe.read_every_s(pods),
        duration_s=expected_duration_s(plan, settings),
        settings=tuple(str(group.setting or "unknown setting") for group in groups),
        caveats=(
            *caveats(observed),
            *(f"{check.name}: {check.detail}" for check in _clocks(cluster)),
        ),
    )
