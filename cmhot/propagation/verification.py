"""See that a refresh has helped: look into the containers, and follow a rollout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import ForbiddenError
from cmhot.kubelet.uses import uses_of
from cmhot.propagation.inspection import (
    AT_ONCE,
    ContentState,
    container_uses,
    inspect,
)
from cmhot.propagation.methods import POLL_S
from cmhot.propagation.wait import LandingWatch
from cmhot.propagation.workload import replicas_of, selector_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmhot.kubelet.uses import Object, Reference
    from cmhot.propagation.inspection import ContainerUses
    from cmhot.propagation.methods import Rollout, Touches, WorkloadRefresh
    from cmhot.propagation.wait import Waited


SPARE_S = 2.0
"""Of the time is kept for a look into all of them, should it not come to its end."""


@dataclass(slots=True)
class _Verification(LandingWatch):
    """Looks until each container holds the content, or what can be done is in vain.

    Other than a wait, it does not end with the first one that no update reaches: that
    one is in the verdict.
    """

    touches: Touches | None = None  # are repeated
    rollout: Rollout | None = None  # is to be complete, too
    old: frozenset[str] = frozenset()  # pods that are to go, by uid
    is_complete: bool = True

    def _list_pods(self) -> None:
        if self.rollout is not None:
            # before the pods are listed: those of then are all there will be
            was_complete, self.is_complete = (
                self.is_complete,
                self.rollout.is_complete(),
            )
            if self.is_complete and not was_complete:
                self.list_anew()
        super(_Verification, self)._list_pods()

    def _parts(self, pod: Object) -> Sequence[ContainerUses]:
        if pod["metadata"].get("uid") in self.old:
            return ()
        return super(_Verification, self)._parts(pod)

    def wait(self, timeout_s: float) -> Waited:
        """Look so long at most; a rollout that goes on by then is pending."""
        self.until_s = self.cluster.clock.monotonic() + timeout_s
        seconds = self.run(timeout_s)
        if self.rollout is not None and self.owner is not None and not self.is_complete:
            self.pending = {self.owner: self.rollout.said}
        return self._result(seconds)

    def is_over(self) -> bool:
        """Tell whether nothing more is to be expected."""
        if not self.is_complete:
            return False
        return not any(self._is_undecided(part) for _, part in self.parts)

    def _is_undecided(self, part: ContainerUses) -> bool:
        seen = self._seen(part)
        if seen.state is ContentState.STALE:
            # what has a remedy of its own, no sync mends
            return part.updates and not seen.remedy
        return seen.state is ContentState.PENDING

    def show(self) -> None:
        """Touch again those that still have the old content."""
        if self.touches is not None:
            stale = [
                part
                for _, part in self.parts
                if self._state(part) is ContentState.STALE and self._is_undecided(part)
            ]
            self.touches.repeat(stale)


def verify(
    refresh: WorkloadRefresh,
    references: Sequence[Reference],
    *,
    tried: str,
    touches: Touches | None = None,
    rollout: Rollout | None = None,
    old: Iterable[Object] = (),
) -> tuple[Waited, ...]:
    """Look until all pods hold the objects, and a rollout is complete.

    ``touches`` are repeated where a pod still has the old content; ``old`` are pods
    that the rollout is to replace.
    """
    found, verified = refresh.read(), []
    if replicas_of(found, refresh.owner.kind) == 0:
        refresh.warnings.append(f"{refresh.owner} has no pods: nothing was looked at")
        return ()
    if rollout is not None:
        # meanwhile looks would take time from pods that start
        refresh.follow(rollout, spare_s=SPARE_S)
    gone = frozenset(one["metadata"].get("uid", "") for one in old)
    for reference in references:
        watch = _Verification(
            cluster=refresh.cluster,
            reference=reference,
            namespace=refresh.namespace,
            pause_s=POLL_S,
            list_every_s=0.0,
            list_share=1.0,  # it ends soon
            labels=selector_of(found),
            owner=refresh.owner,
            tried=(tried,),
            touches=touches,
            rollout=rollout,
            old=gone,
            is_complete=rollout is None,
        )
        try:
            verified.append(watch.wait(refresh.left_s))
        except ForbiddenError as error:  # no right to run a command in a pod
            refresh.unseen.append(f"{reference}: {error}")
    if rollout is not None and rollout.completed_s is None and not verified:
        refresh.complete(rollout)
    return tuple(verified)


def hold_already(
    refresh: WorkloadRefresh, pods: Sequence[Object], references: Sequence[Reference]
) -> bool:
    """Tell whether every container holds the objects' content as it is now.

    The first one that does not is the end of it: as a rule, that is the first.
    """
    parts = [
        (part, reference)
        for pod in pods
        for reference in references
        for part in container_uses(pod, uses_of(pod, reference), immutable=False)
    ]

    def holds(one: tuple[ContainerUses, Reference]) -> bool:
        part, reference = one
        try:
            found = inspect(refresh.cluster, part, reference, refresh.objects)
        except ForbiddenError:
            return False
        return found.state is ContentState.FRESH

    if not parts or not holds(parts[0]):
        return False
    with ThreadPoolExecutor(1 if refresh.cluster.modelled else AT_ONCE) as pool:
        return all(pool.map(holds, parts[1:]))
