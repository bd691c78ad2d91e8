"""The steps of a refresh: touch pods, roll out, scale to nothing and back, verify.

A change of a pod's annotation syncs it, and a sync reads its volumes: see "When a Pod's
annotation changes" in docs of Kubernetes on ConfigMaps, and docs/studies/remedies.md
for how quick it is.

Scaling to nothing never loses the number of replicas: it is written in the same request
as the zero. A caller that is killed then leaves a workload that records its former
size, and the next call restores it. After the zero, only a refusal keeps us from
scaling back.
"""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster.nodes import observe_settings
from cmhot.cluster.port import POD
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.uses import Kind, Role, parse_reference, references_of, uses_of
from cmhot.propagation.expectation import sync_reads
from cmhot.propagation.inspection import (
    AT_ONCE,
    ContentState,
    Objects,
    container_uses,
    inspect,
)
from cmhot.propagation.wait import UnusedError, wait
from cmhot.propagation.workload import (
    KINDS,
    REMEMBERED,
    TOUCHED,
    WorkloadState,
    budgets_of,
    is_leaving,
    is_rolled_out,
    owner_of,
    replicas_of,
    scaled_by,
    selector_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Object, Reference, Use
    from cmhot.propagation.inspection import ContainerUses
    from cmhot.propagation.wait import Waited
    from cmhot.propagation.workload import Workload


AUTOSCALER = Kind("autoscaling/v2", "horizontalpodautoscalers")
BUDGET = Kind("policy/v1", "poddisruptionbudgets")
POLL_S = 0.5
SETTLE_S = 1.2
"""From a touch to the look at its effect: a sync that follows another one waits for
the next relist (1 s), and the two volume loops take 0.2 s."""
TRIES = 5
IN_PHASE = (
    "these pods were synced at the same time, and will be so again: the next updates "
    "reach them together, until their jitter has spread them (some five syncs)"
)
PATIENCE_S = 60.0
"""Scaling back is tried for so long at least, whatever the timeout of the refresh."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Between two tries: each pause is twice the one before."""


@dataclass(slots=True)
class WorkloadRefresh:
    """One refresh under way: its workload, its deadline, and its steps so far."""

    cluster: Cluster
    owner: Workload
    namespace: str
    until_s: float  # by the cluster's monotonic clock
    report: Callable[[str], None]  # takes a line about each step
    writes: int = 0
    warnings: list[str] = field(default_factory=list)
    caching: set[str] = field(default_factory=set)  # nodes where a sync reads no news

    @property
    def kind(self) -> Kind:
        """The workload's place in the API."""
        return KINDS[self.owner.kind]

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return max(self.until_s - self.cluster.clock.monotonic(), 0.0)

    def state(self) -> WorkloadState:
        """Read the workload, its autoscalers and its budgets."""
        found = self.read()
        labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        autoscalers, budgets = self._all(AUTOSCALER), self._all(BUDGET)
        return WorkloadState(
            self.owner,
            found,
            None if autoscalers is None else scaled_by(autoscalers, self.owner),
            None if budgets is None else tuple(budgets_of(budgets, labels)),
        )

    def _all(self, kind: Kind) -> list[dict[str, Any]] | None:
        """List a kind; None: not allowed; empty: the cluster does not have the kind."""
        try:
            return self.cluster.list(kind, namespace=self.namespace)[0]
        except ForbiddenError:
            self.warnings.append(f"{kind.plural} may not be listed: look yourself")
            return None
        except NotFoundError:
            return []

    def read(self) -> dict[str, Any]:
        """Get the workload."""
        return self.cluster.get(self.kind, self.owner.name, namespace=self.namespace)

    def patch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change the workload."""
        stored = self.cluster.patch(
            self.kind, self.owner.name, body, namespace=self.namespace
        )
        self.writes += 1
        return stored

    def pods(self, found: Object, *, leaving: bool = False) -> list[dict[str, Any]]:
        """List the workload's pods; on request, also those being deleted."""
        pages = self.cluster.pages(
            POD, namespace=self.namespace, labels=selector_of(found)
        )
        return [
            pod
            for page in pages
            for pod in page
            if owner_of(pod, lambda one: one == self.owner) == self.owner
            and (leaving or not is_leaving(pod))
        ]

    def await_rollout(self) -> None:
        """Wait until all pods are new and available."""
        clock = self.cluster.clock
        while not is_rolled_out(self.read(), self.owner.kind):
            if not self.left_s:
                msg = (
                    f"{self.owner} is not complete in time, and goes on without us: "
                    f"see `kubectl rollout status {self.owner} -n {self.namespace}`"
                )
                raise ClusterError(msg)
            clock.sleep(POLL_S)


def choose_objects(
    refresh: WorkloadRefresh, found: Object, configmap: str | None
) -> list[Reference]:
    """List the objects to verify: the one that was named, or every ConfigMap.

    The name may be ``secret/NAME``; objects that only init containers use are left out.
    """
    template = found["spec"]["template"]
    if configmap is not None:
        is_whole = "/" in configmap
        one = parse_reference(configmap if is_whole else f"configmap/{configmap}")
        _get(refresh, one)
        pods = () if uses_of(template, one) else refresh.pods(found)
        if not any(uses_of(pod, one) for pod in (template, *pods)):
            msg = (
                f"{refresh.owner} does not use {one}: `cmhot explain {one}` "
                "says who does"
            )
            raise UsageError(msg)
        return [one]
    return [
        one
        for one in sorted(references_of(template))
        if not one.is_secret
        and not _only_init(uses := uses_of(template, one))
        and _is_there(refresh, one, uses)
    ]


def _only_init(uses: Sequence[Use]) -> bool:
    """Report whether only init containers use it."""
    return all(use.role is Role.INIT for use in uses)


def _is_there(
    refresh: WorkloadRefresh, reference: Reference, uses: Sequence[Use]
) -> bool:
    try:
        _get(refresh, reference)
    except NotFoundError:
        if not all(use.optional for use in uses):
            raise
        refresh.warnings.append(f"{reference} does not exist, and is optional")
        return False
    return True


def _get(refresh: WorkloadRefresh, reference: Reference) -> Object:
    place, name = reference.place, reference.name
    return refresh.cluster.get(place, name, namespace=refresh.namespace)


def verify(
    refresh: WorkloadRefresh,
    found: Object,
    references: Sequence[Reference],
    *,
    updatable_only: bool,
) -> tuple[Waited, ...]:
    """Wait until all pods hold the objects; warn of those that cannot be inspected."""
    if replicas_of(found, refresh.owner.kind) == 0:
        refresh.warnings.append(f"{refresh.owner} has no pods: nothing was looked at")
        return ()
    verified = []
    for reference in references:
        uses = uses_of(found["spec"]["template"], reference)
        if uses and _only_init(uses):
            refresh.warnings.append(
                f"none but init containers of {refresh.owner} use {reference}: "
                "what they have read is not looked at"
            )
            continue
        try:
            waited = wait(
                refresh.cluster,
                str(reference),
                workload=str(refresh.owner),
                namespace=refresh.namespace,
                timeout_s=refresh.left_s,
                updatable_only=updatable_only,
            )
        except UnusedError as error:
            refresh.warnings.append(str(error))
        else:
            verified.append(waited)
    return tuple(verified)


def pods_to_touch(
    pods: Sequence[Object], references: Sequence[Reference]
) -> list[Object]:
    """Choose the pods to which a sync brings new content.

    A pod that is on no node yet reads for itself once it is; what an init container
    has read, no sync reads again.
    """
    return [
        pod
        for pod in pods
        if pod["spec"].get("nodeName")
        and any(
            not use.way.is_fixed and use.role is not Role.INIT
            for reference in references
            for use in uses_of(pod, reference)
        )
    ]


def find_caching_nodes(refresh: WorkloadRefresh, pods: Sequence[Object]) -> None:
    """Find, and warn of, nodes where a sync may read old content from a cache."""
    names = sorted({pod["spec"].get("nodeName") for pod in pods} - {None})
    nodes = observe_settings(refresh.cluster, sample=names)
    caching = [node for node in nodes if not sync_reads(node)]
    if caching:
        longest = max(node.setting.ttl_s or 0.0 for node in caching if node.setting)
        refresh.warnings.append(
            f"{len(caching)} of {len(nodes)} nodes keep what they have read for up to "
            f"{longest:g} s (strategy Cache): a sync there does not ask again, so this "
            "cannot force it; use --method rollout"
        )
    refresh.caching = {node.name for node in caching}


def annotate(
    refresh: WorkloadRefresh,
    pods: Sequence[Object],
    references: Sequence[Reference],
    *,
    rate_per_s: float,
) -> None:
    """Touch pods, and touch again those that have read old content."""
    if not pods:
        msg = (
            f"no pod of {refresh.owner} that is on a node mounts the object in a way "
            "that updates: use --method rollout"
        )
        raise UsageError(msg)
    due = list(pods)
    pace = _Pace(refresh.cluster.clock, rate_per_s)
    objects = Objects(refresh.cluster, refresh.namespace)
    for one in references:
        objects.add(one, _get(refresh, one))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for turn in range(TRIES):
            list(pool.map(lambda pod: _touch(refresh, pod, pace), due))
            refresh.writes += len(due)
            if turn == 0:
                refresh.report(f"touched {len(due)} pods")
            else:
                refresh.report(
                    f"touched {len(due)} pods again: they had read too early"
                )
            refresh.cluster.clock.sleep(SETTLE_S)
            due = [one for one in due if one["spec"]["nodeName"] not in refresh.caching]
            due = _stale(refresh, due, references, objects, pool)
            if not due or not refresh.left_s:
                break


def _stale(
    refresh: WorkloadRefresh,
    pods: Sequence[Object],
    references: Sequence[Reference],
    objects: Objects,
    pool: ThreadPoolExecutor,
) -> list[Object]:
    """List the pods that hold old content."""
    parts = [
        (part, reference)
        for pod in pods
        for reference in references
        for part in container_uses(pod, uses_of(pod, reference), immutable=False)
        if part.updates
    ]

    def state(one: tuple[ContainerUses, Reference]) -> ContentState:
        part, reference = one
        return inspect(refresh.cluster, part, reference, objects).state

    states = zip(parts, pool.map(state, parts), strict=True)
    stale = {one.name for (one, _), found in states if found is ContentState.STALE}
    return [pod for pod in pods if pod["metadata"]["name"] in stale]


def _touch(refresh: WorkloadRefresh, pod: Object, pace: _Pace) -> None:
    pace.wait()
    stamp = str(refresh.cluster.clock.utc_ns())
    try:
        refresh.cluster.patch(
            POD,
            pod["metadata"]["name"],
            {"metadata": {"annotations": {TOUCHED: stamp}}},
            namespace=refresh.namespace,
        )
    except NotFoundError:
        return  # it has gone meanwhile, and its successor reads for itself


class _Pace:
    """Limits touches to a rate; the first second's worth may pass at once."""

    def __init__(self, clock: Clock, per_s: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._begin = clock.monotonic()
        self._passed = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            due = (self._passed - self._per_s) / self._per_s
            self._passed += 1
            self._clock.sleep(self._begin + due - self._clock.monotonic())


def roll_out(refresh: WorkloadRefresh) -> None:
    """Change the template, and wait until all pods are from the new one."""
    second = refresh.cluster.clock.utc_ns() // NS_PER_S
    stamp = dt.datetime.fromtimestamp(second, dt.UTC).isoformat()
    annotations = {"metadata": {"annotations": {TOUCHED: stamp}}}
    refresh.patch({"spec": {"template": annotations}})
    refresh.report("changed the template: the rollout has begun")
    refresh.await_rollout()


def recreate(refresh: WorkloadRefresh, state: WorkloadState) -> None:
    """Scale to nothing, wait until no pod is left, and scale back in any case."""
    try:
        _scale_down(refresh, state)
    except BaseException as error:
        if not _is_refusal(error):  # the workload may have been scaled all the same
            scale_up(refresh, state.replicas, is_in_doubt=True)
        raise
    try:
        _await_gone(refresh, state)
    finally:
        scale_up(refresh, state.replicas)
    refresh.await_rollout()


def _scale_down(refresh: WorkloadRefresh, state: WorkloadState) -> None:
    refresh.patch(
        {
            "metadata": {
                # the number that is remembered is that of this version
                "resourceVersion": state.found["metadata"]["resourceVersion"],
                "annotations": {REMEMBERED: state.note},
            },
            "spec": {"replicas": 0},
        }
    )
    refresh.report(f"scaled from {state.replicas} to 0 (remembered in {REMEMBERED})")


def _is_refusal(error: BaseException) -> bool:
    """Report whether an answer makes sure that nothing was changed."""
    if isinstance(error, ForbiddenError | NotFoundError):
        return True
    if not isinstance(error, ClusterError) or error.status is None:
        return False
    status = error.status
    is_sure = status != HTTPStatus.REQUEST_TIMEOUT
    return is_sure and status < HTTPStatus.INTERNAL_SERVER_ERROR


def _await_gone(refresh: WorkloadRefresh, state: WorkloadState) -> None:
    while refresh.pods(state.found, leaving=True):
        if not refresh.left_s:
            msg = (
                f"pods of {refresh.owner} do not go: see `kubectl get pods -n "
                f"{refresh.namespace}`; its replicas have been restored"
            )
            raise ClusterError(msg)
        refresh.cluster.clock.sleep(POLL_S)


def scale_up(
    refresh: WorkloadRefresh, replicas: int, *, is_in_doubt: bool = False
) -> None:
    """Scale back to the former size, and remove the note of it in the same request.

    An error as the answer is no reason to leave it at nothing: the request is repeated.
    Where the request that scales to nothing may still be under way (``is_in_doubt``),
    the workload is changed in any case: that request is about the version before, and
    is refused when it arrives late.
    """
    clock = refresh.cluster.clock
    annotations: dict[str, str | None] = {REMEMBERED: None}
    if is_in_doubt:
        annotations[TOUCHED] = str(clock.utc_ns())
    body = {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}}
    until = max(refresh.until_s, clock.monotonic() + PATIENCE_S)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            refresh.patch(body)
        except NotFoundError:
            raise
        except ClusterError as error:
            if isinstance(error, ForbiddenError) or clock.monotonic() >= until:
                msg = f"{_alarm(refresh, replicas)} ({error})"
                raise ClusterError(msg, status=error.status) from error
            refresh.report(f"not scaled back yet, trying again: {error}")
        except KeyboardInterrupt:
            refresh.report(_alarm(refresh, replicas))
            raise
        else:
            refresh.report(f"scaled back to {replicas}")
            return
        clock.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _alarm(refresh: WorkloadRefresh, replicas: int) -> str:
    owner, namespace = refresh.owner, refresh.namespace
    return (
        f"{owner} IS AT 0 REPLICAS: `kubectl scale {owner} -n {namespace} "
        f"--replicas={replicas}`, or call again"
    )
