"""How a wait goes, and how it ended.

Pods that are yet to come: of workloads without any, and of those being replaced.

Look again and again into all containers that use an object, until they are done.

The object and the pods are asked for anew, since both change meanwhile.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import POD
from cmhot.display import Page, Shown
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.uses import uses_of
from cmhot.kubelet.view import binary_keys, content_of
from cmhot.propagation.expectation import remaining_s
from cmhot.propagation.explain import node_facts
from cmhot.propagation.inspection import State, look, parts_of, unasked
from cmhot.propagation.owners import (
    KINDS,
    REFRESHED,
    Owner,
    is_leaving,
    is_rolling_out,
    owner_of,
    will_use,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.cluster.port import Cluster, Inspectable
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Object, Reference
    from cmhot.propagation.expectation import NodeFacts
    from cmhot.propagation.inspection import Look, Onlookers, Part


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes
    ----------
    pods, fresh
        That use the object; that hold its content in every container.
    within_s
        Seconds within which the others almost surely have it, by the law;
        None: not known.
    left_s
        Until the time is over.
    """

    pods: int
    fresh: int
    within_s: float | None
    left_s: float

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

    owner: Owner
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
        Pods that were changed by looking (`ephemeral`).
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
        }

    def to_text(self) -> str:
        """Write it for people."""
        lines = [self.heading]
        for title, some in (("stale", self.stale), ("unknown", self.unknown)):
            lines += [f"{title}: {one}" for one in some]
        return "\n".join([*lines, *self._notes()])

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


def laggard_of(owner: Owner, part: Part, seen: Look, namespace: str) -> Laggard:
    """Say who lags behind, why, and what helps."""
    return Laggard(
        owner=owner,
        pod=part.name,
        node=part.pod["spec"].get("nodeName"),
        container=part.container,
        consumer=", ".join(dict.fromkeys(use.way.value for use in part.uses)),
        where=", ".join(use.key_or_path for use in part.uses),
        updates=part.updates,
        why=seen.why if part.updates else f"{seen.why}; no update reaches it",
        remedy=seen.remedy or _remedy(owner, part, seen, namespace),
    )


def _remedy(owner: Owner, part: Part, seen: Look, namespace: str) -> str:
    if seen.state is State.BLIND:
        return (
            "look through an ephemeral container (--ephemeral, which changes the pod), "
            "or take an image with cat"
        )
    if seen.state is State.WAITING:
        return f"see why it does not run: kubectl describe pod {part.name}"
    known = owner.kind in REFRESHED
    if not part.updates and known:
        return f"cmhot refresh {owner} -n {namespace} --method rollout"
    if not part.updates:
        return f"delete the pod: kubectl delete pod {part.name} -n {namespace}"
    if known:
        return (
            f"wait longer, or: cmhot refresh {owner} -n {namespace} --method annotate"
        )
    return f"wait longer, or: kubectl annotate pod {part.name} cmhot.dev/refreshed=now"


def is_awaited(
    cluster: Cluster,
    door: Inspectable,
    reference: Reference,
    *,
    owner: Owner | None,
    namespace: str,
) -> bool:
    """Tell whether pods that use an object are to come, so far as it may be seen.

    Parameters
    ----------
    cluster, door
        Where.
    reference, namespace
        The object.
    owner
        Whose pods; None: of any workload in the namespace.

    Raises
    ------
    NotFoundError
        There is no such owner.
    """

    def workloads(kind: str) -> Iterator[Object]:
        if owner is not None:
            yield cluster.get(KINDS[kind], owner.name, namespace=namespace)
            return
        for page in door.pages(KINDS[kind], namespace=namespace):
            yield from page

    kinds = REFRESHED if owner is None else (owner.kind,)
    try:
        return any(
            will_use(found, kind, reference)
            for kind in kinds
            for found in workloads(kind)
        )
    except ForbiddenError:
        return False


def is_being_replaced(cluster: Cluster, owner: Owner, *, namespace: str) -> bool:
    """Tell whether an owner's pods are being replaced, so far as it may be seen.

    Parameters
    ----------
    cluster, namespace
        Where.
    owner
        Of the pods.
    """
    if owner.kind not in REFRESHED:
        return False
    try:
        found = cluster.get(KINDS[owner.kind], owner.name, namespace=namespace)
    except (ForbiddenError, NotFoundError):
        return False
    return is_rolling_out(found, owner.kind)


AT_ONCE = 8
"""Looks at the same time: each is a process started by a kubelet."""
PAUSE_S = 1.0
"""Between two rounds: no kubelet syncs a pod more often by itself."""
LIST_EVERY_S = 2.0
LIST_SHARE = 10.0
"""Pods are listed again after so many times what the last list took."""


class UnusedError(UsageError):
    """No running pod uses the object that was to be waited for, or will use it."""


