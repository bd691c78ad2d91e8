"""Intervals and tests of the studies: exact, resampled, of two samples, by seconds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.statistics import equivalence, interval_blocks
from cmhot.statistics.limits import tail_share
from studies.checks import (
    bootstrap_confidence,
    equivalence_of_samples,
    exact_quantile,
    lattice_test,
    mean_in_step,
    median_of_stretches,
    smallest_n,
)
from studies.draws import TIMING, draw_refresh
from tests.unit.statistics.tables import counted, delays, known_law, lost, refreshes


@pytest.mark.parametrize(
    ("quantile", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)]
)
def test_the_smallest_number(quantile: float, n: int) -> None:
    """One delay fewer leaves an end open, by scipy's own interval."""
    table = delays({f"p{k}": [float(k)] for k in range(n)})

    low, high = exact_quantile(table, quantile=quantile)

    assert smallest_n(quantile) == n
    assert math.isfinite(low)
    assert math.isfinite(high)
    test: Any = stats.quantile_test(list(range(n - 1)), p=quantile)
    fewer = test.confidence_interval(0.95)
    assert not (math.isfinite(fewer.low) and math.isfinite(fewer.high))
    with pytest.raises(UsageError, match=f"{n} independent ones are needed"):
        exact_quantile(table[1:], quantile=quantile)


def test_low_quantiles_take_as_many_as_high_ones() -> None:
    """The tenth part needs as many delays as the nine tenths."""
    assert smallest_n(0.1) == 36


def test_order_statistics_by_hand() -> None:
    """Of 1 … 10 the median's limits are the 2nd and the 9th: P(B ≤ 1) = 11/1024.

    P(B ≤ 2) = 56/1024 = 0.055 is above the tail's 0.025.
    """
    table = delays({f"p{k}": [float(k)] for k in range(1, 11)})

    assert exact_quantile(table, quantile=0.5) == (2.0, 9.0)


def test_what_never_came_is_endless() -> None:
    """A timeout is larger than any delay: with two of ten the high end is open."""
    table = delays({f"p{k}": [float(k)] for k in range(1, 11)})
    table = pd.concat([table[:8], lost(table[8:], "timeout", waited_s=5.0)])

    assert exact_quantile(table, quantile=0.5) == (2.0, math.inf)


def test_rows_that_share_a_publication_are_refused() -> None:
    """Updates that came with one sync are one observation."""
    table = delays({"p": [float(k) for k in range(10)]}).assign(sync=3)

    with pytest.raises(UsageError, match="9 rows share a publication"):
        exact_quantile(table, quantile=0.5)


@pytest.mark.parametrize(("quantile", "level"), [(0.0, 0.95), (1.0, 0.95), (0.5, 1.0)])
def test_nonsense_has_no_smallest_number(quantile: float, level: float) -> None:
    """Quantile and level lie between 0 and 1."""
    with pytest.raises(UsageError, match="between 0 and 1"):
        smallest_n(quantile, level=level)


def test_the_bootstraps_mean_is_the_textbooks() -> None:
    """Its interval of the mean is that of scipy's bootstrap of a ratio, percentiles."""
    rng = np.random.default_rng(5)
    x = rng.uniform(11, 15, (40, 6))
    blocks = interval_blocks(
        refreshes({f"p{k}": row.tolist() for k, row in enumerate(x)})
    )

    (low, high) = bootstrap_confidence(blocks, seed=2)["mean_s"] or (0.0, 0.0)

    by_scipy = stats.bootstrap(
        (blocks.moment, blocks.total),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        method="percentile",
        confidence_level=1 - 2 * tail_share(40, 0.025),
        n_resamples=2000,
        rng=np.random.default_rng(7),
    ).confidence_interval
    width = by_scipy.high - by_scipy.low
    assert (low, high) == pytest.approx((by_scipy.low, by_scipy.high), abs=0.1 * width)


def test_two_samples_of_the_law_agree() -> None:
    """Measured and modelled by the same law are shown to agree, in either order."""
    rng = np.random.default_rng(3)
    first, second = (
        draw_refresh(Setting(10), rng, pods=20, window_s=3600.0) for _ in range(2)
    )

    one = equivalence_of_samples(first, second, sync_frequency_s=10)
    other = equivalence_of_samples(second, first, sync_frequency_s=10)

    assert one["equivalent"] is True
    assert other["equivalent"] is True
    for fit, sign in ((one, 1), (other, -1)):
        assert isinstance(fit["p50_difference_s"], float)
        assert isinstance(one["p50_difference_s"], float)
        assert fit["p50_difference_s"] * sign == pytest.approx(one["p50_difference_s"])


def test_a_sample_agrees_with_a_long_one_as_with_the_law() -> None:
    """Against a very long sample the differences are those from the law."""
    rng = np.random.default_rng(4)
    table = draw_refresh(Setting(10), rng, pods=10, window_s=600.0)
    long = draw_refresh(Setting(10), rng, pods=100, window_s=20_000.0)

    by_sample = equivalence_of_samples(table, long, sync_frequency_s=10)
    by_law = equivalence(table, known_law(), sync_frequency_s=10)

    for name in ("p50_difference_s", "p99_difference_s"):
        assert by_sample[name] == pytest.approx(by_law[name], abs=0.02)
    assert by_sample["sup_difference"] == pytest.approx(
        by_law["sup_difference"], abs=0.003
    )


