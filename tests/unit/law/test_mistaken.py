"""Wrong ways of measuring by the law: known biases, and simulations of each."""

from __future__ import annotations

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.law import interval_pmf, law_for
from cmhot.statistics.mistakes import (
    closed_loop_mean_s,
    complete_mean_s,
    gave_up_mean_s,
    looked_mean_s,
    one_each_mean_s,
)


def closed(setting: Setting, pause_s: float) -> float:
    """Give the closed loop's mean at a setting."""
    return closed_loop_mean_s(*interval_pmf(setting), pause_s=pause_s)


@pytest.mark.parametrize(
    ("pause_s", "mean_s"), [(0, 75.5), (5, 70.5), (30, 45.5), (60, 15.5)]
)
def test_a_closed_loop_finds_what_its_pause_says(pause_s: float, mean_s: float) -> None:
    """At S = 60 s, where the truth is 38 s, it finds 75, 70, 45 or 15 s."""
    assert closed(Setting(60), pause_s) == pytest.approx(mean_s)


def test_a_closed_loop_with_a_pause_over_several_syncs() -> None:
    """A pause of 25.3 s at S = 10 s: as simulated syncs say, whichever was last."""
    rng = np.random.default_rng(1)
    values, weights = interval_pmf(Setting(10))
    syncs = np.cumsum(rng.choice(values, p=weights, size=(200_000, 4)), axis=1)
    after = np.where(syncs > 25.3, syncs, np.inf).min(axis=1) - 25.3

    # standard error of the simulation: 3.9 s / √200,000 = 0.009 s
    assert closed(Setting(10), 25.3) == pytest.approx(after.mean(), abs=0.04)


def test_rare_looks_find_later_delays() -> None:
    """A look every 5 s at S = 10 s: 2.65 s are added, as rounded-up draws say."""
    law = law_for(Setting(10))
    assert law is not None
    drawn = law.sample(np.random.default_rng(1), 200_000)

    found = looked_mean_s(law, every_s=5)

    assert found == pytest.approx(9.2308, abs=1e-4)
    # standard error: 4.1 s / √200,000 = 0.009 s
    assert found == pytest.approx((np.ceil(drawn / 5) * 5).mean(), abs=0.04)


def test_dropped_timeouts_are_the_long_ones() -> None:
    """Whoever gives up after 60 s at S = 60 s finds 30 s: F is straight until there."""
    law = law_for(Setting(60))
    assert law is not None

    assert gave_up_mean_s(law, after_s=60) == pytest.approx(30.0)
    assert gave_up_mean_s(law, after_s=500) == pytest.approx(law.mean_s)


@pytest.mark.parametrize(("window_s", "mean_s"), [(120, 37.4), (300, 38.08)])
def test_complete_intervals_are_short_ones(window_s: float, mean_s: float) -> None:
    """At S = 60 s they say 37.4 s in two minutes, 38.1 s in five; truth: 38.25 s."""
    values, weights = interval_pmf(Setting(60))

    found = complete_mean_s(values, weights, window_s=window_s)

    assert found == pytest.approx(mean_s, abs=0.01)


def test_each_sync_once_forgets_that_long_intervals_catch_more() -> None:
    """At S = 60 s it finds half of the mean interval, 37.75 s."""
    assert one_each_mean_s(*interval_pmf(Setting(60))) == pytest.approx(37.75)


def test_what_cannot_be_is_refused() -> None:
    """No negative pause, no looks at once, no window shorter than every interval."""
    law = law_for(Setting(10))
    assert law is not None

    with pytest.raises(UsageError, match="a pause of -1 s is not possible"):
        closed(Setting(10), -1)
    with pytest.raises(UsageError, match="every_s = 0 is not possible"):
        looked_mean_s(law, every_s=0)
    with pytest.raises(UsageError, match="after_s = -2 is not possible"):
        gave_up_mean_s(law, after_s=-2)
    with pytest.raises(UsageError, match="no interval between syncs fits into 11 s"):
        complete_mean_s(*interval_pmf(Setting(10)), window_s=11)
