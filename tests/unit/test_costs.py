"""What a collection costs a cluster is said before it begins."""

from __future__ import annotations

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.preflight import estimate_load
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.plan import Plan


@pytest.mark.parametrize(
    ("nodes", "pods", "watching"),
    [(1, 9, 1), (5, 9, 5), (50, 9, 9)],
    ids=["one node", "fewer nodes than probes", "more nodes than probes"],
)
def test_only_kubelets_with_probes_watch(nodes: int, pods: int, watching: int) -> None:
    """A thousand nodes without a probe get no event; under Get nobody does."""
    cluster = ModelCluster([Setting(10)] * nodes + [Setting(10, Strategy.GET)])

    cost = estimate_load(cluster, Plan(pods=pods, gap_s=1))

    assert cost.watch_events_per_s == watching
