"""Censored delays, by hand and against scipy; and pods that never updated."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cmhot.clock import NS_PER_S
from cmhot.errors import RunError
from cmhot.kubelet.settings import Setting
from cmhot.statistics import (
    confidence,
    delay_blocks,
    kaplan_meier,
    never_updates,
    survival_curve,
)
from cmhot.statistics.blocks import Assignment
from cmhot.statistics.survival import hazards
from studies.checks import bootstrap_confidence
from studies.draws import draw_delays, truth
from tests.unit.statistics.tables import POPULATION, delays, lost


def censored(table: pd.DataFrame, limit_s: np.ndarray) -> pd.DataFrame:
    """Interrupt each wait at its own limit."""
    late = limit_s < table["delay_s"].to_numpy()
    return pd.concat(
        [
            table[~late],
            lost(table[late], "interrupted", waited_s=0.0).assign(
                waited_s=limit_s[late]
            ),
        ]
    )


def by_hand() -> pd.DataFrame:
    """Give delays 1, 3, 5 and one that was waited for 2 s in vain."""
    table = delays({"p": [1.0, 3.0, 5.0, 9.0]})
    return pd.concat([table[:3], lost(table[3:], "timeout", waited_s=2.0)])


def test_the_product_limit_by_hand() -> None:
    """With 1, 2+, 3, 5: F is 1/4, then 1 - 3/4 · 1/2 = 5/8, then 1."""
    curve = survival_curve(by_hand())
    found = kaplan_meier(by_hand(), quantiles=[0.25, 0.5, 0.9])

    assert curve["delay_s"].tolist() == [1.0, 2.0, 3.0, 5.0]
    assert curve["share"].tolist() == pytest.approx([0.25, 0.25, 0.625, 1.0])
    assert found["value_s"].tolist() == [1.0, 3.0, 5.0]
    assert found["followed_s"].tolist() == [5.0] * 3


def test_best_and_worst_case_by_hand() -> None:
    """At best it came after the 2 s, at worst never."""
    found = kaplan_meier(by_hand(), quantiles=[0.5, 0.9])

    assert found["best_s"].tolist() == [2.0, 5.0]
    assert found["worst_s"].tolist() == [3.0, math.inf]


def test_a_quantile_beyond_the_last_event_is_endless() -> None:
    """Where the curve ends below a share, the quantile is longer than was followed."""
    table = delays({"p": [1.0, 2.0, 3.0, 9.0]})
    table = pd.concat([table[:3], lost(table[3:], "timeout", waited_s=20.0)])

    found = kaplan_meier(table, quantiles=[0.5, 0.9])

    assert found["value_s"].tolist() == [2.0, math.inf]
    assert found["followed_s"].tolist() == [20.0, 20.0]


def test_what_was_missed_lies_between() -> None:
    """A missed one is put in the middle; best at the last stale reading, worst last."""
    table = delays({"p": [1.0, 2.0, 3.0, 9.0, 10.0]})
    row = table[3:4].assign(status="missed", delay_s=np.nan, waited_s=4.0)
    row["published_ns"] = row["acked_ns"] + 8 * NS_PER_S
    table = pd.concat([table[:3], row, table[4:]])

    found = kaplan_meier(table, quantiles=[0.8])

    assert found["value_s"].tolist() == [6.0]
    assert found["best_s"].tolist() == [4.0]
    assert found["worst_s"].tolist() == [8.0]


def test_it_is_scipys() -> None:
    """Quantiles are those at which scipy's product-limit curve gets there."""
    rng = np.random.default_rng(2)
    table = draw_delays(Setting(10), rng, pods=10, window_s=120.0)
    table = censored(table, rng.exponential(30.0, len(table)))
    seen = table["status"] == "observed"

    found = kaplan_meier(table).set_index("quantile")["value_s"]

    curve = stats.ecdf(
        stats.CensoredData(
            uncensored=table.loc[seen, "delay_s"].to_numpy(),
            right=table.loc[~seen, "waited_s"].to_numpy(),
        )
    ).cdf
    for share, value in zip(found.index.to_numpy(), found.to_numpy(), strict=True):
        assert curve.evaluate(value) >= share
        assert curve.evaluate(value - 1e-6) < share


def test_without_censoring_it_is_the_direct_estimator() -> None:
    """Nothing censored: best, worst and estimate agree, and so do the intervals."""
    rng = np.random.default_rng(3)
    table = draw_delays(Setting(10), rng, pods=20, window_s=120.0)

    found = kaplan_meier(table, seed=1).set_index("quantile")

    assert (found["best_s"] == found["worst_s"]).all()
    assert not found["doubtful"].any()
    median = found.iloc[0]
    assert median["value_s"] == pytest.approx(table["delay_s"].quantile(0.5), abs=0.02)
    pair = bootstrap_confidence(delay_blocks(table), seed=1)["p50_s"]
    assert pair is not None
    assert [median["low_s"], median["high_s"]] == pytest.approx(pair, abs=0.05)


