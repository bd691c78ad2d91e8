"""The estimators, against sums done by hand and against the law that made the data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cmhot.law import law_for
from cmhot.settings import Setting
from cmhot.statistics import (
    cdf_bounds,
    confidence,
    delay_blocks,
    describe_delays,
    describe_intervals,
    equivalence,
    interval_blocks,
)

if TYPE_CHECKING:
    from cmhot.law import Law

POPULATION = {
    "sync_frequency_s": 10.0,
    "strategy": "Watch",
    "ttl_s": 0.0,
    "consumer": "volume",
}


def known_law(sync_frequency_s: float = 10) -> Law:
    """Give the law under Watch."""
    law = law_for(Setting(sync_frequency_s))
    assert law is not None
    return law


def table(pods: dict[str, list[float]], *, name: str) -> pd.DataFrame:
    """Give a row per number, in one population."""
    rows = [
        {**POPULATION, "pod": pod, "status": "observed", name: value}
        for pod, values in pods.items()
        for value in values
    ]
    return pd.DataFrame(rows)


def drawn(rng: np.random.Generator, *, pods: int, syncs: int) -> pd.DataFrame:
    """Draw intervals that obey the law at S = 10 s."""
    law = known_law()
    x = rng.choice(law.interval_s, p=law.probability, size=(pods, syncs))
    return table({f"p{k}": row.tolist() for k, row in enumerate(x)}, name="interval_s")


def test_the_direct_estimator_counts_and_describes() -> None:
    """Numbers are of observed delays only; each other status is counted."""
    delays = table({"p": [1.0, 2.0, 3.0], "q": [10.0]}, name="delay_s")
    lost = delays.assign(delay_s=math.nan)
    statuses = ["timeout", "timeout", "missed", "failed"]
    delays = pd.concat([delays, lost.assign(status=statuses)])

    (row,) = describe_delays(delays).to_dict("records")

    assert row == POPULATION | {
        "pods": 2,
        "n_delays": 4,
        "n_timeout": 2,
        "n_interrupted": 0,
        "n_missed": 1,
        "n_not_sent": 0,
        "n_failed": 1,
        "mean_s": 4.0,
        "p50_s": 2.5,
        "p90_s": pytest.approx(7.9),
        "p95_s": pytest.approx(8.95),
        "p99_s": pytest.approx(9.79),
        "max_s": 10.0,
    }


def test_settings_are_kept_apart() -> None:
    """Each setting and consumer has its row, also where the setting is unknown."""
    delays = table({"p": [1.0]}, name="delay_s")
    unknown = delays.assign(sync_frequency_s=math.nan, strategy=None, ttl_s=math.nan)
    env = delays.assign(consumer="env", status="timeout", delay_s=math.nan)

    found = describe_delays(pd.concat([delays, env, unknown]))

    assert found["consumer"].tolist() == ["env", "volume", "volume"]
    assert found["n_delays"].tolist() == [0, 1, 1]
    assert math.isnan(found["p50_s"][0])


def test_the_interval_estimator_by_hand() -> None:
    """Intervals 11 and 13: F(t) = 2t/24 up to 11, (11 + t)/24 after it."""
    intervals = table({"p": [11.0], "q": [13.0]}, name="interval_s")

    (row,) = describe_intervals(intervals).to_dict("records")

    assert row["n_syncs"] == 2
    assert row["mean_s"] == pytest.approx((121 + 169) / 48)
    assert row["p50_s"] == pytest.approx(6.0)
    assert row["p90_s"] == pytest.approx(10.8)
    assert row["p95_s"] == pytest.approx(11.8)
    assert row["p99_s"] == pytest.approx(12.76)
    assert row["max_s"] == 13.0


def test_the_interval_estimator_is_what_random_instants_see() -> None:
    """A random instant in the intervals waits as the estimator says."""
    rng = np.random.default_rng(5)
    x = rng.uniform(5, 9, 50)
    ends = np.cumsum(x)
    instants = rng.uniform(0, ends[-1], 200_000)
    waited = ends[np.searchsorted(ends, instants)] - instants

    (row,) = describe_intervals(table({"p": x.tolist()}, name="interval_s")).to_dict(
        "records"
    )

    assert row["mean_s"] == pytest.approx(waited.mean(), rel=0.01)
    assert row["p95_s"] == pytest.approx(np.quantile(waited, 0.95), rel=0.01)


def test_no_intervals_describe_nothing() -> None:
    """An empty table stays a table."""
    empty = table({"p": [1.0]}, name="interval_s")[:0]

    assert describe_intervals(empty).empty


def test_blocks_sum_what_each_pod_saw() -> None:
    """Numerators are Σ min(X, t) per pod, denominators Σ X."""
    intervals = table({"p": [11.0, 12.0], "q": [15.0]}, name="interval_s")

    blocks = interval_blocks(intervals)

    at = [int(np.searchsorted(blocks.t, t)) for t in (0.0, 7.5, 15.0)]
    assert blocks.below[:, at].tolist() == [[0, 15.0, 23.0], [0, 7.5, 15.0]]
    assert blocks.total.tolist() == [23.0, 15.0]
    assert blocks.moment.tolist() == [132.5, 112.5]
    assert blocks.cdf()[at].tolist() == pytest.approx([0, 22.5 / 38, 1])


def test_the_worst_case_counts_what_never_came() -> None:
    """A timeout lies below no delay, however long."""
    delays = table({"p": [1.0, 2.0], "q": [3.0]}, name="delay_s")
    late = delays[-1:].assign(status="timeout", delay_s=math.nan)
    delays = pd.concat([delays, late])

    assert delay_blocks(delays).cdf().tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    worst = delay_blocks(delays, worst_case=True)
    assert worst.cdf().tolist() == [0.25, 0.5, 0.75]


def test_one_row_per_block_is_clopper_pearson() -> None:
    """With a delay per pod the limits are binomial, but for the few blocks' share.

    At F = 1/2 the ratio variance is F (1 - F) / (m - 1), so the size is 39,
    times (1.95996 / 2.02269)² = 0.93894 for the 39 degrees of freedom.
    """
    delays = table({f"p{k}": [float(k)] for k in range(40)}, name="delay_s")

    low, high = cdf_bounds(delay_blocks(delays))

    size = 39 * 0.93894
    exact = stats.beta(size / 2, size / 2 + 1).ppf(0.025)
    assert low[19] == pytest.approx(exact, abs=1e-4)
    assert high[19] == pytest.approx(1 - exact, abs=1e-4)
    assert high[39] == 1


def test_limits_enclose_the_estimate_and_narrow() -> None:
    """Limits lie around the estimate; ten times the syncs, a third of the width."""
    rng = np.random.default_rng(2)
    widths = []
    for syncs in (10, 100):
        intervals = drawn(rng, pods=30, syncs=syncs)
        found = confidence(interval_blocks(intervals))
        (row,) = describe_intervals(intervals).to_dict("records")
        for name, pair in found.items():
            assert pair is not None
            assert pair[0] < row[name] < pair[1]
        assert found["p50_s"] is not None
        widths.append(found["p50_s"][1] - found["p50_s"][0])

    assert widths[1] / widths[0] == pytest.approx(0.32, abs=0.12)


def test_a_tail_that_was_not_seen_has_no_upper_limit() -> None:
    """Sixty delays say nothing on how long the slowest hundredth takes."""
    rng = np.random.default_rng(4)
    pods = {f"p{k}": rng.uniform(0, 9, 10).tolist() for k in range(6)}

    found = confidence(delay_blocks(table(pods, name="delay_s")))

    assert found["p99_s"] is not None
    assert math.isnan(found["p99_s"][1])
    assert found["p50_s"] is not None
    assert found["p50_s"][1] < 9


def test_few_pods_have_no_limits() -> None:
    """Below the stated minimum of blocks there is no interval and no verdict."""
    intervals = drawn(np.random.default_rng(1), pods=5, syncs=200)

    assert set(confidence(interval_blocks(intervals)).values()) == {None}
    fit = equivalence(intervals, known_law(), sync_frequency_s=10)
    assert fit["upper_95"] is None
    assert fit["equivalent"] is None


def test_nothing_observed_has_no_limits() -> None:
    """Pods that never saw an update give no interval."""
    pods = {f"p{k}": [math.nan] for k in range(8)}
    delays = table(pods, name="delay_s").assign(status="timeout")

    found = confidence(delay_blocks(delays, worst_case=True))

    assert set(found.values()) == {None}


def test_timeouts_leave_the_mean_without_limits() -> None:
    """In the worst case a timeout is endless, and so is the mean; the median is not."""
    pods = {f"p{k}": [1.0 + k, 2.0 + k, 3.0 + k, math.nan] for k in range(8)}
    delays = table(pods, name="delay_s")
    delays.loc[delays["delay_s"].isna(), "status"] = "timeout"

    found = confidence(delay_blocks(delays, worst_case=True))

    assert found["mean_s"] is not None
    assert math.isnan(found["mean_s"][1])
    assert found["p50_s"] is not None
    assert math.isfinite(found["p50_s"][1])
    assert found["p99_s"] is not None
    assert math.isnan(found["p99_s"][1])


def test_limits_of_a_degenerate_law_are_tight() -> None:
    """At S = 2 s all intervals are 3 s: the median is known to a grid step."""
    pods = {f"p{k}": [3.0] * 5 for k in range(8)}

    found = confidence(interval_blocks(table(pods, name="interval_s")))

    assert found["p50_s"] == pytest.approx((1.5, 1.5), abs=0.007)


def test_intervals_cover_the_law() -> None:
    """95 % intervals of p50 and p99 cover in at least 89 % of 150 runs.

    The nominal share less three standard errors, with a little for few blocks;
    at 600 runs all were between 93.5 and 98.7 %.
    """
    rng = np.random.default_rng(11)
    law = known_law()
    hits = {"p50_s": 0, "p99_s": 0}
    for _ in range(150):
        found = confidence(interval_blocks(drawn(rng, pods=6, syncs=12)))
        for name, p in (("p50_s", 0.5), ("p99_s", 0.99)):
            pair = found[name]
            assert pair is not None
            hits[name] += pair[0] <= float(law.quantile(p)) <= pair[1]

    assert min(hits.values()) >= 134


def test_data_that_obey_the_law_are_shown_equivalent() -> None:
    """With enough syncs the bounds lie within the margins."""
    intervals = drawn(np.random.default_rng(8), pods=20, syncs=150)

    fit = equivalence(intervals, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is True
    assert fit == equivalence(intervals, known_law(), sync_frequency_s=10)
    assert isinstance(fit["sup_difference"], float)
    assert isinstance(fit["upper_95"], float)
    assert fit["sup_difference"] <= fit["upper_95"] <= 0.02


def test_too_little_data_do_not_show_equivalence() -> None:
    """A fit that looks good on few syncs is no agreement."""
    intervals = drawn(np.random.default_rng(8), pods=8, syncs=5)

    fit = equivalence(intervals, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is False


@pytest.mark.parametrize("interval_s", [10.0, 16.0, 90.0])
def test_folk_laws_are_not_equivalent(interval_s: float) -> None:
    """A fixed period, of whatever length, is told from the law."""
    pods = {f"p{k}": [interval_s] * 100 for k in range(20)}
    intervals = table(pods, name="interval_s")

    fit = equivalence(intervals, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is False


def test_the_distance_from_the_law_by_hand() -> None:
    """A fixed period of 13 s has the law's mean interval: they part at t = 13.

    There F̂ = 1 and F = (11 + 0.8 + 0.6) / 13; before, the law is never ahead by more.
    """
    intervals = table({"p": [13.0] * 3}, name="interval_s")

    fit = equivalence(intervals, known_law(), sync_frequency_s=10)

    assert fit["sup_difference"] == pytest.approx(0.6 / 13, abs=1e-6)
    assert fit["p50_difference_s"] == pytest.approx(0.0, abs=1e-9)
    assert fit["p99_difference_s"] == pytest.approx(12.87 - 14.35, abs=0.001)
