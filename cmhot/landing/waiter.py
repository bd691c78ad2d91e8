"""Look again and again into all containers that use an object, until they are done.

The object and the pods are asked for anew, since both change meanwhile.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.consumers.contents import content_of
from cmhot.consumers.expectation import remaining_s
from cmhot.consumers.owners import REFRESHED, Owner, owner_of
from cmhot.consumers.survey import is_leaving
from cmhot.consumers.uses import uses_of
from cmhot.errors import UsageError
from cmhot.explaining import node_facts
from cmhot.landing.looking import State, look, parts_of
from cmhot.landing.outcome import Progress, Waited, laggard_of
from cmhot.port.cluster import POD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.consumers.expectation import NodeFacts
    from cmhot.consumers.reference import Reference
    from cmhot.landing.looking import Look, Part
    from cmhot.landing.onlookers import Onlookers
    from cmhot.port.cluster import Cluster, Inspectable
    from cmhot.settings import Setting

AT_ONCE = 8
"""Looks at the same time: each is a process started by a kubelet."""
PAUSE_S = 1.0
"""Between two rounds: no kubelet syncs a pod more often by itself."""
LIST_EVERY_S = 2.0
LIST_SHARE = 10.0
"""Pods are listed again after so many times what the last list took."""


class UnusedError(UsageError):
    """No running pod uses the object that was to be waited for."""


@dataclass(slots=True)
class _State:
    """What is known in the middle of a wait."""

    content: dict[str, bytes] = field(default_factory=dict)
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
    known: _State = field(default_factory=_State)
    parts: list[tuple[Owner, Part]] = field(default_factory=list)
    ignored: int = 0
    listed_at: float = 0.0
    listing_s: float = 0.0
    immutable: bool = False
    updated_ns: int | None = None

    def run(self, timeout_s: float, tell: Callable[[Progress], None] | None) -> Waited:
        """Go round and round until all is settled, or the time is over.

        Parameters
        ----------
        timeout_s
            Longest time in seconds.
        tell
            Called after each round.
        """
        clock = self.cluster.clock
        begin = clock.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while True:
                self._refresh_object()
                self._list(first=clock.monotonic() == begin or not self.parts)
                self._look(pool)
                elapsed = clock.monotonic() - begin
                if tell is not None:
                    tell(self._progress(timeout_s - elapsed))
                if self._is_over() or elapsed >= timeout_s:
                    return self._result(clock.monotonic() - begin)
                clock.sleep(min(PAUSE_S, max(timeout_s - elapsed, 0.0)))

    def _refresh_object(self) -> None:
        """Get the object; whatever was seen of an older content does not count."""
        place, name = self.reference.place, self.reference.name
        stored = self.cluster.get(place, name, namespace=self.namespace)
        content = content_of({"kind": "Secret" * self.reference.is_secret, **stored})
        if content != self.known.content:
            self.known.content = content
            self.known.looks.clear()
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
        self.parts, self.ignored = [], 0
        pages = self.door.pages(POD, namespace=self.namespace, labels=self.labels)
        for page in pages:
            for pod in page:
                if is_leaving(pod):
                    continue
                owner = owner_of(pod, known)
                if self.owner is None or owner == self.owner:
                    self._take(owner, pod)
        self.listed_at = clock.monotonic()
        self.listing_s = self.listed_at - begin
        if not self.parts and not self.ignored:
            who = f"pod of {self.owner}" if self.owner else "running pod"
            msg = (
                f"no {who} in {self.namespace} uses {self.reference}: "
                f"`cmhot explain {self.reference}` says who does"
            )
            raise UnusedError(msg)

    def _take(self, owner: Owner, pod: Mapping[str, Any]) -> None:
        uses = uses_of(pod, self.reference)
        for part in parts_of(pod, uses, immutable=self.immutable):
            if self.updatable_only and not part.updates:
                self.ignored += 1
            else:
                self.parts.append((owner, part))

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
        seen = look(self.door, part, content, namespace=where)
        if seen.state is State.BLIND and self.onlookers is not None:
            through = self.onlookers.beside(part)
            if through is not None:
                return look(self.door, part, content, namespace=where, through=through)
        return seen

    def _seen(self, part: Part) -> Look:
        return self.known.looks[part.key]

    def _is_over(self) -> bool:
        """Tell whether waiting on is in vain, or done."""
        looks = [(part, self._seen(part).state) for _, part in self.parts]
        if any(state is State.STALE and not part.updates for part, state in looks):
            return True
        return not any(state in {State.STALE, State.WAITING} for _, state in looks)

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
            landed=not stale and not unknown,
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
