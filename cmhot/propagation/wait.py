"""Wait until every container that uses an object holds its current content.

What a container holds is looked at from inside it (`inspection`), never concluded.
Nothing is changed, unless ephemeral containers are asked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster.nodes import observe_settings, unready_nodes
from cmhot.display import Page, Shown, as_lines
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.uses import Reference, parse_reference
from cmhot.kubelet.view import Absent, obstacle_to
from cmhot.propagation.inspection import (
    ContainerUses,
    ContentState,
    EphemeralContainers,
    Inspection,
    init_read_ns,
    inspect,
    unanswered,
)
from cmhot.propagation.objects import is_written_after, made_ns
from cmhot.propagation.remedies import (
    REPLACE,
    Remedy,
    Shell,
    restarted_by,
    to_bring_in,
    to_finish,
)
from cmhot.propagation.watch import DEFAULT_TIMEOUT_S, ContainerWatch
from cmhot.propagation.workload import (
    KINDS,
    REFRESHED,
    Replacement,
    controller_of,
    is_rolling_out,
    parse_workload,
    pods_to_come,
    replacement_of,
    selector_of,
    template_of,
    will_use,
    workload_uses,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Object, Use
    from cmhot.propagation.workload import Workload


PAUSE_S = 0.5
"""From round to round: so soon is it noticed that the last has it."""
MOST_AGAIN = 16
"""Containers with other content that are looked into twice a second: two for each of
`AT_ONCE`."""
MOST_REMEDIES = 10
"""Of a text; the JSON has all."""
RESTART_S = 15.0
"""So long after an update, whoever restarts pods of its users is waited for."""
ASK_S = 2.0
"""So long the settings of kubelets are waited for; they may come later."""
MOST_EVENTS = 5
"""Pods whose events are asked for."""
CAUSES_S = 3.0
"""Longest time for what is asked when the verdict is known: events, workloads."""
SILENT = "wait again once the API server answers"


class UnusedError(UsageError):
    """No running pod uses the object that was to be waited for, or will use it."""


@dataclass(frozen=True, slots=True)
class WaitProgress:
    """How far a wait is: pods that use the object, and those that hold its content."""

    pods: int
    fresh: int
    within_s: float | None
    """Seconds within which the others almost surely have it, by the law;
    None: not known."""
    left_s: float  # until the time is over

    def __str__(self) -> str:
        """Say it for people: ``17 of 20 pods, expected within 41 s``."""
        text = f"{self.fresh} of {self.pods} pods"
        if self.within_s is None or self.fresh >= self.pods:
            return text
        if self.within_s == 0:
            return f"{text}, later than the law allows for idle healthy pods"
        return f"{text}, expected within {self.within_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Laggard:
    """A container that does not hold the content, or may not.

    Attributes
    ----------
    owner, pod, node, container
        Where.
    consumer, where
        Ways and places of the use, one after the other.
    updates
        Whether an update reaches it while it runs.
    why
        What was found.
    remedy
        What helps.
    """

    owner: Workload
    pod: str
    node: str | None
    container: str
    consumer: str
    where: str
    updates: bool
    why: str
    remedy: str

    def __str__(self) -> str:
        """Say it in a line."""
        home = "on no node" if self.node is None else f"on {self.node}"
        return (
            f"{self.pod} ({self.owner}, {home}), container {self.container} "
            f"({self.consumer} {self.where}): {self.why}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as an entry of ``wait --json``."""
        return {
            "workload": str(self.owner),
            "pod": self.pod,
            "node": self.node,
            "container": self.container,
            "consumer": self.consumer,
            "where": self.where,
            "updates": self.updates,
            "why": self.why,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Waited(Shown):
    """How it ended.

    Attributes
    ----------
    reference, namespace
        The object.
    landed
        Every consuming container holds the current content, as was seen from inside.
    pods, fresh
        That use it; that hold it in every container.
    stale
        Containers in which something else was read.
    unknown
        Containers that could not be looked into, and those that do not run; they are
        never assumed to be fresh.
    ignored
        Containers that an update never reaches, left out on request.
    seconds
        That it took.
    changed
        Pods that got an ephemeral container (``ephemeral``).
    pending
        Workloads of these pods that are still to make others, each with how many.
    initialised
        Pods of which init containers alone use it: what these made of it cannot be
        seen. Those that are older than its last change are among `unknown`.
    remarks
        What else was seen, such as a first process that has dropped its environment.
    remedies
        What helps, each once; those of `stale` and `unknown` are among them.
    """

    reference: Reference
    namespace: str
    landed: bool
    pods: int
    fresh: int
    stale: tuple[Laggard, ...]
    unknown: tuple[Laggard, ...]
    ignored: int
    seconds: float
    changed: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    initialised: int = 0
    remarks: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is left to be waited for, or to be done.

        It has landed, or init containers alone use it, and all have read it since, or
        all that use it were left out.
        """
        is_left = self.stale or self.unknown or self.pending
        return self.landed or (
            (self.initialised > 0 or self.ignored > 0) and not is_left
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``wait --json`` does."""
        return {
            "object": str(self.reference),
            "namespace": self.namespace,
            "landed": self.landed,
            "pods": self.pods,
            "fresh": self.fresh,
            "stale": [one.to_dict() for one in self.stale],
            "unknown": [one.to_dict() for one in self.unknown],
            "ignored": self.ignored,
            "seconds": self.seconds,
            "changed": list(self.changed),
            "pending": list(self.pending),
            "initialised": self.initialised,
            "ok": self.ok,
            "remarks": list(self.remarks),
            "remedies": list(self.remedies),
        }

    def to_text(self) -> str:
        """Write it for people."""
        lines = [self.heading]
        for title, some in (("stale", self.stale), ("unknown", self.unknown)):
            lines += [f"{title}: {one}" for one in some]
        lines += [f"pending: {one}" for one in self.pending]
        return as_lines([*lines, *self._notes()])

    @property
    def heading(self) -> str:
        """The verdict in a sentence."""
        if self.initialised and not self.pods:
            late = len({one.pod for one in self.unknown})
            what = (
                f"{late} of {self.initialised} pods may not have read it since its "
                "last change"
                if late
                else f"all {self.initialised} pods were made since its last change"
            )
            return (
                f"{self.reference} cannot be seen: only init containers use it, which "
                f"read it once; {what}"
            )
        if self.ignored and not (self.pods or self.pending):
            return f"{self.reference}: no update reaches anything that uses it"
        verdict = "has landed in" if self.landed else "has NOT landed: it is in"
        return (
            f"{self.reference} {verdict} {self.fresh} of {self.pods} pods, "
            f"seen from inside after {self.seconds:.1f} s"
        )

    def page(self) -> Page:
        """Show the verdict, who lags behind, and what helps."""
        rows = [
            {
                "": title,
                "pod": one.pod,
                "node": one.node or "",
                "container": one.container,
                "consumer": one.consumer,
                "where": one.where,
                "why": one.why,
            }
            for title, some in (("stale", self.stale), ("unknown", self.unknown))
            for one in some
        ]
        return Page(self.heading, rows, self._notes())

    def _notes(self) -> list[str]:
        is_there = self.pods or self.initialised or self.ignored or self.pending
        notes = [] if is_there else ["no running pod uses it now"]
        notes += [f"note: {one}" for one in self.remarks]
        notes += [f"remedy: {one}" for one in self.remedies[:MOST_REMEDIES]]
        if len(self.remedies) > MOST_REMEDIES:
            notes.append(f"and {len(self.remedies) - MOST_REMEDIES} more (--json)")
        if self.ignored:
            notes.append(
                f"left out: {self.ignored} uses that no update reaches (env, subPath, "
                "init containers)"
            )
        if self.changed:
            notes.append(
                f"changed by looking: {', '.join(self.changed)} got an ephemeral "
                "container, which synced the pod and stays until it goes"
            )
        return notes


def wait(
    cluster: Cluster,
    reference: str,
    *,
    workload: str | None = None,
    namespace: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    updatable_only: bool = False,
    ephemeral: bool = False,
    given: Setting | None = None,
    tried: Collection[str] = (),
    tell: Callable[[WaitProgress], None] | None = None,
) -> Waited:
    """Wait until every consuming container holds the object's current content.

    Files are compared byte by byte, as they are in the container, and those of removed
    keys have to be gone; variables are those that the runtime gives to processes of the
    container. Pods that a workload is still to make count as well. Containers that no
    update reaches (env, subPath) and that hold something else end the wait at once,
    unless a rollout under way replaces their pods.

    Parameters
    ----------
    cluster
        From `connect`.
    reference
        ``configmap/NAME`` or ``secret/NAME``.
    workload
        Only its pods, such as ``deployment/web``; None: all of the namespace.
    namespace
        Of the object and of the pods; None: that of the context.
    timeout_s
        Longest time in seconds.
    updatable_only
        Leave out what no update reaches, and wait for the others.
    ephemeral
        Look into containers without `cat` through an ephemeral container.
        That changes the pod, and syncs it.
    given
        Setting of the kubelets that may not be asked; None: it is not known.
    tried
        Methods of `refresh` that have been used: no remedy names them again.
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
        workload is none.
    """
    namespace = namespace or cluster.namespace
    wanted = parse_reference(reference)
    owner = None if workload is None else parse_workload(workload)
    cluster = cluster.until(cluster.clock.monotonic() + timeout_s)
    labels = None
    if owner is not None:
        found = cluster.get(KINDS[owner.kind], owner.name, namespace=namespace)
        labels = selector_of(found)
    return LandingWatch(
        cluster=cluster,
        reference=wanted,
        namespace=namespace,
        pause_s=PAUSE_S,
        most_again=MOST_AGAIN,
        labels=labels,
        owner=owner,
        updatable_only=updatable_only,
        ephemerals=EphemeralContainers(cluster, namespace) if ephemeral else None,
        given=given,
        tried=tried,
        on_progress=tell,
    ).wait(timeout_s)


def wait_for_applied(
    cluster: Cluster,
    applied: Sequence[Mapping[str, Any]],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    updatable_only: bool = False,
    tell: Callable[[WaitProgress], None] | None = None,
    skipped: Callable[[str], None] = lambda _: None,
) -> list[Waited]:
    """Wait for each ConfigMap and Secret among what was applied.

    Those that no pod uses, or will use, are left out: nothing is to be waited for.
    Pods of workloads that were applied as well are waited for before there are any.
    ``applied`` is from `cmhot.apply`, ``timeout_s`` the longest time for each, and
    ``skipped`` takes a line about each that is left out.
    """
    found = []
    for one in applied:
        meta = one["metadata"]
        if one["kind"] not in {"ConfigMap", "Secret"}:
            continue
        reference = Reference(one["kind"].lower(), meta["name"])
        where = meta.get("namespace", cluster.namespace)
        try:
            waited = LandingWatch(
                cluster=cluster.until(cluster.clock.monotonic() + timeout_s),
                reference=reference,
                namespace=where,
                pause_s=PAUSE_S,
                most_again=MOST_AGAIN,
                updatable_only=updatable_only,
                on_progress=tell,
                is_awaited=any(
                    other["kind"] in REFRESHED
                    and other["metadata"].get("namespace", where) == where
                    and will_use(other, other["kind"], reference)
                    for other in applied
                ),
            ).wait(timeout_s)
        except UnusedError:
            skipped(f"no pod uses {reference}: there is nothing to wait for")
            continue
        found.append(waited)
    return found


@dataclass(slots=True)
class LandingWatch(ContainerWatch):
    """Watches until all containers hold the content, or it is in vain."""

    given: Setting | None = None  # of kubelets that may not be asked
    ephemerals: EphemeralContainers | None = None
    tried: Collection[str] = ()  # ways that have not helped
    is_awaited: bool = False  # pods will use the object, although none does yet
    on_progress: Callable[[WaitProgress], None] | None = None
    until_s: float = 0.0  # by the cluster's monotonic clock
    nodes: dict[str, ObservedNode] = field(default_factory=dict)
    pending: dict[Workload, str] = field(default_factory=dict)  # see `pods_to_come`
    restarters: dict[Workload, str] = field(default_factory=dict)
    """Annotations by which something restarts pods after a change."""
    _asks_nodes: bool = False

    def wait(self, timeout_s: float) -> Waited:
        """Wait so long at most."""
        self.until_s = self.cluster.clock.monotonic() + timeout_s
        return self._result(self.run(timeout_s))

    def inspect(self, part: ContainerUses) -> Inspection:
        """Inspect, through an ephemeral container if need be and asked for."""
        seen = self._inspect(part)
        # one with a remedy of its own is not helped by another container
        needs_cat = seen.state is ContentState.UNREADABLE and not seen.remedy
        if not needs_cat or self.ephemerals is None:
            return seen
        through = self.ephemerals.beside(part, until_s=self.until_s)
        if isinstance(through, str):
            return self._inspect(part, through)
        return through or seen

    def _inspect(self, part: ContainerUses, through: str | None = None) -> Inspection:
        return inspect(
            self.cluster,
            part,
            self.reference,
            self.objects,
            through=through,
            until_s=self.until_s,
        )

    def is_over(self) -> bool:
        """Tell whether waiting on is in vain, or done."""
        is_used = self.parts or self.by_init or self.ignored
        if not (self.rounds or is_used or self._will_be_used()):
            raise UnusedError(self._unused())
        if not (self.parts or self.by_init) and self.ignored:
            return True
        if self.on_progress is not None and (self.parts or not self.by_init):
            self.on_progress(self._progress())
        if not (self.parts or self.by_init):
            return False
        stuck: dict[Workload, set[str]] = {}  # pods, by uid
        for owner, pod in self._stuck_pods():
            stuck.setdefault(owner, set()).add(_uid(pod))
        left = [one for one in sorted(stuck) if not self._is_being_replaced(one)]
        if left:
            # a rollout may have replaced them since they were listed
            return self._are_all_listed() and any(
                stuck[owner] & self._listed() for owner in left
            )
        undecided = {ContentState.STALE, ContentState.PENDING}
        if stuck or any(self._state(part) in undecided for _, part in self.parts):
            return False
        if any(init_read_ns(pod, uses) is None for _, pod, uses in self.by_init):
            return False
        self.pending = self._pending()
        return not self.pending and self._are_all_listed()

    def _are_all_listed(self) -> bool:
        """List the pods after their workloads, which may have made some since."""
        known = self._listed()
        self.list_anew()
        self._list_pods()
        return self._listed() <= known

    def _listed(self) -> set[str]:
        pods = [part.pod for _, part in self.parts] + [
            pod for _, pod, _ in self.by_init
        ]
        return {_uid(pod) for pod in pods}

    def _stuck_pods(self) -> Iterator[tuple[Workload, Object]]:
        """Yield pods that keep what is old, whatever is waited for."""
        for owner, part in self.parts:
            if self._is_stuck(part):
                yield owner, part.pod
        for owner, pod, uses in self.by_init:
            if self._init_seen(pod, uses).state is ContentState.STALE:
                yield owner, pod

    def _is_stuck(self, part: ContainerUses) -> bool:
        """Tell whether a container will keep its other content while it runs."""
        seen = self._seen(part)
        is_stale = seen.state is ContentState.STALE
        return is_stale and (seen.in_vain or not part.updates)

    def _init_seen(self, pod: Object, uses: Sequence[Use]) -> Inspection:
        """Say what init containers have read: what the object holds, older, or nothing.

        A volume that was set up before the change may still be the old one when an init
        container begins after it: the kubelet renews it beside the container's start.
        Of a pod of the same second it is not known which of both came first.
        """
        begun_ns, stored = init_read_ns(pod, uses), self.objects(self.reference)
        if begun_ns is None:
            why = "an init container that reads it has not begun"
            return Inspection(ContentState.PENDING, why)
        is_after = not isinstance(stored, Absent) and is_written_after(stored, pod)
        if is_after or begun_ns <= (self.updated_ns or begun_ns):
            why = "it began before the last change"
            return Inspection(ContentState.STALE, why)
        if made_ns(pod) < (self.updated_ns or 0):
            why = (
                "its pod is older than the last change, and so may be what it was given"
            )
            return Inspection(ContentState.STALE, why)
        return Inspection(ContentState.FRESH)

    def _unused(self) -> str:
        who = f"pod of {self.owner}" if self.owner else "running pod"
        runs = [] if self.owner else self._cronjobs()
        shell = Shell.of(self.cluster, self.namespace)
        more = f"the next run of {', '.join(runs)} will; " if runs else ""
        return (
            f"no {who} in {self.namespace} uses {self.reference} in a volume or a "
            f"variable: {more}who reads it through the API cannot be seen; see "
            f"`{shell.cmhot('explain', str(self.reference))}`"
        )

    def _cronjobs(self) -> list[str]:
        """Name the CronJobs that use the object, so far as may be seen."""
        try:
            return [
                str(found.owner)
                for page in self.cluster.pages(
                    KINDS["CronJob"], namespace=self.namespace
                )
                for one in page
                if (found := workload_uses(one, "CronJob", self.reference)).uses
            ]
        except (ForbiddenError, NotFoundError):
            return []

    def show(self) -> None:
        """Show nothing: progress is told in each round."""

    def _will_be_used(self) -> bool:
        """Tell whether pods that use the object are to come, so far as may be seen."""
        kinds = REFRESHED if self.owner is None else (self.owner.kind,)
        try:
            return self.is_awaited or any(
                will_use(found, kind, self.reference)
                for kind in kinds
                for found in self._workloads(kind)
            )
        except ForbiddenError:
            return False

    def _workloads(self, kind: str) -> Iterator[Object]:
        place, where = KINDS[kind], self.namespace
        if self.owner is not None:
            yield self.cluster.get(place, self.owner.name, namespace=where)
            return
        for page in self.cluster.pages(place, namespace=where):
            yield from page

    def _is_being_replaced(self, owner: Workload) -> bool:
        """Tell whether an owner's pods are being replaced, so far as may be seen."""
        found = self._stored(owner)
        if found is None:
            return False
        return is_rolling_out(found, owner.kind) or self._may_be_restarted(owner, found)

    def _may_be_restarted(self, owner: Workload, found: Object) -> bool:
        """Tell whether something that restarts a workload's pods is about to."""
        name = restarted_by(found)
        if not name or self.updated_ns is None:
            return False
        self.restarters[owner] = name
        waited_s = (self.cluster.clock.utc_ns() - self.updated_ns) / NS_PER_S
        return waited_s < RESTART_S

    def _stored(self, owner: Workload) -> Object | None:
        """Read a workload of `KINDS`; None: it may not be read, or there is none."""
        if not owner.is_refreshed:
            return None
        place, where = KINDS[owner.kind], self.namespace
        try:
            return self.cluster.get(place, owner.name, namespace=where)
        except (ForbiddenError, NotFoundError):
            return None

    def _stored_now(self, owner: Workload) -> Object | None:
        """Read a workload for its remedy, which is not worth an error."""
        try:
            return self._stored(owner)
        except ClusterError:
            return None

    def _pending(self) -> dict[Workload, str]:
        """Say which of the workloads are to make other pods, so far as may be seen."""
        found = {}
        owners = {owner for owner, _ in self.parts}
        for owner in sorted(owners | {owner for owner, _, _ in self.by_init}):
            stored = self._stored(owner)
            if stored is not None and (to_come := pods_to_come(stored, owner.kind)):
                found[owner] = to_come
        return found

    def _seen(self, part: ContainerUses) -> Inspection:
        return self.seen.get(part.key) or unanswered("no answer yet")

    def _state(self, part: ContainerUses) -> ContentState:
        return self._seen(part).state

    def _lagging(self) -> dict[str, str | None]:
        """Name pods that an update has yet to reach, with their nodes."""
        return {
            part.name: part.node
            for _, part in self.parts
            if self._state(part) is not ContentState.FRESH
        }

    def _progress(self) -> WaitProgress:
        pods = {part.name for _, part in self.parts}
        lagging = self._lagging()
        return WaitProgress(
            pods=len(pods),
            fresh=len(pods) - len(lagging),
            within_s=self._within_s(Counter(filter(None, lagging.values()))),
            left_s=self.until_s - self.cluster.clock.monotonic(),
        )

    def _within_s(self, lagging: Counter[str]) -> float | None:
        """Say within how many seconds the pods on some nodes have it, by the law."""
        if not set(lagging) <= set(self.nodes):
            self._ask_nodes(sorted({*lagging, *self.nodes}))
        is_known = lagging and self.updated_ns is not None
        if not (is_known and set(lagging) <= set(self.nodes) and self._is_by_law()):
            return None
        from cmhot.propagation.expectation import remaining_s  # noqa: PLC0415 - the law takes long to import

        homes = {part.name: part.node for _, part in self.parts}
        sharers = Counter(filter(None, homes.values()))

        def left_s(waited_s: float) -> float | None:
            return remaining_s(
                lagging, self.nodes, sharers=sharers, waited_s=max(waited_s, 0.0)
            )

        waited_s = (self.cluster.clock.utc_ns() - (self.updated_ns or 0)) / NS_PER_S
        found = left_s(waited_s)
        # a removal may have left no time, see `last_update_ns`: it may be of just now
        return None if found == 0 and left_s(self.elapsed_s) else found

    def _is_by_law(self) -> bool:
        """Tell whether a sync of the pods is all that is waited for."""
        others = [
            part
            for _, part in self.parts
            if self._state(part) is not ContentState.FRESH
            and (self._is_stuck(part) or self._state(part) is not ContentState.STALE)
        ]
        return not (others or self.by_init)

    def _ask_nodes(self, names: Sequence[str]) -> None:
        """Learn the nodes' settings while looks go on: a dead one takes seconds."""

        def ask() -> None:
            found = observe_settings(self.cluster, given=self.given, sample=names)
            self.nodes = {node.name: node for node in found}

        def ask_beside() -> None:
            with suppress(ClusterError):
                ask()

        if self.cluster.modelled:
            ask()
        elif not self._asks_nodes:
            self._asks_nodes = True
            asking = threading.Thread(target=ask_beside, daemon=True)
            asking.start()
            asking.join(ASK_S)

    def _result(self, seconds: float) -> Waited:
        # causes and remedies have a time of their own
        self.cluster = self.cluster.until(self.cluster.clock.monotonic() + CAUSES_S)
        self.objects.cluster = self.cluster
        seen = [(owner, part, self._seen(part)) for owner, part in self.parts]
        late = [
            (owner, part, found) for owner, part, found in seen if not _is_fresh(found)
        ]
        if late and self.is_answered and not self.pending:
            with suppress(ClusterError):
                self.pending = self._pending()
        causes = self._causes([one for one in late if _is_silent(one[2])])
        lagging: dict[bool, list[Laggard]] = {True: [], False: []}
        for owner, part, found in late:
            why = causes.get(part.name, found.why)
            one = self._laggard(owner, part, replace(found, why=why))
            lagging[found.state is ContentState.STALE].append(one)
        lagging[False] += [
            self._init_laggard(owner, pod, uses, read)
            for owner, pod, uses in self.by_init
            if not _is_fresh(read := self._init_seen(pod, uses))
        ]
        pods = {part.name for _, part in self.parts}
        is_left = lagging[True] or lagging[False] or self.pending
        remedies = [one.remedy for some in lagging.values() for one in some]
        return Waited(
            reference=self.reference,
            namespace=self.namespace,
            landed=bool(self.parts) and not is_left,
            pods=len(pods),
            fresh=len(pods) - len(self._lagging()),
            stale=tuple(lagging[True]),
            unknown=tuple(lagging[False]),
            ignored=self.ignored,
            seconds=seconds,
            changed=() if self.ephemerals is None else self.ephemerals.changed,
            pending=tuple(f"{owner}: {why}" for owner, why in self.pending.items()),
            initialised=len({pod["metadata"]["name"] for _, pod, _ in self.by_init}),
            remarks=tuple(self._remarks(seen)),
            remedies=tuple(dict.fromkeys([*self._to_finish(), *remedies])),
        )

    def _remarks(
        self, seen: Sequence[tuple[Workload, ContainerUses, Inspection]]
    ) -> Iterator[str]:
        """Say what else was seen, once for each workload."""
        yield from dict.fromkeys(
            f"{owner}, container {part.container}: {found.note}"
            for owner, part, found in seen
            if found.note
        )
        if not self.is_answered:
            yield "the API server no longer answers: this was seen before"
        # one that holds it by now has been restarted
        late = {owner for owner, _, found in seen if not _is_fresh(found)}
        late |= {owner for owner, _ in self._stuck_pods()}
        for owner in sorted(late & self.restarters.keys()):
            name = self.restarters[owner]
            yield f"{owner} has the annotation {name}: a rollout of it may yet begin"
        if self.by_init and self.parts:
            users = ", ".join(sorted({str(owner) for owner, _, _ in self.by_init}))
            yield f"what init containers of {users} have read cannot be seen"

    def _to_finish(self) -> list[str]:
        """Say how the pods come that are still to come."""
        if not self.pending:
            return []
        shell, found = Shell.of(self.cluster, self.namespace), []
        for owner in self.pending if self.is_answered else ():
            stored = self._stored_now(owner)
            replacement = Replacement() if stored is None else replacement_of(stored)
            found.append(str(to_finish(owner, replacement, shell=shell)))
        return found

    def _causes(
        self, silent: Sequence[tuple[Workload, ContainerUses, Inspection]]
    ) -> dict[str, str]:
        """Say why pods do not answer or do not run, by their nodes and events."""
        if not (silent and self.is_answered):
            return {}
        homes = {part.node for _, part, _ in silent if part.node}
        unready = unready_nodes(self.cluster, homes)
        found = {
            part.name: f"its node {part.node} is {unready[part.node]}"
            for _, part, _ in silent
            if part.node in unready
        }
        left = {part.name: (part, seen) for _, part, seen in silent}
        for name in [name for name in left if name not in found][:MOST_EVENTS]:
            part, seen = left[name]
            if said := self._event(part):
                found[name] = f"{seen.why}; {said}"
        return found

    def _event(self, part: ContainerUses) -> str:
        """Quote the last warning about a pod; empty: there is none to be seen."""
        try:
            events = self.cluster.events(part.name, namespace=self.namespace)
        except ClusterError:
            return ""
        uid = part.pod["metadata"].get("uid")
        warnings = [
            one
            for one in events
            if one.get("type") == "Warning"
            and one["involvedObject"].get("uid") in {None, uid}
        ]
        if not warnings:
            return ""
        last = warnings[-1]
        return f"{last.get('reason')}: {' '.join(str(last.get('message')).split())}"

    def _init_laggard(
        self, owner: Workload, pod: Object, uses: Sequence[Use], seen: Inspection
    ) -> Laggard:
        """Say that init containers may have read an older content, or none yet."""
        name = f"{uses[0].container} (init)"
        part = ContainerUses(pod, name, tuple(uses), updates=False)
        return self._laggard(owner, part, seen)

    def _laggard(
        self, owner: Workload, part: ContainerUses, seen: Inspection
    ) -> Laggard:
        is_fixed = seen.state is ContentState.STALE and not part.updates
        return Laggard(
            owner=owner,
            pod=part.name,
            node=part.node,
            container=part.container,
            consumer=", ".join(dict.fromkeys(use.way.value for use in part.uses)),
            where=", ".join(use.key_or_path for use in part.uses),
            updates=part.updates,
            why=f"{seen.why}; no update reaches it" if is_fixed else seen.why,
            remedy=self._remedy_of(owner, part, seen),
        )

    def _remedy_of(self, owner: Workload, part: ContainerUses, seen: Inspection) -> str:
        if not self.is_answered:
            return SILENT
        if seen.remedy == REPLACE:
            stale = replace(seen, state=ContentState.STALE)
            return f"{REPLACE}: {self._remedy(owner, part, stale)}"
        return seen.remedy or str(self._remedy(owner, part, seen))

    def _remedy(self, owner: Workload, part: ContainerUses, seen: Inspection) -> Remedy:
        shell = Shell.of(self.cluster, self.namespace)
        if seen.state is ContentState.UNREADABLE:
            return self._to_look(part, shell)
        if seen.state is ContentState.PENDING:
            return Remedy("see why", shell.kubectl("describe", "pod", part.name))
        stored = self._stored_now(owner)
        if stored is None and owner.is_refreshed:
            owner = controller_of(part.pod) or owner  # there is none of that name
        replacement = None if stored is None else replacement_of(stored)
        is_replaced = stored is not None and is_rolling_out(stored, owner.kind)
        if replacement is not None and is_replaced and not part.updates:
            return to_finish(owner, replacement, shell=shell)
        node = self.nodes.get(part.node or "")
        next_pod = part.pod if stored is None else template_of(stored, owner.kind)
        is_renewed = part.updates and not self._obstacle_to(next_pod, starts=False)
        found = to_bring_in(
            owner,
            part.pod,
            shell=shell,
            replacement=replacement,
            syncs=is_renewed and (node is None or _reads(node)),
            blocked=self._obstacle_to(next_pod),
            tried=self.tried,
        )
        if is_renewed:
            words = f"wait longer, or {found.words}".removesuffix(" ")
            return Remedy(words, found.command)
        return found

    def _obstacle_to(self, pod: Object, *, starts: bool = True) -> str:
        """Say why no new pod starts, so far as the objects that it names are read."""
        try:
            return obstacle_to(pod, self.objects, starts=starts)
        except ClusterError:
            return ""

    def _to_look(self, part: ContainerUses, shell: Shell) -> Remedy:
        """Say how a container without `cat` can be looked into."""
        if self.ephemerals is not None:
            words = "its ephemeral container does not start: see why"
            return Remedy(words, shell.kubectl("describe", "pod", part.name))
        chosen = () if self.owner is None else ("--for", str(self.owner))
        words = "look through an ephemeral container, which changes the pod"
        command = shell.cmhot("wait", str(self.reference), *chosen, "--ephemeral")
        return Remedy(words, command)


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _is_fresh(found: Inspection) -> bool:
    return found.state is ContentState.FRESH


def _is_silent(found: Inspection) -> bool:
    return found.state is ContentState.PENDING


def _reads(node: ObservedNode) -> bool:
    """Tell whether a sync reads new content there."""
    from cmhot.propagation.expectation import sync_reads  # noqa: PLC0415 - the law takes long to import

    return sync_reads(node)