@dataclass(slots=True)
class _State:
    """What is known in the middle of a wait."""

    content: dict[str, bytes] = field(default_factory=dict)
    binary: frozenset[str] = frozenset()
    looks: dict[Any, Look] = field(default_factory=dict)
    facts: dict[str, NodeFacts] = field(default_factory=dict)


@dataclass(slots=True)
class Waiter:
    """One wait: whom it is about, and what is known so far.

    Attributes
    ----------
    cluster, door
        Where.
    reference, namespace
        The object.
    owner, labels
        Whose pods, and how they are found; None: all of the namespace.
    updatable_only
        Leave out what no update reaches.
    given
        Setting of kubelets that may not be asked.
    onlookers
        By whom to look into containers without `cat`; None: by nobody.
    is_awaited
        Whether it is known that pods will use the object, although none does yet.
    known
        What was seen of the present content.
    parts
        What is to be looked at, with its owner.
    ignored
        How much was left out.
    listed_at, listing_s
        When pods were listed, and how long that took, seconds.
    immutable, updated_ns
        Of the object.
    until_s
        When the time is over, by the cluster's monotonic clock.
    """

    cluster: Cluster
    door: Inspectable
    reference: Reference
    owner: Owner | None
    labels: Mapping[str, str] | None
    namespace: str
    updatable_only: bool
    given: Setting | None
    onlookers: Onlookers | None
    is_awaited: bool = False
    known: _State = field(default_factory=_State)
    parts: list[tuple[Owner, Part]] = field(default_factory=list)
    ignored: int = 0
    listed_at: float = 0.0
    listing_s: float = 0.0
    immutable: bool = False
    updated_ns: int | None = None
    until_s: float = 0.0

    def run(self, timeout_s: float, tell: Callable[[Progress], None] | None) -> Waited:
        """Go round and round until all is settled, or the time is over.

        After the first round, one that gets no answer is as if it had not been.

        Parameters
        ----------
        timeout_s
            Longest time in seconds.
        tell
            Called after each round.
        """
        clock = self.cluster.clock
        begin = clock.monotonic()
        self.until_s = begin + timeout_s
        is_first = True
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while True:
                is_over = False
                try:
                    is_over = self._round(pool, tell, is_first=is_first)
                    is_first = False
                except ClusterError as error:
                    if is_first or not error.is_passing:
                        raise
                elapsed = clock.monotonic() - begin
                if is_over or elapsed >= timeout_s:
                    return self._result(elapsed)
                clock.sleep(min(PAUSE_S, max(timeout_s - elapsed, 0.0)))

    def _round(
        self,
        pool: ThreadPoolExecutor,
        tell: Callable[[Progress], None] | None,
        *,
        is_first: bool,
    ) -> bool:
        """Ask for all that changes, look into containers; say if that was the last."""
        self._refresh_object()
        self._list(first=is_first or not self.parts)
        if is_first and not (self.parts or self.ignored or self._is_awaited()):
            who = f"pod of {self.owner}" if self.owner else "running pod"
            msg = (
                f"no {who} in {self.namespace} uses {self.reference}: "
                f"`cmhot explain {self.reference}` says who does"
            )
            raise UnusedError(msg)
        self._look(pool)
        if tell is not None:
            tell(self._progress(self.until_s - self.cluster.clock.monotonic()))
        return self._is_over()

    def _is_awaited(self) -> bool:
        return self.is_awaited or is_awaited(
            self.cluster,
            self.door,
            self.reference,
            owner=self.owner,
            namespace=self.namespace,
        )

    def _refresh_object(self) -> None:
        """Get the object; whatever was seen of an older content does not count."""
        place, name = self.reference.place, self.reference.name
        stored = self.cluster.get(place, name, namespace=self.namespace)
        content = content_of({"kind": "Secret" * self.reference.is_secret, **stored})
        if content != self.known.content:
            self.known.content = content
            self.known.looks.clear()
        self.known.binary = binary_keys(stored)
        self.immutable = bool(stored.get("immutable"))
        self.updated_ns = last_update_ns(stored)

    def _list(self, *, first: bool) -> None:
        """List the pods anew, unless that was just done."""
        clock = self.cluster.clock
        age = clock.monotonic() - self.listed_at
        if not first and age < max(LIST_EVERY_S, LIST_SHARE * self.listing_s):
            return
        begin = clock.monotonic()
        known = _Known()
        parts: list[tuple[Owner, Part]] = []
        pages = self.door.pages(POD, namespace=self.namespace, labels=self.labels)
        for page in pages:
            for pod in page:
                if is_leaving(pod):
                    continue
                owner = owner_of(pod, known)
                if self.owner is None or owner == self.owner:
                    uses = uses_of(pod, self.reference)
                    found = parts_of(pod, uses, immutable=self.immutable)
                    parts += [(owner, part) for part in found]
        self.listed_at = clock.monotonic()
        self.listing_s = self.listed_at - begin
        # only now: a listing that breaks off leaves the last one
        self.parts = [
            (owner, part)
            for owner, part in parts
            if part.updates or not self.updatable_only
        ]
        self.ignored = len(parts) - len(self.parts)

    def _look(self, pool: ThreadPoolExecutor) -> None:
        """Look at whoever was not seen to be fresh."""
        settled = {State.FRESH, State.BLIND}
        due = [
            part
            for _, part in self.parts
            if (seen := self.known.looks.get(part.key)) is None
            or (seen.state not in settled and (part.updates or self._is_waiting(seen)))
        ]
        found = pool.map(self._look_at, due)
        for part, seen in zip(due, found, strict=True):
            self.known.looks[part.key] = seen

    @staticmethod
    def _is_waiting(seen: Look) -> bool:
        return seen.state is State.WAITING

    def _look_at(self, part: Part) -> Look:
        content, where = self.known.content, self.namespace
        binary = self.known.binary
        seen = look(self.door, part, content, namespace=where, binary=binary)
        # one with a remedy of its own is not helped by another container
        if seen.state is not State.BLIND or seen.remedy or self.onlookers is None:
            return seen
        through = self.onlookers.beside(part, until_s=self.until_s)
        if not isinstance(through, str):
            return through or seen
        return look(
            self.door, part, content, namespace=where, through=through, binary=binary
        )

    def _seen(self, part: Part) -> Look:
        return self.known.looks.get(part.key) or unasked("the API server fell silent")

    def _is_over(self) -> bool:
        """Tell whether waiting on is in vain, or done."""
        if not self.parts:
            return bool(self.ignored)
        seen = [(owner, part, self._seen(part).state) for owner, part in self.parts]
        stuck = {
            owner
            for owner, part, state in seen
            if state is State.STALE and not part.updates
        }
        where = self.namespace
        if not all(
            is_being_replaced(self.cluster, owner, namespace=where)
            for owner in sorted(stuck)
        ):
            return True
        return not any(state in {State.STALE, State.WAITING} for _, _, state in seen)

    def _lagging(self) -> dict[str, str | None]:
        """Name pods that an update has yet to reach, with their nodes."""
        return {
            part.name: part.pod["spec"].get("nodeName")
            for _, part in self.parts
            if self._seen(part).state is not State.FRESH
        }

    def _progress(self, left_s: float) -> Progress:
        pods = {part.name for _, part in self.parts}
        lagging = self._lagging()
        nodes: Counter[str] = Counter(filter(None, lagging.values()))
        return Progress(
            pods=len(pods),
            fresh=len(pods) - len(lagging),
            within_s=self._within_s(nodes),
            left_s=left_s,
        )

    def _within_s(self, nodes: Counter[str]) -> float | None:
        wanted = set(nodes) | set(self.known.facts)
        if wanted > set(self.known.facts):
            self.known.facts = node_facts(
                self.cluster, sorted(wanted), given=self.given
            )
        if not nodes or self.updated_ns is None:
            return None
        waited = (self.cluster.clock.utc_ns() - self.updated_ns) / NS_PER_S
        homes = {part.name: part.pod["spec"].get("nodeName") for _, part in self.parts}
        sharers: Counter[str] = Counter(filter(None, homes.values()))
        return remaining_s(
            nodes, self.known.facts, sharers=sharers, waited_s=max(waited, 0.0)
        )

    def _result(self, seconds: float) -> Waited:
        stale, unknown = [], []
        for owner, part in self.parts:
            seen = self._seen(part)
            if seen.state is State.BLIND:
                unknown.append(laggard_of(owner, part, seen, self.namespace))
            elif seen.state is not State.FRESH:
                stale.append(laggard_of(owner, part, seen, self.namespace))
        pods = {part.name for _, part in self.parts}
        return Waited(
            reference=self.reference,
            namespace=self.namespace,
            landed=not stale and not unknown and bool(self.parts or self.ignored),
            pods=len(pods),
            fresh=len(pods) - len(self._lagging()),
            stale=tuple(stale),
            unknown=tuple(unknown),
            ignored=self.ignored,
            seconds=seconds,
            changed=() if self.onlookers is None else self.onlookers.changed,
        )


class _Known:
    """Takes for granted that a ReplicaSet named like a Deployment's is one's."""

    def __contains__(self, owner: object) -> bool:
        """Know Deployments, whose pods tell them by a hash; no CronJobs."""
        return isinstance(owner, Owner) and owner.kind in REFRESHED


def last_update_ns(stored: Mapping[str, Any]) -> int | None:
    """Give the second of the last write to an object; None where it is not told.

    Returns
    -------
    int or None
        UTC epoch nanoseconds of the API server's clock, a whole second.
    """
    fields: Sequence[Mapping[str, Any]] = stored["metadata"].get("managedFields") or ()
    times = [one["time"] for one in fields if one.get("time")]
    if not times:
        return None
    last = dt.datetime.fromisoformat(max(times))
    return round(last.timestamp()) * NS_PER_S
