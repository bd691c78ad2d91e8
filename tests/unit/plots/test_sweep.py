"""How the delay grows with `syncFrequency`, by what the figures' artists hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.law import ContinuousLaw
from cmhot.plots import collapse, delay_by_sync_frequency
from tests.unit.plots.tables import bars, curves, dashed, legend, refresh, summary


def test_quantiles_stand_over_their_sync_frequency() -> None:
    """Each is the interval estimator's, with its limits, at S."""
    table = pd.concat([summary(), summary(sync_frequency_s=20.0)])

    ax = delay_by_sync_frequency(table)

    medians, _, _ = ax.containers
    assert medians.lines[0].get_xydata().tolist() == [[10, 6], [20, 6]]  # type: ignore[attr-defined]
    assert bars(ax, 0) == [[[10, 5.5], [10, 6.25]], [[20, 5.5], [20, 6.25]]]
    assert ax.get_xlabel() == "syncFrequency, s"
    assert ax.get_ylabel() == "delay, s"
    assert legend(ax) == ["p99", "p90", "median (p50)", "longest possible (law)", "law"]


def test_the_laws_lie_behind_the_quantiles() -> None:
    """A dashed line a quantile, and a dotted one where no delay lies above."""
    table = pd.concat([summary(sync_frequency_s=20.0, law_max_s=31.2), summary()])

    ax = delay_by_sync_frequency(table)

    assert curves(ax)["longest possible (law)"] == ([10, 20], [16.2, 31.2])
    assert dashed(ax) == [6.125, 11.125, 14.125]


def test_the_direct_estimator_stands_in_without_limits() -> None:
    """Where there is no interval estimator, its point is drawn without a bar."""
    table = summary(intervals_p50_s=None, intervals_p50_s_low=None)

    ax = delay_by_sync_frequency(table)

    assert bars(ax, 0) == [[[10, 7], [10, 7]]]


def test_an_open_interval_is_no_bar() -> None:
    """A quantile that the data set no upper limit for has no bar that ends."""
    ax = delay_by_sync_frequency(summary(intervals_p99_s_high=None))

    assert bars(ax, 2) == [[[10, 14], [10, 14]]]


def test_what_does_not_read_at_each_sync_is_left_out() -> None:
    """A Cache with a TTL, and an environment, are no matter of S alone."""
    others = [summary(strategy="Cache", ttl_s=15.0), summary(consumer="env")]

    ax = delay_by_sync_frequency(pd.concat([summary(), *others]))

    assert len(ax.containers[0].lines[0].get_xdata()) == 1  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="no delay to draw by syncFrequency"):
        delay_by_sync_frequency(pd.concat(others))


def test_settings_collapse_onto_one_curve() -> None:
    """Equal intervals, in units of S + ½ s, give the same curve at each S."""
    table = pd.concat(
        [
            refresh([(s + 0.5) * part for part in (1.0, 1.25, 1.5)], sync_frequency_s=s)
            for s in (10.0, 60.0)
        ]
    )

    drawn = curves(collapse(table))

    assert np.allclose(drawn["10 s, Watch"], drawn["60 s, Watch"])
    r, share = drawn["10 s, Watch"]
    assert r[-1] == pytest.approx(1.5)
    # an instant lies in an interval of 1 with 1/3.75, and waits for less than r = 1
    # in that one and in 1/1.25 and 1/1.5 of the others: 3 / 3.75
    assert np.interp(1.0, r, share) == pytest.approx(3 / 3.75, abs=1e-3)  # a grid step


def test_eight_settings_on_one_curve_are_told_apart() -> None:
    """Each has its own marker, at its own places: the curves are one."""
    syncs = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
    table = pd.concat([refresh([1.2 * s], sync_frequency_s=s) for s in syncs])

    lines = collapse(table).get_lines()[:8]

    assert len({line.get_marker() for line in lines}) == 8
    assert len({line.get_color() for line in lines}) == 6
    marks = [line.get_markevery() for line in lines]
    assert len({round(start % step, 3) for start, step in marks}) == 8  # type: ignore[misc]


@pytest.mark.parametrize("sync_frequency_s", [5.0, 60.0])
def test_the_law_of_the_collapse_is_near_that_of_each_setting(
    sync_frequency_s: float,
) -> None:
    """Half a second added to S leaves 0.015 at S = 5 s, and 0.002 at 60 s."""
    ax = collapse(refresh([12.0]))
    r, share = curves(ax)["law, for long intervals"]

    law = ContinuousLaw.of(Setting(sync_frequency_s))
    apart = np.abs(law.cdf(np.array(r) * (sync_frequency_s + 0.5)) - share).max()
    assert apart == pytest.approx(
        {5.0: 0.0154, 60.0: 0.0013}[sync_frequency_s], abs=5e-4
    )


def test_the_collapse_leaves_caches_out_and_says_modelled() -> None:
    """A Cache with a TTL follows another law; without any other setting: refused."""
    cached = refresh([12.0], strategy="Cache")

    ax = collapse(pd.concat([refresh([12.0]), cached]), laws=False, modelled=True)

    assert legend(ax) == ["10 s, Watch"]
    assert ax.get_title(loc="right") == "modelled, not measured"
    assert ax.get_xlabel() == "delay / (syncFrequency + ½ s), no unit"
    with pytest.raises(UsageError, match="nothing to divide by syncFrequency"):
        collapse(cached)
