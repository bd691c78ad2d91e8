"""The wrong way to measure, on a real kubelet: as wrong as the law says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.cluster.port import MANAGED_BY, NAMESPACE
from cmhot.experiments.closed_loop import closed_loops
from cmhot.kubelet.settings import Setting
from cmhot.law import interval_pmf
from cmhot.statistics.mistakes import closed_loop_mean_s

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster


def test_a_real_kubelet_is_locked_onto(cluster: Cluster) -> None:
    """Without a pause a loop at S = 10 s finds whole intervals, 12 s and not 6.6 s."""
    found = closed_loops(cluster, Setting(10), pauses=(0.0, 0.5), pods=3, trials=3)
    trials = found.dropna()

    assert len(found) == 2 * 3 * 4
    assert len(trials) == 2 * 3 * 3  # all were seen; the first follows no sync
    # seen about 0.8 s late: the probe looks every 0.25 s, the loop every 0.5 s
    late_s = trials["age_s"] - trials["pause_s"]
    assert late_s.between(0.0, 3.0).all()
    without = trials.loc[trials["pause_s"] == 0, "delay_s"].mean()
    # by the law 12.2 s; nine intervals of sd 1.41 s have a standard error of 0.5 s
    assert 10 < without < 14
    values, weights = interval_pmf(Setting(10))
    by_law = [
        closed_loop_mean_s(values, weights, pause_s=age)
        for age in trials["age_s"].tolist()
    ]
    # 18 trials: three standard errors are 1 s
    assert abs((trials["delay_s"] - by_law).mean()) < 1.0


def test_nothing_of_it_is_left(cluster: Cluster) -> None:
    """Its namespace goes with all that is in it."""
    before = {one["metadata"]["name"] for one in cluster.list(NAMESPACE)[0]}

    closed_loops(cluster, Setting(2), pauses=(0.0,), pods=1, trials=1)

    ours = cluster.list(NAMESPACE, labels=MANAGED_BY)[0]
    left = [
        one["metadata"]["name"]
        for one in ours
        if one["metadata"]["name"] not in before
        and one["status"]["phase"] != "Terminating"
    ]
    assert left == []
