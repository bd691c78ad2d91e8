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
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import POD
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.kubelet.uses import (
    Kind,
    Role,
    parse_reference,
    references_of,
    uses_of,
)
from cmhot.kubelet.view import Absent, obstacle_to
from cmhot.propagation.absence import absent
from cmhot.propagation.objects import (
    Objects,
    is_written_after,
    last_update_ns,
    made_ns,
)
from cmhot.propagation.remedies import PUT_BACK, Shell
from cmhot.propagation.workload import (
    KINDS,
    REMEMBERED,
    RESTARTED,
    TOUCHED,
    WorkloadState,
    budgets_of,
    is_leaving,
    is_pod_of,
    is_rolled_out,
    last_writer,
    number_of,
    pods_to_come,
    replicas_of,
    scaled_by,
    selector_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Object, Reference
    from cmhot.propagation.inspection import ContainerUses
    from cmhot.propagation.workload import Workload


AUTOSCALER = Kind("autoscaling/v2", "horizontalpodautoscalers")
BUDGET = Kind("policy/v1", "poddisruptionbudgets")
WRITES_AT_ONCE = 4
FEW = 3
"""Requests that one connection answers before another one would be ready."""
POLL_S = 0.25
"""Between two looks at a workload that changes."""
FIRST_LOOK_S = 0.3
"""From the first touch to the first look: a sync follows at once, and the two volume
loops take 0.2 s. Pods are looked into in the order in which they were touched."""
SETTLE_S = 1.2
"""From a touch to the next one: a sync that follows another one waits for the next
relist (1 s), and the two volume loops take 0.2 s."""
TRIES = 5
IN_PHASE = (
    "these pods were synced at the same time, and will be so again: the next updates "
    "reach them together, until their jitter has spread them (some five syncs)"
)
RECENT_S = 120.0
"""What was changed since then need not be in every container yet: the longest that a
kubelet of the usual setting takes is 91 s."""
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
    unseen: list[str] = field(default_factory=list)  # what was not looked at, and why
    caching: set[str] = field(default_factory=set)  # nodes where a sync reads no news
    objects: Objects = field(init=False)

    def __post_init__(self) -> None:
        """Have read no object yet."""
        self.objects = Objects(self.cluster, self.namespace)

    @property
    def kind(self) -> Kind:
        """The workload's place in the API."""
        return KINDS[self.owner.kind]

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return max(self.until_s - self.cluster.clock.monotonic(), 0.0)

    @property
    def shell(self) -> Shell:
        """Writes commands about the workload."""
        return Shell.of(self.cluster, self.namespace)

    def stored(self, reference: Reference) -> Object:
        """Give an object that was found to be there."""
        found = self.objects(reference)
        assert not isinstance(found, Absent)  # noqa: S101 - `choose_objects` left it out
        return found

    def together(self, *requests: Callable[[], object]) -> None:
        """Send requests side by side; of those that fail, the first is the error.

        A few go over the connection that there is: another one takes as long to make.
        """
        # the model is no more than one thread can ask
        is_one = self.cluster.modelled or len(requests) <= FEW
        with ThreadPoolExecutor(1 if is_one else WRITES_AT_ONCE) as pool:
            for sent in [pool.submit(one) for one in requests]:
                sent.result()

    def find(self) -> dict[str, Any]:
        """Read the workload for the first time."""
        try:
            return self.read()
        except NotFoundError as error:
            msg = (
                f"there is no {self.owner} of {self.kind.api_version} in "
                f"{self.namespace}: check the name and the namespace; one of another "
                "API group is left to its own controller"
            )
            raise NotFoundError(msg, status=error.status) from error

    def state(self, found: Object, kinds: Sequence[Kind]) -> WorkloadState:
        """Read what acts on a workload: of `AUTOSCALER` and `BUDGET`, these kinds."""
        labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        acting = {kind: self._all(kind) for kind in kinds}
        scalers, limits = acting.get(AUTOSCALER, []), acting.get(BUDGET, [])
        return WorkloadState(
            self.owner,
            found,
            None if scalers is None else scaled_by(scalers, self.owner),
            None if limits is None else tuple(budgets_of(limits, labels)),
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
            if is_pod_of(pod, found, self.owner) and (leaving or not is_leaving(pod))
        ]

    def follow(self, rollout: Rollout, *, spare_s: float = 0.0) -> bool:
        """Wait until all pods are new and available; False: not in time.

        So much of the time is left then.
        """
        while not rollout.is_complete():
            if self.left_s <= spare_s:
                return False
            self.cluster.clock.sleep(POLL_S)
        return True

    def complete(self, rollout: Rollout) -> None:
        """Wait until all pods are new and available, and fail if it is not in time."""
        if not self.follow(rollout):
            status = self.shell.kubectl("rollout", "status", str(self.owner))
            msg = (
                f"{self.owner} is not complete in time, and goes on without us "
                f"({rollout.said}): see {status}"
            )
            raise ClusterError(msg)


@dataclass(slots=True)
class Rollout:
    """A workload's pods on their way to its present template, and what is said of it.

    ``stamp`` is what we wrote into the template; empty: nothing.
    """

    refresh: WorkloadRefresh
    stamp: str = ""
    said: str = ""
    completed_s: float | None = None  # by the cluster's monotonic clock

    def is_complete(self) -> bool:
        """Read the workload, and report how far it is if that has changed.

        Raises
        ------
        ClusterError
            Somebody has taken back our change of the template.
        """
        found, owner = self.refresh.read(), self.refresh.owner
        note = found["spec"]["template"].get("metadata") or {}
        if self.stamp and RESTARTED not in (note.get("annotations") or {}):
            by = last_writer(found)
            msg = (
                f"the template of {owner} was changed back by "
                f"{by or 'somebody'} while it rolled out, so not all pods are new: "
                "change it where that reads it from, or delete the pods one by one"
            )
            raise ClusterError(msg)
        if is_rolled_out(found, owner.kind):
            if self.completed_s is None:
                self.completed_s = self.refresh.cluster.clock.monotonic()
            return True
        if (now := pods_to_come(found, owner.kind) or _unavailable(found)) != self.said:
            self.said = now
            self.refresh.report(f"{owner}: {now}")
        return False


def _unavailable(found: Object) -> str:
    """Say how many pods are there and not available yet."""
    status = found.get("status") or {}
    new = status.get("updatedNumberScheduled", status.get("updatedReplicas", 0))
    ready = status.get("numberAvailable", status.get("availableReplicas", 0))
    return f"{ready} of {max(new, ready)} new pods are available"


def choose_objects(
    refresh: WorkloadRefresh,
    found: Object,
    pods: Sequence[Object],
    named: str | None,
) -> list[Reference]:
    """List the objects to verify: the one that was named, or all of the template.

    The name may be ``secret/NAME``; optional objects that do not exist are left out.
    What may not be read cannot be compared: that counts as not looked at.
    """
    template = found["spec"]["template"]
    if named is not None:
        one = parse_reference(named if "/" in named else f"configmap/{named}")
        _read(refresh, [one])
        if refresh.objects(one) is Absent.MISSING:
            raise absent(refresh.cluster, one, refresh.namespace)
        if not any(uses_of(pod, one) for pod in (template, *pods)):
            msg = (
                f"{refresh.owner} does not use {one}: "
                f"`{refresh.shell.cmhot('explain', str(one))}` says who does"
            )
            raise UsageError(msg)
        chosen = [one]
    else:
        chosen = sorted(references_of(template))
        _read(refresh, chosen)
    looked_at = []
    for one in chosen:
        stored = refresh.objects(one)
        if stored is Absent.UNREAD:
            refresh.unseen.append(f"{one} may not be read, and so not compared")
        elif stored is not Absent.MISSING:
            looked_at.append(one)
        elif all(use.optional for use in uses_of(template, one)):
            refresh.warnings.append(f"{one} does not exist, and is optional")
        else:
            refresh.unseen.append(f"{one} does not exist: new pods need it to start")
    return looked_at


def _read(refresh: WorkloadRefresh, references: Iterable[Reference]) -> None:
    refresh.together(*(partial(refresh.objects, one) for one in references))


def refuse_blocked(refresh: WorkloadRefresh, pod: Object, *, starts: bool) -> None:
    """Refuse what cannot succeed, since an object or a key that has to exist does not.

    ``pod`` is a pod or a template; ``starts``: new pods are to be made of it.
    """
    _read(refresh, references_of(pod))
    if why := obstacle_to(pod, refresh.objects, starts=starts):
        what = "its new pods would not start"
        if not starts:
            what = "the kubelet cannot renew its volumes"
        msg = f"{refresh.owner}: {what}, since {why}: {PUT_BACK}"
        raise UsageError(msg)


def find_caching_nodes(refresh: WorkloadRefresh, pods: Sequence[Object]) -> None:
    """Find, and warn of, nodes where a sync may read old content from a cache."""
    from cmhot.cluster.nodes import observe_settings  # noqa: PLC0415 - after the touch

    names = sorted({pod["spec"].get("nodeName") for pod in pods} - {None})
    nodes = observe_settings(refresh.cluster, sample=names)
    caching = [
        node
        for node in nodes
        if node.setting is not None and node.setting.strategy is Strategy.CACHE
    ]
    if caching:
        from cmhot.propagation.expectation import sync_reads  # noqa: PLC0415 - the law takes long to import

        caching = [node for node in caching if not sync_reads(node)]
    if caching:
        longest = max(node.setting.ttl_s or 0.0 for node in caching if node.setting)
        refresh.warnings.append(
            f"{len(caching)} of {len(nodes)} nodes keep what they have read for up to "
            f"{longest:g} s (strategy Cache): a sync there does not ask again, so this "
            "cannot force it; use --method rollout"
        )
    refresh.caching = {node.name for node in caching}


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


@dataclass(slots=True)
class Touches:
    """Annotates pods, at a limited rate, and knows when each had its last one."""

    refresh: WorkloadRefresh
    rate_per_s: float
    last_s: dict[str, float] = field(default_factory=dict)  # by pod
    tries: int = 0

    def touch(self, pods: Sequence[Object]) -> None:
        """Annotate pods, side by side."""
        pace = _Pace(self.refresh.cluster.clock, self.rate_per_s)
        self.refresh.together(*(partial(self._touch, pod, pace) for pod in pods))
        self.refresh.writes += len(pods)
        again = "" if not self.tries else " again: they still had the old content"
        self.refresh.report(f"touched {number_of(len(pods), 'pod')}{again}")
        self.tries += 1

    def _touch(self, pod: Object, pace: _Pace) -> None:
        pace.wait()
        name, clock = pod["metadata"]["name"], self.refresh.cluster.clock
        body = {"metadata": {"annotations": {TOUCHED: str(clock.utc_ns())}}}
        try:
            self.refresh.cluster.patch(
                POD, name, body, namespace=self.refresh.namespace
            )
        except NotFoundError:
            return  # it has gone meanwhile, and its successor reads for itself
        self.last_s[name] = clock.monotonic()

    def repeat(self, parts: Iterable[ContainerUses]) -> None:
        """Touch the pods again that still have old content, where that can help."""
        now = self.refresh.cluster.clock.monotonic()
        due = {
            part.name: part.pod
            for part in parts
            if part.updates
            and part.node not in self.refresh.caching
            and now - self.last_s.get(part.name, now) >= SETTLE_S
        }
        if due and self.tries < TRIES:
            self.touch(list(due.values()))


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
            due = (self._passed + 1 - self._per_s) / self._per_s
            self._passed += 1
            self._clock.sleep(self._begin + due - self._clock.monotonic())


def read_by_init(
    found: Object, references: Sequence[Reference]
) -> tuple[list[Reference], list[Reference]]:
    """Tell objects that running containers use from those of init containers alone."""
    template = found["spec"]["template"]
    alone = [
        one
        for one in references
        if (uses := uses_of(template, one))
        and all(use.role is Role.INIT for use in uses)
    ]
    return [one for one in references if one not in alone], alone


def was_changed_lately(clock: Clock, objects: Iterable[Object]) -> bool:
    """Tell whether one of the objects was written to in the last `RECENT_S`."""
    since_ns = clock.utc_ns() - RECENT_S * NS_PER_S
    return any((last_update_ns(one) or 0) > since_ns for one in objects)


def are_newer(pods: Sequence[Object], objects: Sequence[Object]) -> bool:
    """Tell whether all pods were made after the last write to each of the objects."""
    if any(is_written_after(one, pod) for one in objects for pod in pods):
        return False
    writes = [last_update_ns(one) for one in objects]
    is_known = all(pod["metadata"].get("creationTimestamp") for pod in pods)
    if not (writes and all(writes) and pods and is_known):
        return False
    # both are whole seconds
    return min(map(made_ns, pods)) > max(one for one in writes if one is not None)


def change_template(refresh: WorkloadRefresh) -> Rollout:
    """Write into the template what `kubectl rollout restart` does.

    Operators keep that annotation of templates which they write, and no other.
    """
    instant = dt.datetime.fromtimestamp(
        refresh.cluster.clock.utc_ns() / NS_PER_S, dt.UTC
    )
    stamp = instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    annotations = {"metadata": {"annotations": {RESTARTED: stamp}}}
    refresh.patch({"spec": {"template": annotations}})
    refresh.report("changed the template: the rollout has begun")
    return Rollout(refresh, stamp)


def recreate(refresh: WorkloadRefresh, state: WorkloadState) -> None:
    """Scale to nothing, wait until no pod is left, and scale back in any case."""
    try:
        _scale_down(refresh, state)
    except BaseException as error:
        if not _is_refusal(error):  # the workload may have been scaled all the same
            scale_up(refresh, state.replicas, is_in_doubt=True)
        raise
    replicas = state.replicas
    try:
        replicas = _await_gone(refresh, state)
    finally:
        scale_up(refresh, replicas)
    refresh.complete(Rollout(refresh))


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


def _await_gone(refresh: WorkloadRefresh, state: WorkloadState) -> int:
    """Wait until no pod is left; give the replicas that it is to have then.

    Somebody else may scale it up meanwhile: then no pod needs to go any more.
    """
    while refresh.pods(state.found, leaving=True):
        found = refresh.read()
        if replicas := replicas_of(found, refresh.owner.kind):
            refresh.warnings.append(
                f"{last_writer(found) or 'somebody'} has set the replicas of "
                f"{refresh.owner} back to {replicas} before all pods had gone: "
                "some may be the old ones"
            )
            return replicas
        if not refresh.left_s:
            msg = (
                f"pods of {refresh.owner} do not go: see "
                f"`{refresh.shell.kubectl('get', 'pods')}`; its replicas have been "
                "restored"
            )
            raise ClusterError(msg)
        refresh.cluster.clock.sleep(POLL_S)
    return state.replicas


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
    in_time, refresh.cluster = refresh.cluster, refresh.cluster.until(until)
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
            refresh.cluster = in_time
            refresh.report(f"scaled back to {replicas}")
            return
        clock.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _alarm(refresh: WorkloadRefresh, replicas: int) -> str:
    owner = refresh.owner
    scale = refresh.shell.kubectl("scale", str(owner), f"--replicas={replicas}")
    return f"{owner} IS AT 0 REPLICAS: `{scale}`, or call again"