def test_samples_that_differ_do_not_agree() -> None:
    """Intervals a fifth of a second longer are beyond the margin at S = 10 s."""
    rng = np.random.default_rng(5)
    first, second = (
        draw_refresh(Setting(10), rng, pods=20, window_s=3600.0) for _ in range(2)
    )
    second["most_s"] += 0.3

    fit = equivalence_of_samples(first, second, sync_frequency_s=10)

    assert fit["equivalent"] is False


def test_samples_with_few_pods_have_no_verdict() -> None:
    """Both need the stated minimum of blocks."""
    rng = np.random.default_rng(6)
    first = draw_refresh(Setting(10), rng, pods=20, window_s=300.0)
    second = draw_refresh(Setting(10), rng, pods=5, window_s=300.0)

    assert (
        equivalence_of_samples(first, second, sync_frequency_s=10)["equivalent"] is None
    )


def test_samples_are_of_one_setting() -> None:
    """Another setting is another population."""
    first = refreshes({"p": [11.0]})

    with pytest.raises(UsageError, match="not to be compared"):
        equivalence_of_samples(
            first, first.assign(sync_frequency_s=60.0), sync_frequency_s=10
        )


def test_chi_square_by_hand() -> None:
    """Counts 30, 20, 20, 20, 10 where 20 each are expected: χ² = 5 + 5 = 10."""
    counts = {11.0: 30, 12.0: 20, 13.0: 20, 14.0: 20, 15.0: 10}

    found = lattice_test(refreshes(counted(counts)), Setting(10))

    assert found.statistic == pytest.approx(10.0)
    assert found.degrees == 4
    assert found.p_value == pytest.approx(stats.chi2.sf(10.0, 4))
    assert (found.foreign, found.n) == (0, 100)


def test_the_loops_are_rounded_away() -> None:
    """Volume loops move an interval by up to 0.2 s: it is still of its second."""
    exact = refreshes(counted({11.0: 30, 12.0: 20, 13.0: 20, 14.0: 20, 15.0: 10}))
    moved = exact.assign(most_s=exact["most_s"] + np.resize([0.19, -0.19], len(exact)))

    assert lattice_test(moved, Setting(10)) == lattice_test(exact, Setting(10))


def test_the_law_passes_and_another_s_does_not() -> None:
    """Intervals at S = 12 s fit 12 s, and not 10 s."""
    table = draw_refresh(Setting(12), np.random.default_rng(3), pods=20, window_s=300.0)

    assert lattice_test(table, Setting(12), timing=TIMING).p_value > 0.05
    assert lattice_test(table, Setting(10), timing=TIMING).p_value < 1e-6


def test_an_impossible_interval_rejects() -> None:
    """A second that the law does not have is foreign, and the p-value 0."""
    counts = {10.0: 1, 11.0: 20, 12.0: 20, 13.0: 20, 14.0: 20, 15.0: 20}

    found = lattice_test(refreshes(counted(counts)), Setting(10))

    assert found.foreign == 1
    assert found.p_value == 0.0


def test_a_degenerate_law_has_nothing_to_test() -> None:
    """At S = 2 s all intervals are 3 s."""
    with pytest.raises(UsageError, match="no two seconds to compare"):
        lattice_test(refreshes({"p": [3.0] * 50}), Setting(2))


def test_rare_seconds_are_put_together() -> None:
    """Of 15 intervals over five seconds each expects 3: two by two make 6."""
    counts = {11.0: 3, 12.0: 3, 13.0: 3, 14.0: 3, 15.0: 3}

    found = lattice_test(refreshes(counted(counts)), Setting(10))

    assert found.degrees == 1


def test_pods_in_step_are_no_independent_blocks() -> None:
    """Ten pods that are all alike are worth as much as one: time alone is counted."""
    made_s = np.arange(40.0)
    waits = np.repeat([8.0, 12.0, 9.0, 11.0], 10)[None, :]

    mean, (low, high) = mean_in_step(waits, made_s)

    found = mean_in_step(np.repeat(waits, 10, axis=0), made_s)
    # a mean of ten equal numbers may differ from them in its last digit
    assert [found[0], *found[1]] == pytest.approx([mean, low, high], rel=1e-12)
    assert mean == 10.0
    # Student's 3.182 of four stretches, whose means have a standard error of 0.913
    assert high - mean == pytest.approx(mean - low) == pytest.approx(2.905, abs=0.001)


def test_a_trend_widens_the_limits_of_a_median() -> None:
    """Six stretches of trials: the least and the largest of their medians."""
    calm = np.tile([1.0, 2.0, 3.0], 6)

    assert median_of_stretches(calm) == (2.0, 2.0)
    assert median_of_stretches(calm + np.repeat(np.arange(6.0), 3)) == (2.0, 7.0)
