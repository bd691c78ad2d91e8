"""The loop that observe and wait share: inspect all containers again and again.

The object and the pods are asked for anew each time, since both change meanwhile.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import POD
from cmhot.errors import ClusterError, NotFoundError
from cmhot.kubelet.uses import Role, uses_of
from cmhot.kubelet.view import content_of
from cmhot.propagation.absence import absent
from cmhot.propagation.inspection import AT_ONCE, ContentState, container_uses
from cmhot.propagation.objects import Objects, last_update_ns
from cmhot.propagation.workload import is_leaving, owner_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Object, Reference, Use
    from cmhot.propagation.inspection import ContainerUses, Inspection
    from cmhot.propagation.workload import Workload


DEFAULT_TIMEOUT_S = 180.0
"""Twice what the default setting allows, 91 s."""
ROUND_S = 2.0
"""Who takes longer to answer does not hold up the others: the answer is for later."""
LAST_S = 5.0
"""So long before the end all are inspected again."""
SHORTEST_PAUSE_S = 0.2
LIST_EVERY_S = 2.0
"""Pods come and go."""
LIST_SHARE = 10.0
"""Pods are listed again after so many times what the last list took."""


@dataclass(slots=True)
class ContainerWatch(ABC):
    """Inspects the containers that use an object until a subclass says it is over.

    Only those are inspected again that are not known to hold the content.
    """

    cluster: Cluster
    reference: Reference
    namespace: str
    pause_s: float  # from the beginning of a round to that of the next
    by_way: bool = False  # inspect each way of use by itself, not each container
    only_running: bool = False  # leave out pods that do not run yet
    labels: Mapping[str, str] | None = None  # of the pods; None: all
    owner: Workload | None = None  # of the pods; None: any
    updatable_only: bool = False  # leave out what no update reaches
    most_again: int | None = None  # containers with other content in a round; None: all
    list_every_s: float = LIST_EVERY_S
    list_share: float = LIST_SHARE

    objects: Objects = field(init=False)  # as of the last round
    content: dict[str, bytes] = field(default_factory=dict)
    immutable: bool = False
    updated_ns: int | None = None  # see `last_update_ns`
    parts: list[tuple[Workload, ContainerUses]] = field(default_factory=list)
    ignored: int = 0  # parts that were left out
    by_init: list[tuple[Workload, Object, tuple[Use, ...]]] = field(
        default_factory=list
    )
    """Pods of which only init containers use it, and how: these have ended, and cannot
    be inspected."""
    seen: dict[Any, Inspection] = field(default_factory=dict)  # of this content
    asked: dict[Any, tuple[ContainerUses, Future[Inspection]]] = field(
        default_factory=dict
    )  # without an answer yet, about this content
    begin_s: float = 0.0  # by the cluster's monotonic clock, as the others
    rounds: int = 0  # that were complete
    is_answered: bool = True  # by the API server, in the last round
    _listed_s: float = 0.0
    _listing_s: float = 0.0

    @abstractmethod
    def inspect(self, part: ContainerUses) -> Inspection:
        """Inspect one container; called on several threads."""

    @abstractmethod
    def is_over(self) -> bool:
        """Tell after a round whether it was the last one."""

    @abstractmethod
    def show(self) -> None:
        """Show how it is, before a pause."""

    def forget(self) -> None:
        """Forget what was seen of content that has changed."""
        self.seen.clear()
        self.asked.clear()

    def record(self, part: ContainerUses, found: Inspection) -> None:
        """Keep what an inspection found."""
        self.seen[part.key] = found

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self.cluster.clock.monotonic() - self.begin_s

    def run(self, timeout_s: float | None) -> float:
        """Inspect until it is over or the time is; give the seconds that it took.

        After the first round, one that gets no answer is as if it had not been.
        None is one round.
        """
        clock = self.cluster.clock
        self.begin_s = clock.monotonic()
        # the model is no more than one thread can ask
        pool = ThreadPoolExecutor(1 if self.cluster.modelled else AT_ONCE)
        try:
            while True:
                round_s = self.elapsed_s
                is_over = self._round(pool, timeout_s)
                elapsed_s = self.elapsed_s
                if is_over or timeout_s is None or elapsed_s >= timeout_s:
                    return elapsed_s
                self.show()
                pause_s = max(self.pause_s - elapsed_s + round_s, SHORTEST_PAUSE_S)
                clock.sleep(min(pause_s, timeout_s - elapsed_s))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _round(self, pool: ThreadPoolExecutor, timeout_s: float | None) -> bool:
        try:
            self._get_object()
            self._list_pods()
            self._inspect_all(pool, timeout_s)
            is_over = self.is_over()
        except ClusterError as error:
            self.is_answered = False
            if not self.rounds or not error.is_passing:
                raise
            return False
        self.is_answered = True
        self.rounds += 1
        return is_over

    def _inspect_all(self, pool: ThreadPoolExecutor, timeout_s: float | None) -> None:
        """Inspect what is not known to hold the content, and may yet.

        Of many that held other content, the first few are inspected again until they
        hold it, and all before the time is over: as long as one of them does not hold
        it, nothing depends on the others, and each look is work for a kubelet.
        """
        due, again = [], []
        for _, part in self.parts:
            seen = self.seen.get(part.key)
            if seen is None or seen.state is ContentState.PENDING:
                due.append(part)
            elif seen.state is ContentState.STALE and part.updates:
                again.append(part)
        left_s = math.inf if timeout_s is None else timeout_s - self.elapsed_s
        due += again if left_s < LAST_S else again[: self.most_again]
        for part in due:
            if part.key not in self.asked:
                self.asked[part.key] = part, pool.submit(self._timed, part)
        futures = [answer for _, answer in self.asked.values()]
        wait_for_futures(futures, None if timeout_s is None else ROUND_S)
        for key, (part, answer) in list(self.asked.items()):
            if answer.done():
                del self.asked[key]
                self.record(part, answer.result())

    def _timed(self, part: ContainerUses) -> Inspection:
        clock = self.cluster.clock
        began_s = clock.monotonic()
        found = self.inspect(part)
        return replace(found, began_s=began_s, ended_s=clock.monotonic())

    def _get_object(self) -> None:
        """Get the object; what was seen of an older content does not count."""
        place, name = self.reference.place, self.reference.name
        try:
            stored = self.cluster.get(place, name, namespace=self.namespace)
        except NotFoundError as error:
            raise absent(self.cluster, self.reference, self.namespace) from error
        self.objects = Objects(self.cluster, self.namespace)
        self.objects.add(self.reference, stored)
        content = content_of(self.objects(self.reference))
        if content != self.content:
            self.content = content
            self.forget()
        self.immutable = bool(stored.get("immutable"))
        self.updated_ns = last_update_ns(stored)

    def list_anew(self) -> None:
        """Let the next round list the pods."""
        self._listed_s = -math.inf

    def _list_pods(self) -> None:
        """List the pods anew, unless that was just done."""
        clock = self.cluster.clock
        age = clock.monotonic() - self._listed_s
        is_recent = age < max(self.list_every_s, self.list_share * self._listing_s)
        is_kept = bool(self.rounds and self.parts and is_recent)
        if is_kept:
            return
        begin = clock.monotonic()
        parts: list[tuple[Workload, ContainerUses]] = []
        by_init: list[tuple[Workload, Object, tuple[Use, ...]]] = []
        for page in self.cluster.pages(
            POD, namespace=self.namespace, labels=self.labels
        ):
            for pod in page:
                owner = owner_of(pod, _is_workload)
                if self.owner not in {None, owner} or self._is_left_out(pod):
                    continue
                uses = uses_of(pod, self.reference)
                parts += [(owner, part) for part in self._parts(pod)]
                if uses and all(use.role is Role.INIT for use in uses):
                    by_init.append((owner, pod, uses))
        self._listed_s = clock.monotonic()
        self._listing_s = self._listed_s - begin
        # only now: a listing that breaks off leaves the last one
        self.parts = [
            (owner, part)
            for owner, part in parts
            if part.updates or not self.updatable_only
        ]
        self.by_init = [] if self.updatable_only else by_init
        self.ignored = len(parts) - len(self.parts) + len(by_init) - len(self.by_init)

    def _is_left_out(self, pod: Object) -> bool:
        is_running = pod["status"].get("phase") == "Running"
        return is_leaving(pod) or (self.only_running and not is_running)

    def _parts(self, pod: Object) -> Sequence[ContainerUses]:
        uses = uses_of(pod, self.reference)
        return container_uses(pod, uses, immutable=self.immutable, by_way=self.by_way)


def _is_workload(owner: Workload) -> bool:  # noqa: ARG001 - no other was asked for
    """Believe the name of a ReplicaSet or a Job, which tells who made that."""
    return True
