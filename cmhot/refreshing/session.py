"""What the three methods share: the workload, its pods, the clock and the account."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.consumers.owners import KINDS, owner_of
from cmhot.consumers.survey import is_leaving
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError
from cmhot.port.cluster import POD, Kind
from cmhot.refreshing.circumstances import (
    Circumstances,
    budgets_of,
    is_rolled_out,
    scaled_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cmhot.consumers.owners import Owner
    from cmhot.consumers.uses import Object
    from cmhot.port.cluster import Cluster, Inspectable

AUTOSCALER = Kind("autoscaling/v2", "horizontalpodautoscalers")
BUDGET = Kind("policy/v1", "poddisruptionbudgets")
POLL_S = 0.5


@dataclass(slots=True)
class Session:
    """One refresh under way.

    Attributes
    ----------
    cluster, door
        Where.
    owner, namespace
        The workload.
    until
        Instant of the monotonic clock at which patience ends.
    tell
        Takes a line about each step.
    writes
        Requests that changed something, so far.
    warnings
        What to know about it, so far.
    deaf
        Nodes where a forced sync does not read anew.
    """

    cluster: Cluster
    door: Inspectable
    owner: Owner
    namespace: str
    until: float
    tell: Callable[[str], None]
    writes: int = 0
    warnings: list[str] = field(default_factory=list)
    deaf: set[str] = field(default_factory=set)

    @property
    def kind(self) -> Kind:
        """Where in the API the workload is."""
        return KINDS[self.owner.kind]

    @property
    def left_s(self) -> float:
        """Seconds of patience that are left."""
        return max(self.until - self.cluster.clock.monotonic(), 0.0)

    def look_around(self) -> Circumstances:
        """Read the workload, and what acts on it.

        Raises
        ------
        NotFoundError
            There is no such workload.
        """
        found = self.read()
        labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        autoscalers, budgets = self._all(AUTOSCALER), self._all(BUDGET)
        return Circumstances(
            owner=self.owner,
            found=found,
            autoscalers=None
            if autoscalers is None
            else scaled_by(autoscalers, self.owner),
            budgets=None if budgets is None else tuple(budgets_of(budgets, labels)),
        )

    def _all(self, kind: Kind) -> list[dict[str, Any]] | None:
        """List a kind; None: that is not allowed, nothing: the cluster has it not."""
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
        """List the workload's pods, also those that are going if asked for."""
        selector = found["spec"]["selector"]
        by_labels = (
            None if selector.get("matchExpressions") else selector["matchLabels"]
        )
        pages = self.door.pages(POD, namespace=self.namespace, labels=by_labels)
        return [
            pod
            for page in pages
            for pod in page
            if owner_of(pod, {self.owner}) == self.owner
            and (leaving or not is_leaving(pod))
        ]

    def await_rollout(self) -> None:
        """Wait until all pods are new and available.

        Raises
        ------
        ClusterError
            When the time is over.
        """
        clock = self.cluster.clock
        while not is_rolled_out(self.read(), self.owner.kind):
            if not self.left_s:
                msg = (
                    f"{self.owner} is not complete in time, and goes on without us: "
                    f"see `kubectl rollout status {self.owner} -n {self.namespace}`"
                )
                raise ClusterError(msg)
            clock.sleep(POLL_S)
