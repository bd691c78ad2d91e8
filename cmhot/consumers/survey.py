"""What passes by when all pods of a namespace are read, page by page.

Of each pod that uses the object little is kept, of the others a number:
a namespace may have thousands.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmhot.consumers.owners import owner_of
from cmhot.consumers.uses import references_of, unmounted, uses_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cmhot.consumers.owners import Owner, Workload
    from cmhot.consumers.reference import Reference
    from cmhot.consumers.uses import Object, Use

_OVER = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class Consumer:
    """A pod that uses the object.

    Attributes
    ----------
    name, node
        Its own, and its node's; None: it is not scheduled.
    uses
        How.
    """

    name: str
    node: str | None
    uses: tuple[Use, ...]


@dataclass(slots=True)
class Survey:
    """Collects pods that use an object.

    Attributes
    ----------
    reference
        The object.
    workloads
        Of the namespace, by what names them.
    consumers
        Pods that use it, by their owner.
    pods
        All pods of an owner, whether they use it or not.
    named
        Objects of its kind that pods name.
    unmounted
        Volumes of it that no container mounts, by owner.
    total
        Pods that were read.
    """

    reference: Reference
    workloads: Mapping[Owner, Workload]
    consumers: dict[Owner, list[Consumer]] = field(default_factory=dict)
    pods: Counter[Owner] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)
    unmounted: dict[Owner, set[str]] = field(default_factory=dict)
    total: int = 0
    _same: dict[tuple[Use, ...], tuple[Use, ...]] = field(default_factory=dict)

    def add(self, page: Iterable[Object]) -> None:
        """Take a page of pods, and forget it."""
        for pod in page:
            self.total += 1
            if is_leaving(pod):
                continue
            owner = owner_of(pod, self.workloads)
            self.pods[owner] += 1
            references = references_of(pod)
            self.named |= {
                one.name for one in references if one.kind == self.reference.kind
            }
            if self.reference not in references:
                continue
            uses = uses_of(pod, self.reference)
            loose = unmounted(pod, self.reference)
            if loose:
                self.unmounted.setdefault(owner, set()).update(loose)
            # pods of a template are alike: one copy serves them all
            uses = self._same.setdefault(uses, uses)
            consumer = Consumer(
                pod["metadata"]["name"], pod["spec"].get("nodeName"), uses
            )
            self.consumers.setdefault(owner, []).append(consumer)

    def per_node(self) -> Counter[str]:
        """Count the pods of each node that use it; some may not be scheduled yet."""
        return Counter(
            one.node
            for pods in self.consumers.values()
            for one in pods
            if one.node is not None
        )


def is_leaving(pod: Object) -> bool:
    """Tell whether a pod's containers have ended, or are about to."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in _OVER or bool(pod["metadata"].get("deletionTimestamp"))
