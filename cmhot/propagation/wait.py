"""Wait until every container that uses an object holds its current content.

What a container holds is looked at from inside it (`inspection`), never concluded.
Nothing is changed, unless ephemeral containers are asked for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster.nodes import observe_settings
from cmhot.display import Page, Shown, as_lines
from cmhot.errors import ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.uses import Reference, parse_reference
from cmhot.propagation.inspection import (
    ContentState,
    EphemeralContainers,
    inspect,
    unanswered,
)
from cmhot.propagation.watch import DEFAULT_TIMEOUT_S, ContainerWatch
from cmhot.propagation.workload import (
    KINDS,
    REFRESHED,
    controller_of,
    is_rolling_out,
    parse_workload,
    pods_to_come,
    replacement_of,
    selector_of,
    will_use,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Object
    from cmhot.propagation.inspection import ContainerUses, Inspection
    from cmhot.propagation.remedies import Remedy
    from cmhot.propagation.workload import Workload


PAUSE_S = 1.0
"""Between two rounds: no kubelet syncs a pod more often by itself."""


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
        if self.within_s is None or self.fresh == self.pods:
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
        return (
            f"{self.pod}, container {self.container} "
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
        Containers that hold something else.
    unknown
        Containers that cannot be looked into; they are never assumed to be fresh.
    ignored
        Containers that an update never reaches, left out on request.
    seconds
        That it took.
    changed
        Pods that got an ephemeral container (``ephemeral``).
    pending
        Workloads of these pods that are still to make others, each with how many.
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
        laggards = (*self.stale, *self.unknown)
        notes = [] if self.pods or self.landed else ["no running pod uses it now"]
        notes += [
            f"remedy: wait for it: kubectl rollout status {one.split(':')[0]} "
            f"-n {self.namespace}"
            for one in self.pending
        ]
        notes += [
            f"remedy: {one}" for one in dict.fromkeys(one.remedy for one in laggards)
        ]
        if self.ignored:
            notes.append(
                f"left out: {self.ignored} uses that no update reaches (env, subPath)"
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
    labels = None
    if owner is not None:
        found = cluster.get(KINDS[owner.kind], owner.name, namespace=namespace)
        labels = selector_of(found)
    return LandingWatch(
        cluster=cluster,
        reference=wanted,
        namespace=namespace,
        pause_s=PAUSE_S,
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
                cluster=cluster,
                reference=reference,
                namespace=where,
                pause_s=PAUSE_S,
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
        )

    def is_over(self) -> bool:
        """Tell whether waiting on is in vain, or done."""
        if not (self.rounds or self.parts or self.ignored or self._will_be_used()):
            who = f"pod of {self.owner}" if self.owner else "running pod"
            msg = (
                f"no {who} in {self.namespace} uses {self.reference}: "
                f"`cmhot explain {self.reference}` says who does"
            )
            raise UnusedError(msg)
        if self.on_progress is not None:
            self.on_progress(self._progress())
        if not self.parts:
            return bool(self.ignored)
        seen = [(owner, part, self._state(part)) for owner, part in self.parts]
        stuck = {
            owner
            for owner, part, state in seen
            if state is ContentState.STALE and not part.updates
        }
        if not all(self._is_being_replaced(owner) for owner in sorted(stuck)):
            return True
        undecided = {ContentState.STALE, ContentState.PENDING}
        if any(state in undecided for _, _, state in seen):
            return False
        self.pending = self._pending()
        return not self.pending

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
        return found is not None and is_rolling_out(found, owner.kind)

    def _stored(self, owner: Workload) -> Object | None:
        """Read a workload of `KINDS`; None: it may not be read, or there is none."""
        if not owner.is_refreshed:
            return None
        place, where = KINDS[owner.kind], self.namespace
        try:
            return self.cluster.get(place, owner.name, namespace=where)
        except (ForbiddenError, NotFoundError):
            return None

    def _pending(self) -> dict[Workload, str]:
        """Say which of the workloads are to make other pods, so far as may be seen."""
        found = {}
        for owner in sorted({owner for owner, _ in self.parts}):
            stored = self._stored(owner)
            if stored is not None and (to_come := pods_to_come(stored, owner.kind)):
                found[owner] = to_come
        return found

    def _seen(self, part: ContainerUses) -> Inspection:
        return self.seen.get(part.key) or unanswered("the API server fell silent")

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
            names = sorted({*lagging, *self.nodes})
            found = observe_settings(self.cluster, given=self.given, sample=names)
            self.nodes = {node.name: node for node in found}
        if not lagging or self.updated_ns is None:
            return None
        from cmhot.propagation.expectation import remaining_s  # noqa: PLC0415 - the law takes long to import

        waited_s = (self.cluster.clock.utc_ns() - self.updated_ns) / NS_PER_S
        homes = {part.name: part.node for _, part in self.parts}
        return remaining_s(
            lagging,
            self.nodes,
            sharers=Counter(filter(None, homes.values())),
            waited_s=max(waited_s, 0.0),
        )

    def _result(self, seconds: float) -> Waited:
        lagging: dict[bool, list[Laggard]] = {True: [], False: []}
        for owner, part in self.parts:
            seen = self._seen(part)
            if seen.state is not ContentState.FRESH:
                is_unknown = seen.state is ContentState.UNREADABLE
                lagging[is_unknown].append(self._laggard(owner, part, seen))
        pods = {part.name for _, part in self.parts}
        is_seen = bool(self.parts or self.ignored)
        return Waited(
            reference=self.reference,
            namespace=self.namespace,
            landed=is_seen
            and not lagging[True]
            and not lagging[False]
            and not self.pending,
            pending=tuple(f"{owner}: {why}" for owner, why in self.pending.items()),
            pods=len(pods),
            fresh=len(pods) - len(self._lagging()),
            stale=tuple(lagging[False]),
            unknown=tuple(lagging[True]),
            ignored=self.ignored,
            seconds=seconds,
            changed=() if self.ephemerals is None else self.ephemerals.changed,
        )

    def _laggard(
        self, owner: Workload, part: ContainerUses, seen: Inspection
    ) -> Laggard:
        return Laggard(
            owner=owner,
            pod=part.name,
            node=part.node,
            container=part.container,
            consumer=", ".join(dict.fromkeys(use.way.value for use in part.uses)),
            where=", ".join(use.key_or_path for use in part.uses),
            updates=part.updates,
            why=seen.why if part.updates else f"{seen.why}; no update reaches it",
            remedy=seen.remedy or str(self._remedy(owner, part, seen)),
        )

    def _remedy(self, owner: Workload, part: ContainerUses, seen: Inspection) -> Remedy:
        from cmhot.propagation.remedies import Remedy, Shell, to_bring_in  # noqa: PLC0415 - only who lags behind needs one

        shell = Shell.of(self.cluster, self.namespace)
        if seen.state is ContentState.UNREADABLE:
            words = (
                "look through an ephemeral container (--ephemeral, which changes the "
                "pod), or take an image with cat"
            )
            return Remedy(words)
        if seen.state is ContentState.PENDING:
            words = "see why it does not run"
            return Remedy(words, shell.kubectl("describe", "pod", part.name))
        stored = self._stored(owner)
        if stored is None and owner.is_refreshed:
            owner = controller_of(part.pod) or owner  # there is none of that name
        found = to_bring_in(
            owner,
            part.pod,
            shell=shell,
            replacement=None if stored is None else replacement_of(stored),
            syncs=part.updates,
            tried=self.tried,
        )
        if part.updates:
            words = f"wait longer, or {found.words}".removesuffix(" ")
            return Remedy(words, found.command)
        return found