def test_censoring_does_not_shift_the_estimate() -> None:
    """With a third interrupted at random the law is found; dropping them is short.

    20 pods for 30 minutes: the standard error of the median is about 0.1 s.
    """
    rng = np.random.default_rng(4)
    table = draw_delays(Setting(10), rng, pods=20, window_s=1800.0)
    table = censored(table, rng.exponential(15.0, len(table)))
    seen = table.loc[table["status"] == "observed", "delay_s"]

    found = kaplan_meier(table, quantiles=[0.5])

    true = float(truth(Setting(10)).quantile(0.5))
    assert found["value_s"][0] == pytest.approx(true, abs=0.4)
    assert found["low_s"][0] < true < found["high_s"][0]
    assert seen.quantile(0.5) < true - 1
    assert found["doubtful"][0]


def test_few_blocks_have_no_limits() -> None:
    """Below the stated minimum of pods the quantile stands alone."""
    found = kaplan_meier(delays({"p": [1.0, 2.0], "q": [3.0]}))

    assert found["low_s"].isna().all()
    assert found["value_s"].tolist() == [2.0, 3.0, 3.0, 3.0]


def test_waiting_without_a_time_is_damage() -> None:
    """A row that was waited for must say how long."""
    table = by_hand().assign(waited_s=np.nan)

    with pytest.raises(RunError, match="how long was waited"):
        kaplan_meier(table)


def test_limits_are_no_narrower_for_what_is_not_known() -> None:
    """Censoring a half of the rows widens the interval of the median."""
    rng = np.random.default_rng(6)
    table = draw_delays(Setting(10), rng, pods=20, window_s=300.0)
    less = censored(table, rng.exponential(8.0, len(table)))

    one, other = (kaplan_meier(t, quantiles=[0.5], seed=1) for t in (table, less))

    wide = confidence(delay_blocks(table))["p50_s"]
    assert wide is not None
    assert other["high_s"][0] - other["low_s"][0] > one["high_s"][0] - one["low_s"][0]
    assert one["high_s"][0] - one["low_s"][0] == pytest.approx(
        wide[1] - wide[0], rel=0.3
    )


@pytest.mark.parametrize(("number", "far"), [(300, 1e-12), (5000, 0.005)])
def test_hazards_of_all_blocks_make_the_curve(number: int, far: float) -> None:
    """Counts per block add up to scipy's curve, ties and grouping included."""
    rng = np.random.default_rng(7)
    times = rng.exponential(10.0, number)
    if number < 1000:
        times = times.round(1)  # many ties, of events and censored
    event = rng.random(number) < 0.6
    block = Assignment(rng.integers(0, 5, number), 5, "pods", 6)

    t, events, at_risk = hazards(block, times, event)

    f = 1 - np.cumprod(1 - events.sum(axis=0) / at_risk.sum(axis=0))
    data = stats.CensoredData(uncensored=times[event], right=times[~event])
    assert f == pytest.approx(stats.ecdf(data).cdf.evaluate(t), abs=far)


def test_no_pod_of_twenty() -> None:
    """0 of 20 within 90 s: at most 1 - 0.05^(1/20) = 13.9 % would have; 3/n is 15 %."""
    table = lost(
        delays({f"p{k}": [1.0, 1.0] for k in range(20)}), "timeout", waited_s=0
    )
    waits = [90.0 + 10 * (k % 2) for k in range(40)]

    (row,) = never_updates(table.assign(consumer="env", waited_s=waits)).to_dict(
        "records"
    )

    assert row == POPULATION | {
        "consumer": "env",
        "pods": 20,
        "pods_updated": 0,
        "waited_s": 100.0,
        "upper": pytest.approx(1 - 0.05 ** (1 / 20)),
        "rule_of_three": 0.15,
    }


def test_a_pod_that_updated_counts() -> None:
    """One of two pods saw an update: its rows count once, and the bound is Beta's."""
    table = delays({"p": [1.0, 2.0], "q": [3.0, 4.0]})
    table = pd.concat([table[:2], lost(table[2:], "timeout", waited_s=50.0)])

    (row,) = never_updates(table).to_dict("records")

    assert (row["pods"], row["pods_updated"], row["waited_s"]) == (2, 1, 2.0)
    assert row["upper"] == pytest.approx(stats.beta.ppf(0.95, 2, 1))
    assert row["rule_of_three"] == 1.0


def test_updates_that_were_not_sent_say_nothing() -> None:
    """Where nothing was written nothing could be seen."""
    table = lost(delays({"p": [1.0]}), "not_sent", waited_s=math.nan)

    with pytest.raises(RunError, match="no update was sent to volume"):
        never_updates(table)
