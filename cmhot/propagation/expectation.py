"""When pods that use an object will have an update: the law, node by node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cmhot.law import fleet_law, law_for, mixture, reads_at_every_sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cmhot.kubelet.settings import Setting
    from cmhot.law import Law


ALMOST_ALL = 0.99
"""The share of cases in which what is "expected within" some seconds is right."""
_POINTS = 2001


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of a node's kubelet.

    Attributes
    ----------
    name
        Of the Node.
    setting
        None: not known.
    source
        ``configz``, ``given``, ``sampled`` (it was not asked, all those that were are
        alike) or ``unknown``.
    kubelet
        Version; None: not known.
    """

    name: str
    setting: Setting | None
    source: str
    kubelet: str | None = None

    @property
    def annotate_reads(self) -> bool:
        """Whether a sync that is forced reads new content, as far as is known."""
        if self.setting is None:
            return True
        return reads_at_every_sync(self.setting, self.kubelet) is not False


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
        return {
            "p50_s": self.p50_s,
            "p99_s": self.p99_s,
            "max_s": self.max_s,
            "all_p50_s": self.all_p50_s,
            "all_p99_s": self.all_p99_s,
        }


@dataclass(frozen=True, slots=True)
class _Alike:
    """Pods of nodes that are alike: of one setting, version and number of pods."""

    setting: Setting
    kubelet: str | None
    pods: int
    sharers: int


def expectation(
    pods: Mapping[str, int],
    facts: Mapping[str, NodeFacts],
    *,
    sharers: Mapping[str, int],
) -> Expected | None:
    """Say when pods have an update; None where a setting is not known.

    Parameters
    ----------
    pods
        How many on each node.
    facts
        Of the nodes.
    sharers
        Pods on each node that use the object, these included.
    """
    alike = _group(pods, facts, sharers)
    if not alike:
        return None
    laws = {one: _one(one) for one in alike}
    known = {one: law for one, law in laws.items() if law is not None}
    if len(known) < len(laws):
        return None
    weights = [one.pods * number for one, number in alike.items()]
    single = mixture(list(known.values()), weights)
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
    facts: Mapping[str, NodeFacts],
    *,
    sharers: Mapping[str, int],
    waited_s: float,
) -> float | None:
    """Say within how many seconds more almost surely all will have it.

    Parameters
    ----------
    pods
        How many on each node still lack it.
    facts, sharers
        As of `expectation`.
    waited_s
        Seconds since the update, in which they did not get it.

    Returns
    -------
    float or None
        None where a setting is not known; 0 where the law says that it is there.
    """
    alike = _group(pods, facts, sharers)
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
    facts: Mapping[str, NodeFacts],
    sharers: Mapping[str, int],
) -> Counter[_Alike]:
    """Count nodes that are alike; empty where a setting is not known."""
    alike: Counter[_Alike] = Counter()
    for node, number in pods.items():
        fact = facts.get(node)
        if fact is None or fact.setting is None:
            return Counter()
        setting = fact.setting
        own = max(sharers.get(node, 1), 1)
        if reads_at_every_sync(setting, fact.kubelet):
            own = 1  # each pod reads for itself
        alike[_Alike(setting, fact.kubelet, number, own)] += 1
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


def sampled(facts: Iterable[NodeFacts]) -> dict[str, NodeFacts]:
    """Give nodes that were not asked the setting that all asked ones have."""
    listed = list(facts)
    seen = {fact.setting for fact in listed if fact.setting is not None}
    if len(seen) != 1:
        return {fact.name: fact for fact in listed}
    (common,) = seen
    return {
        fact.name: fact
        if fact.setting is not None
        else replace(fact, setting=common, source="sampled")
        for fact in listed
    }
