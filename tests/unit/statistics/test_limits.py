"""Confidence intervals: by hand, by their two ways, and by how often they cover."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cmhot.kubelet.settings import Setting
from cmhot.statistics import (
    cdf_bounds,
    confidence,
    delay_blocks,
    describe_intervals,
    interval_blocks,
    n_eff,
)
from cmhot.statistics.limits import quantiles_of, tail_share
from studies.checks import bootstrap_confidence
from studies.draws import draw_refresh
from tests.unit.statistics.tables import delays, lost, refreshes


def test_one_row_per_block_is_clopper_pearson() -> None:
    """With a delay per pod the limits are binomial, but for the few blocks' share.

    At F = 1/2 the ratio variance is F (1 - F) / (m - 1), so the size is 39,
    times (1.95996 / 2.02269)² = 0.93894 for the 39 degrees of freedom.
    """
    blocks = delay_blocks(delays({f"p{k}": [float(k)] for k in range(40)}))

    low, high = cdf_bounds(blocks)

    size = 39 * 0.93894
    exact = stats.beta(size / 2, size / 2 + 1).ppf(0.025)
    assert n_eff(blocks)[19] == pytest.approx(39)
    assert low[19] == pytest.approx(exact, abs=1e-4)
    assert high[19] == pytest.approx(1 - exact, abs=1e-4)
    assert high[39] == 1


def test_the_effective_size_by_hand() -> None:
    """Pods that saw 1 of 2 and 3 of 4 below t: F̂ = 4/6, v = 2 · 2 · (1/3)² / 36.

    Residuals are 1 - 2 · 2/3 = -1/3 and 3 - 4 · 2/3 = 1/3.
    """
    blocks = delay_blocks(delays({"p": [1.0, 9.0], "q": [1.0, 1.0, 1.0, 9.0]}))

    assert n_eff(blocks)[0] == pytest.approx((2 / 9) / (4 / 9 / 36))


def test_repeated_rows_do_not_raise_the_effective_size() -> None:
    """Ten updates that share each publication are worth no more than one."""
    rng = np.random.default_rng(1)
    once = {f"p{k}": rng.uniform(0, 9, 5).round(3).tolist() for k in range(20)}
    often = {pod: values * 10 for pod, values in once.items()}

    sizes = []
    for table in (delays(once), delays(often)):
        alone = table.assign(acked_ns=np.arange(len(table)))  # pods share no update
        sizes.append(n_eff(delay_blocks(alone)))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.2)


def test_one_block_has_no_effective_size() -> None:
    """Of one pod nothing is known about the scatter between pods."""
    assert np.isnan(n_eff(delay_blocks(delays({"p": [1.0, 2.0]})))).all()


def test_limits_enclose_the_estimate_and_narrow() -> None:
    """Limits lie around the estimate; ten times the time, a third of the width."""
    rng = np.random.default_rng(2)
    widths = []
    for window_s in (130.0, 1300.0):
        table = draw_refresh(Setting(10), rng, pods=100, window_s=window_s)
        found = confidence(interval_blocks(table))
        (row,) = describe_intervals(table).to_dict("records")
        for name, pair in found.items():
            assert pair is not None
            assert pair[0] < row[name] < pair[1]
        assert found["p50_s"] is not None
        widths.append(found["p50_s"][1] - found["p50_s"][0])

    assert widths[1] / widths[0] == pytest.approx(0.32, abs=0.12)


def test_the_bootstrap_agrees() -> None:
    """Resampled blocks give about the same intervals: to a fifth of their width."""
    table = draw_refresh(Setting(10), np.random.default_rng(3), pods=30, window_s=300.0)
    blocks = interval_blocks(table)

    one, other = confidence(blocks), bootstrap_confidence(blocks, seed=1)

    assert other == bootstrap_confidence(blocks, seed=1)
    for name, pair in one.items():
        assert pair is not None
        assert other[name] == pytest.approx(pair, abs=0.2 * (pair[1] - pair[0]))


def test_few_blocks_move_the_tail_outwards() -> None:
    """For 6 blocks Φ(√(6/5) · -2.5706) = 0.0024, not 0.025; for many, the same."""
    assert tail_share(6, 0.025) == pytest.approx(0.00243, abs=2e-5)
    assert tail_share(10_000, 0.025) == pytest.approx(0.025, abs=1e-4)


def test_a_tail_that_was_not_seen_has_no_upper_limit() -> None:
    """Sixty delays say nothing on how long the slowest hundredth takes."""
    rng = np.random.default_rng(4)
    pods = {f"p{k}": rng.uniform(0, 9, 10).tolist() for k in range(6)}

    found = confidence(delay_blocks(delays(pods)))

    assert found["p99_s"] is not None
    assert math.isnan(found["p99_s"][1])
    assert found["p50_s"] is not None
    assert found["p50_s"][1] < 9


def test_few_pods_have_no_limits() -> None:
    """Below the stated minimum of blocks there is no interval of either kind."""
    table = draw_refresh(Setting(10), np.random.default_rng(1), pods=5, window_s=900.0)
    blocks = interval_blocks(table)

    assert set(confidence(blocks).values()) == {None}
    assert set(bootstrap_confidence(blocks).values()) == {None}


def test_timeouts_leave_the_mean_without_limits() -> None:
    """In the worst case a timeout is endless, and so is the mean; the median is not."""
    table = delays({f"p{k}": [1.0 + k, 2.0 + k, 3.0 + k, 4.0 + k] for k in range(16)})
    late = np.arange(len(table)) % 5 == 0  # of another update in each pod
    table = pd.concat([table[~late], lost(table[late], "timeout", waited_s=30.0)])

    blocks = delay_blocks(table, worst_case=True)

    for found in (confidence(blocks), bootstrap_confidence(blocks)):
        assert found["mean_s"] is not None
        assert math.isnan(found["mean_s"][1])
        assert found["p50_s"] is not None
        assert math.isfinite(found["p50_s"][1])
        assert found["p99_s"] is not None
        assert math.isnan(found["p99_s"][1])


def test_limits_of_a_degenerate_law_are_tight() -> None:
    """At S = 2 s all intervals are 3 s: the median is known to a grid step."""
    blocks = interval_blocks(refreshes({f"p{k}": [3.0] * 5 for k in range(8)}))

    assert confidence(blocks)["p50_s"] == pytest.approx((1.5, 1.5), abs=0.007)


def test_quantiles_of_many_functions_at_once() -> None:
    """Each row is inverted as by interpolation; what it does not reach is endless."""
    t = np.array([1.0, 2.0, 4.0])
    f = np.array([[0.0, 0.5, 1.0], [0.2, 0.4, 0.8]])

    found = quantiles_of(t, f, [0.1, 0.5, 0.9])

    assert found[0].tolist() == pytest.approx([1.2, 2.0, 3.6])
    assert found[1].tolist() == pytest.approx([1.0, 2.5, math.inf])
