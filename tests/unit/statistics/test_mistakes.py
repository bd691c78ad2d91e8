"""Wrong ways of measuring, tried on runs: each is as wrong as the law says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmhot.cluster.model import simulate
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import interval_pmf, law_for
from cmhot.runs.delays import delays
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics.mistakes import (
    COLUMNS,
    closed_loop_mean_s,
    complete_mean_s,
    gave_up_mean_s,
    looked_mean_s,
    one_each_mean_s,
    replayed,
    wrong_ways,
)

S = 1_000_000_000


def refreshes(*intervals_s: int, pod: str = "a") -> pd.DataFrame:
    """Make a pod's refreshes at S = 10 s, one after the other."""
    end = pd.Series(intervals_s).cumsum() * S
    length = pd.Series(intervals_s, dtype=float)
    return pd.DataFrame(
        {
            "sync_frequency_s": 10.0,
            "strategy": "Watch",
            "ttl_s": 0.0,
            "consumer": "volume",
            "node": "n",
            "pod": pod,
            "configmap": "c",
            "start_ns": end - (length * S).astype("int64"),
            "published_ns": end,
            "least_s": 0.0,
            "most_s": length,
        }
    )


def seen(*delay_s: float, pods: int = 1) -> pd.DataFrame:
    """Make delays of updates in those pods, one after the other."""
    return pd.DataFrame(
        {
            "sync_frequency_s": 10.0,
            "strategy": "Watch",
            "ttl_s": 0.0,
            "consumer": "volume",
            "pod": [f"p{number % pods}" for number in range(len(delay_s))],
            "status": "observed",
            "delay_s": delay_s,
        }
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Try all ways on 40 modelled pods at S = 10 s, for 10 minutes."""
    run = simulate(Setting(10), pods=40, duration_s=600)
    return wrong_ways(refresh_intervals(run), delays=delays(run))


def test_each_way_is_as_wrong_as_the_law_says(table: pd.DataFrame) -> None:
    """Nine ways, all within 0.1 s of what the law says of them; the truth is 6.58 s."""
    assert tuple(table) == COLUMNS
    assert table["method"].tolist() == [
        "open loop",
        *["closed loop"] * 4,
        "rare looks",
        "timeouts dropped",
        "complete intervals only",
        "one delay per sync",
    ]
    assert table["truth_s"].tolist() == pytest.approx([6.58] * 9, abs=0.1)
    # some 1,800 intervals of sd 1.41 s: three standard errors are 0.1 s
    assert (table["mean_s"] - table["law_s"]).abs().max() < 0.1
    assert table["executed"].tolist() == [True] + [False] * 8


def test_closed_loops_find_their_pause(table: pd.DataFrame) -> None:
    """Pauses of 0, 0.8, 5 and 10 s find 13, 12.2, 8 and 3 s."""
    closed = table[table["method"] == "closed loop"]

    assert closed["pause_s"].tolist() == pytest.approx([0, 0.8, 5, 10])
    assert closed["mean_s"].tolist() == pytest.approx([13, 12.2, 8, 3], abs=0.1)


def test_limits_hold_the_law(table: pd.DataFrame) -> None:
    """The limits are around the mean, no wider than 0.4 s, and most hold the law."""
    some = table[table["method"] != "timeouts dropped"]  # straight: it cannot vary
    holds = (some["low_s"] <= some["law_s"]) & (some["law_s"] <= some["high_s"])

    assert (some["high_s"] - some["low_s"]).between(0.01, 0.4).all()
    assert holds.sum() >= 6  # of 8 that stem from the same intervals


def test_a_replay_by_hand() -> None:
    """Intervals of 11, 15, 12 s: a pause of 10 s leaves 5 and 2 s, one of 13 s 2 s."""
    loops = replayed(refreshes(11, 15, 12), Setting(10), pauses=(1.0, 1.3))

    assert loops["delay_s"].tolist() == [5.0, 2.0, 2.0]
    assert loops["age_s"].tolist() == [10.0, 10.0, 13.0]


def test_trials_that_were_run_count_instead() -> None:
    """Executed loops are taken as they are, without what follows or saw no sync."""
    nan = float("nan")
    trials = pd.DataFrame(
        {
            "pod": ["a"] * 4,
            "pause_s": [5.0] * 4,
            "age_s": [nan, 5.5, 6.5, 5.5],
            "delay_s": [1.0, 8.0, 6.0, nan],
        }
    )

    found = wrong_ways(refreshes(11, 15, 12), delays=seen(3.0), trials=trials)

    (row,) = found[found["method"] == "closed loop"].to_dict("records")
    assert (row["n"], row["mean_s"], row["executed"]) == (2, 7.0, True)
    assert row["law_s"] == pytest.approx(7.0)  # mean interval 13 s less 6 s


def test_other_laws_are_refused() -> None:
    """Where a sync may read old content, all this is not so."""
    cached = refreshes(11, 15).assign(strategy=str(Strategy.CACHE), ttl_s=60.0)

    with pytest.raises(UsageError, match=r"wrong ways are not known of 10 s, Cache"):
        wrong_ways(cached, delays=seen(3.0))


def test_the_open_loop_is_of_the_updates_that_were_sent() -> None:
    """Its mean is theirs, with limits by pod; the truth is that of the intervals."""
    rows = seen(1.0, 2.0, 3.0, 5.0, 6.0, 7.0, pods=3)
    lost = seen(99.0).assign(status="missed")

    found = wrong_ways(refreshes(11, 15, 12), delays=pd.concat([rows, lost]))

    row = found.iloc[0]
    assert (row["method"], row["n"], row["mean_s"]) == ("open loop", 6, 4.0)
    # means without a pod are 4.5, 4, 3.5: spread (2/3 · 0.5)^½, Student's t of 2: 4.303
    reach = 4.302653 * (1 / 3) ** 0.5
    assert row["high_s"] - row["mean_s"] == pytest.approx(reach, rel=1e-6)
    # (11² + 15² + 12²) / (2 · 38)
    assert set(found["truth_s"].round(9)) == {round(490 / 76, 9)}


def test_a_run_too_short_for_a_loop_has_none() -> None:
    """One refresh, which nothing follows: the other ways are there."""
    found = wrong_ways(refreshes(11), delays=seen(3.0))

    assert tuple(found) == COLUMNS
    assert "closed loop" not in set(found["method"])
    assert len(found) == 5


def test_delays_of_another_setting_are_refused() -> None:
    """Refreshes and delays are of the same pods."""
    other = seen(3.0).assign(sync_frequency_s=20.0)

    with pytest.raises(UsageError, match=r"delays are of 20 s.* refreshes of 10 s"):
        wrong_ways(refreshes(11, 15), delays=other)


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


def test_a_window_is_longer_than_some_interval() -> None:
    """Else there is nothing in it."""
    with pytest.raises(UsageError, match="no interval between syncs fits into 11 s"):
        complete_mean_s(*interval_pmf(Setting(10)), window_s=11)
