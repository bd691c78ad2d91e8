"""Differences between settings, and families of tests."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.statistics import (
    compare_means,
    compare_quantiles,
    confidence,
    delay_blocks,
    holm,
    interval_blocks,
)
from studies.draws import draw_refresh, truth
from tests.unit.statistics.tables import delays, lost, refreshes


def test_settings_that_differ_are_told_apart() -> None:
    """10 s against 12 s: differences are the law's, and p-values small."""
    rng = np.random.default_rng(1)
    samples = {
        f"{s} s": interval_blocks(
            draw_refresh(Setting(s), rng, pods=20, window_s=600.0)
        )
        for s in (10, 12)
    }

    found = compare_quantiles(samples, family=[("12 s", "10 s")], quantiles=[0.5, 0.95])

    true = truth(Setting(12)).quantile([0.5, 0.95]) - truth(Setting(10)).quantile(
        [0.5, 0.95]
    )
    assert (found["low_s"] < true).all()
    assert (true < found["high_s"]).all()
    assert (found["p_holm"] < 0.001).all()


def test_a_sample_does_not_differ_from_itself() -> None:
    """The difference is zero, and the interval about √2 times that of the quantile."""
    table = draw_refresh(Setting(10), np.random.default_rng(2), pods=30, window_s=300.0)
    blocks = interval_blocks(table)

    found = compare_quantiles({"a": blocks, "b": blocks}, family=[("a", "b")])

    assert found["difference_s"].tolist() == [0.0, 0.0]
    assert found["p_value"].tolist() == [1.0, 1.0]
    pair = confidence(blocks)["p50_s"]
    assert pair is not None
    assert found["high_s"][0] == pytest.approx(
        math.sqrt(2) * (pair[1] - pair[0]) / 2, rel=0.25
    )


def test_means_of_a_sample_are_as_far_apart_as_it_is_wide() -> None:
    """Against itself the difference is 0 and its interval √2 times the mean's own.

    Welch's degrees of freedom are twice as many: t is 3 % less for 30 pods.
    """
    table = draw_refresh(Setting(10), np.random.default_rng(2), pods=30, window_s=300.0)
    blocks = interval_blocks(table)

    found = compare_means({"a": blocks, "b": blocks}, family=[("a", "b")])

    assert found["difference_s"].tolist() == [0.0]
    assert found["p_value"].tolist() == [1.0]
    pair = confidence(blocks)["mean_s"]
    assert pair is not None
    assert found["high_s"][0] == pytest.approx(
        math.sqrt(2) * (pair[1] - pair[0]) / 2, rel=0.04
    )


def test_means_by_hand() -> None:
    """Eight pods of 4 s less eight of 6 s, each ± 1 s, is -2 s with SE 0.535 s.

    Of eight values 4 ± 1 the variance of the mean is 8/7 · 8 / 64 = 1/7; twice that
    is 0.286, its root 0.535; Student's 97.5 % point with 14 degrees is 2.145.
    """
    few = {f"p{k}": [3.0 + 2 * (k % 2)] for k in range(8)}
    more = {f"p{k}": [5.0 + 2 * (k % 2)] for k in range(8)}
    samples = {"a": delay_blocks(delays(few)), "b": delay_blocks(delays(more))}

    (row,) = compare_means(samples, family=[("a", "b")]).to_dict("records")

    assert row["difference_s"] == -2.0
    assert row["low_s"] == pytest.approx(-2 - 2.145 * 0.5345, abs=1e-3)
    assert row["high_s"] == pytest.approx(-2 + 2.145 * 0.5345, abs=1e-3)


def test_the_order_of_a_pair_turns_the_sign() -> None:
    """First less second; the p-value does not care."""
    rng = np.random.default_rng(3)
    samples = {
        name: interval_blocks(draw_refresh(Setting(10), rng, pods=8, window_s=200.0))
        for name in "ab"
    }

    one = compare_quantiles(samples, family=[("a", "b")]).iloc[0]
    other = compare_quantiles(samples, family=[("b", "a")]).iloc[0]

    assert one["difference_s"] == pytest.approx(-other["difference_s"])
    assert one["p_value"] == pytest.approx(other["p_value"], abs=0.05)


def test_endless_quantiles_do_not_compare() -> None:
    """A quantile that was not reached gives NaN, not a number."""
    table = delays({f"p{k}": [1.0 + k / 10, 2.0] for k in range(8)})
    late = table["sync"] == 2
    table = pd.concat([table[~late], lost(table[late], "timeout", waited_s=9.0)])
    blocks = delay_blocks(table, worst_case=True)

    found = compare_quantiles(
        {"a": blocks, "b": blocks}, family=[("a", "b")], quantiles=[0.95]
    )

    assert math.isnan(found["difference_s"][0])
    assert math.isnan(found["p_holm"][0])


@pytest.mark.parametrize(
    ("family", "message"),
    [([], "no pair"), ([("a", "z")], "no sample 'z'"), ([("a", "few")], "5, and 6")],
)
def test_what_cannot_be_compared(family: list[tuple[str, str]], message: str) -> None:
    """Families name samples, with blocks enough."""
    samples = {
        "a": interval_blocks(refreshes({f"p{k}": [11.0, 12.0] for k in range(8)})),
        "few": interval_blocks(refreshes({f"p{k}": [11.0, 12.0] for k in range(5)})),
    }

    with pytest.raises(UsageError, match=message):
        compare_quantiles(samples, family=family)


def test_holm_by_hand() -> None:
    """0.01 · 4, 0.02 · 3, then 0.03 · 2 and 0.04, none below one before."""
    adjusted = holm([0.04, 0.01, 0.03, 0.02])

    assert adjusted.tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_ends_at_one_and_keeps_what_is_unknown() -> None:
    """No p-value is above 1; NaN stays, and counts as a test."""
    adjusted = holm([0.6, 0.6, math.nan])

    assert adjusted[:2].tolist() == [1.0, 1.0]
    assert math.isnan(adjusted[2])


def test_holm_controls_a_family() -> None:
    """Of 2000 families of five true hypotheses 5 % err, ± 1.5 % (three SE)."""
    p = np.random.default_rng(4).random((2000, 5))

    errs = np.mean([holm(family).min() <= 0.05 for family in p])

    assert errs == pytest.approx(0.05, abs=0.015)


def test_what_is_no_p_value() -> None:
    """Values outside 0 … 1 are refused."""
    with pytest.raises(UsageError, match="no p-values"):
        holm([0.5, 1.5])
