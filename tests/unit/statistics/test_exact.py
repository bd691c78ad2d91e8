"""Exact intervals: smallest numbers, order statistics and pods that never change."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from cmhot.errors import RunError, UsageError
from cmhot.statistics import exact_quantile, never_updates, smallest_n
from tests.unit.statistics.tables import POPULATION, delays, lost


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
