"""What a collection asks of a cluster stays little, however many probes there are."""

from __future__ import annotations

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.monitoring import read_every_s
from cmhot.collector.preflight import estimate_load
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan


@pytest.mark.parametrize(("pods", "every_s"), [(1, 45), (225, 45), (5000, 1000)])
def test_logs_are_read_five_times_a_second_at_most(pods: int, every_s: float) -> None:
    """Each twice a minute at most, and all together five times a second."""
    assert read_every_s(pods) == every_s


def test_a_dry_run_tells_so() -> None:
    """The costs are those that will be."""
    cost = estimate_load(ModelCluster([Setting(60)]), Plan(pods=5000))

    assert cost.reads_per_s == 5
