"""When will pods that use an object have an update? The law, node by node."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cmhot.cluster.nodes import NO_KUBELET
from cmhot.kubelet.eras import find_era
from cmhot.law import fleet_law, law_for, mixture, reads_at_every_sync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.kubelet.settings import Setting
    from cmhot.law import Law


ALMOST_ALL = 0.99
"""How often "expected within" some seconds comes true."""
_POINTS = 2001


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds until an update is there, by the law.

    Attributes
    ----------
    p50_s, p99_s
        Of a given pod.
    max_s
        The longest that the kubelet's code allows a healthy pod.
    all_p50_s, all_p99_s
        Until all pods have it.
    """

    p50_s: float
    p99_s: float
    max_s: float
    all_p50_s: float
    all_p99_s: float

    def to_dict(self) -> dict[str, float]:
        """Give it as JSON does."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Alike:
    """Pods of nodes that are alike: of one setting, version and number of pods."""

    setting: Setting
    kubelet: str | None
    pods: int
    sharers: int


def sync_reads(node: ObservedNode) -> bool:
    """Report whether a forced sync reads new content, as far as is known."""
    if node.source == NO_KUBELET:
        return False  # what is there syncs nothing as a kubelet does
    if node.setting is None or find_era(node.kubelet) is None:
        return True
    return reads_at_every_sync(node.setting, node.kubelet) is not False


def expectation(
    pods: Mapping[str, int],
    nodes: Mapping[str, ObservedNode],
    *,
    sharers: Mapping[str, int],
) -> Expected | None:
    """Compute when pods have an update; None where a setting is not known.

    ``pods`` says how many on each node; ``sharers``, how many pods of each node use the
    object, these included.
    """
    alike = _group(pods, nodes, sharers)
    laws = {one: _one(one) for one in alike}
    known = [law for law in laws.values() if law is not None]
    if not known or len(known) < len(laws):
        return None
    weights = [one.pods * number for one, number in alike.items()]
    single = mixture(known, weights)
    t, share = _all_of(alike, single)
    return Expected(
        p50_s=float(single.quantile(0.5)),
        p99_s=float(single.quantile(ALMOST_ALL)),
        max_s=single.max_s,
        all_p50_s=float(np.interp(0.5, share, t)),
        all_p99_s=float(np.interp(ALMOST_ALL, share, t)),
    )


def remaining_s(
    pods: Mapping[str, int],
    nodes: Mapping[str, ObservedNode],
    *,
    sharers: Mapping[str, int],
    waited_s: float,
) -> float | None:
    """Compute within how many more seconds almost surely all will have it.

    ``pods`` says how many on each node still lack it ``waited_s`` after the update.
    None where a setting is not known; 0 where the law says that it is there.
    """
    alike = _group(pods, nodes, sharers)
    laws = {one: _one(one) for one in alike}
    if not laws or None in laws.values():
        return None
    longest = max(law.max_s for law in laws.values() if law is not None)
    t = np.linspace(min(waited_s, longest), longest, _POINTS)
    share = np.ones_like(t)
    for one, law in laws.items():
        if law is None:
            continue
        left = float(law.survival(waited_s))
        if left > 0:
            late = (law.cdf(t) - law.cdf(waited_s)) / left
            share *= late ** (one.pods * alike[one])
    return max(float(np.interp(ALMOST_ALL, share, t)) - waited_s, 0.0)


def _group(
    pods: Mapping[str, int],
    nodes: Mapping[str, ObservedNode],
    sharers: Mapping[str, int],
) -> Counter[_Alike]:
    """Count nodes that are alike; empty where a setting is not known."""
    alike: Counter[_Alike] = Counter()
    for name, number in pods.items():
        node = nodes.get(name)
        if node is None or node.setting is None or find_era(node.kubelet) is None:
            return Counter()
        own = max(sharers.get(name, 1), 1)
        if reads_at_every_sync(node.setting, node.kubelet):
            own = 1  # each pod reads for itself
        alike[_Alike(node.setting, node.kubelet, number, own)] += 1
    return alike


@lru_cache(maxsize=64)
def _one(alike: _Alike) -> Law | None:
    return law_for(alike.setting, sharers=alike.sharers, kubernetes=alike.kubelet)


@lru_cache(maxsize=64)
def _node(alike: _Alike) -> Law | None:
    return fleet_law(
        alike.setting,
        pods=alike.pods,
        sharers=max(alike.pods, alike.sharers),
        kubernetes=alike.kubelet,
    )


def _all_of(alike: Counter[_Alike], single: Law) -> tuple[np.ndarray, np.ndarray]:
    """Give the distribution function of the last pod: nodes are independent."""
    t = np.linspace(0.0, single.max_s, _POINTS)
    share = np.ones_like(t)
    for one, number in alike.items():
        law = _node(one)
        if law is not None:
            share *= law.cdf(t) ** number
    return t, share
