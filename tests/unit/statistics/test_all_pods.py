"""The whole fleet: by hand, and against the law of the largest of N."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.statistics import describe_intervals, fleet_maximum
from studies.draws import draw_refresh
from tests.unit.statistics.tables import refreshes


def test_two_pods_by_hand() -> None:
    """Pods that sync each 10 s, 4 s apart: the longer wait is 4 … 10 or 6 … 10.

    Of 10 s, in 4 the wait is for the one pod (6 to 10), in 6 for the other (4 to 10):
    the mean is (4 · 8 + 6 · 7) / 10 = 7.4, and the median 7.5:
    below t lie (t - 6) + (t - 4) of 10.
    """
    table = refreshes({"p": [10.0] * 30, "q": [4.0, *[10.0] * 30]})

    found = fleet_maximum(table, sizes=[1, 2]).set_index("pods")

    assert found.loc[1, "mean_s"] == pytest.approx(5.0, abs=0.05)
    assert found.loc[2, "mean_s"] == pytest.approx(7.4, abs=0.05)
    assert found.loc[2, "p50_s"] == pytest.approx(7.5, abs=0.15)
    assert found.loc[2, "groups"] == 1
    assert found["p99_low_s"].isna().all()


def test_one_pod_is_the_interval_estimator() -> None:
    """A fleet of one waits as the interval estimator says."""
    table = draw_refresh(Setting(10), np.random.default_rng(1), pods=8, window_s=900.0)

    (one,) = fleet_maximum(table, sizes=[1]).to_dict("records")
    (row,) = describe_intervals(table).to_dict("records")

    assert one["groups"] == 8
    for name in ("mean_s", "p50_s", "p95_s", "p99_s"):
        assert one[name] == pytest.approx(row[name], abs=0.2)


def test_fleets_follow_the_law() -> None:
    """Mean and quantiles of the largest of N are those of F(t)ᴺ, within the limits."""
    table = draw_refresh(
        Setting(10), np.random.default_rng(3), pods=20, window_s=2200.0
    )

    found = fleet_maximum(table)

    assert found["pods"].tolist() == [1, 2, 5, 10, 20]
    assert found["groups"].tolist() == [20, 10, 4, 2, 1]
    for name in ("mean", "p50", "p95", "p99"):
        law = found[f"{name}_law_s"]
        assert found[f"{name}_s"].to_numpy() == pytest.approx(law, abs=0.35)
        half = (found[f"{name}_high_s"] - found[f"{name}_low_s"]) / 2
        assert ((found[f"{name}_s"] - law).abs() < 2 * half).all()


def test_larger_fleets_take_longer() -> None:
    """The more pods, the later the last."""
    table = draw_refresh(Setting(10), np.random.default_rng(4), pods=20, window_s=300.0)

    found = fleet_maximum(table, sizes=[1, 5, 20])

    assert found["mean_s"].is_monotonic_increasing
    assert found["p50_s"].is_monotonic_increasing


def test_pods_that_share_a_cache_have_no_law_here() -> None:
    """The law of independent pods is not given where they share what was fetched."""
    setting = Setting(10, Strategy.CACHE, 60.0)
    table = draw_refresh(
        setting, np.random.default_rng(5), pods=10, window_s=900.0, sharers=10
    )

    found = fleet_maximum(table, sizes=[10])

    assert math.isnan(found["mean_law_s"][0])
    assert found["mean_s"][0] > describe_intervals(table)["mean_s"][0]


def test_nodes_that_share_caches_are_cut_by_time() -> None:
    """Pods of one cache are in different groups: groups are no blocks there."""
    setting = Setting(10, Strategy.CACHE, 60.0)
    table = draw_refresh(
        setting, np.random.default_rng(7), pods=20, window_s=900.0, sharers=20
    )

    found = fleet_maximum(table, sizes=[1])

    assert found["groups"].tolist() == [20]
    assert found["blocks"].tolist() == [1]
    assert math.isnan(found["p50_low_s"][0])


def test_a_short_window_has_no_limits() -> None:
    """Three minutes are too short for fleets of five, and enough for single pods."""
    table = draw_refresh(Setting(10), np.random.default_rng(6), pods=20, window_s=180.0)

    found = fleet_maximum(table, sizes=[1, 5]).set_index("pods")

    assert found.loc[5, ["mean_low_s", "p99_high_s"]].isna().all()
    assert (found["mean_low_s"] < found["mean_s"]).tolist() == [True, False]


@pytest.mark.parametrize("size", [0, 3])
def test_a_fleet_is_no_larger_than_the_pods(size: int) -> None:
    """More pods than were measured are not made up."""
    with pytest.raises(UsageError, match="not to be had of 2"):
        fleet_maximum(refreshes({"p": [10.0] * 3, "q": [10.0] * 3}), sizes=[size])


def test_pods_must_overlap_in_time() -> None:
    """Pods that were measured one after the other are no fleet."""
    table = refreshes({"p": [10.0] * 3, "q": [10.0] * 3})
    late = table["pod"] == "q"
    table.loc[late, "start_ns"] += 10**12

    with pytest.raises(RunError, match="no instant"):
        fleet_maximum(table)


def test_too_short_a_time_is_an_error() -> None:
    """Of one refresh a pod nothing is known before it, and nothing after."""
    with pytest.raises(RunError, match="no instant"):
        fleet_maximum(refreshes({"p": [10.0], "q": [10.0]}))
