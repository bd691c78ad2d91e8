"""Agreement is shown by bounds within margins, not by a test that did not reject."""

from __future__ import annotations

import numpy as np
import pytest

from cmhot.kubelet.settings import Setting
from cmhot.law import Law
from cmhot.statistics import (
    equivalence,
    interval_blocks,
)
from studies.checks import bootstrap_confidence
from studies.draws import draw_refresh
from tests.unit.statistics.tables import known_law, refreshes


def test_data_that_obey_the_law_are_shown_equivalent() -> None:
    """With enough syncs the bounds lie within the margins, each time the same."""
    table = draw_refresh(
        Setting(10), np.random.default_rng(8), pods=20, window_s=1800.0
    )

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is True
    assert fit == equivalence(table, known_law(), sync_frequency_s=10)
    assert isinstance(fit["sup_difference"], float)
    assert isinstance(fit["upper_95"], float)
    assert fit["sup_difference"] <= fit["upper_95"] <= 0.02


def test_too_little_data_do_not_show_equivalence() -> None:
    """A fit that looks good on few syncs is no agreement."""
    table = draw_refresh(Setting(10), np.random.default_rng(8), pods=8, window_s=60.0)

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is False


def test_few_pods_have_no_verdict() -> None:
    """Below the stated minimum of blocks there is none, however long."""
    table = draw_refresh(Setting(10), np.random.default_rng(1), pods=5, window_s=2000.0)

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["upper_95"] is None
    assert fit["equivalent"] is None


@pytest.mark.parametrize("interval_s", [10.0, 16.0, 90.0])
def test_other_periods_are_not_equivalent(interval_s: float) -> None:
    """A fixed period, of whatever length, is told from the law."""
    table = refreshes({f"p{k}": [interval_s] * 100 for k in range(20)})

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is False


def test_the_distance_from_the_law_by_hand() -> None:
    """A fixed period of 13 s has the law's mean interval: they part at t = 13.

    There F̂ = 1 and F = (11 + 0.8 + 0.6) / 13; before, the law is never ahead by more.
    """
    fit = equivalence(refreshes({"p": [13.0] * 3}), known_law(), sync_frequency_s=10)

    assert fit["sup_difference"] == pytest.approx(0.6 / 13, abs=1e-6)
    assert fit["p50_difference_s"] == pytest.approx(0.0, abs=1e-9)
    assert fit["p99_difference_s"] == pytest.approx(12.87 - 14.35, abs=0.001)


def test_the_bounds_are_those_of_the_bootstrap() -> None:
    """Where p50 alone decides, the verdict is whether its 90 % limits keep the margin.

    The law is moved up and down until the bootstrap's limit of the median touches it,
    which is known to 0.2 s: resamples differ, and the tail is moved for few blocks.
    """
    table = draw_refresh(
        Setting(60), np.random.default_rng(2), pods=30, window_s=6000.0
    )
    pair = bootstrap_confidence(interval_blocks(table), level=0.90)["p50_s"]
    assert pair is not None
    for end, sign in ((pair[1], 1), (pair[0], -1)):
        for extra, expected in ((0.2, True), (-0.2, False)):
            median = end - sign * (0.5 - extra)
            fit = equivalence(table, moved_law(median), sync_frequency_s=60)
            assert fit["equivalent"] is expected


def moved_law(median_s: float) -> Law:
    """Give the law at 60 s with another median, and all else moved alike."""
    law = known_law(60)
    t = law.t + median_s - float(law.quantile(0.5))
    return Law(np.append(-100.0, t), np.append(0.0, law.share), law.max_s)


def test_a_tail_that_differs_is_no_agreement() -> None:
    """The last tenth twice as wide moves p99 beyond its margin, and little else."""
    table = draw_refresh(
        Setting(60), np.random.default_rng(2), pods=30, window_s=6000.0
    )
    law = known_law(60)
    p97 = float(law.quantile(0.97))
    t = np.union1d(law.t, p97)
    wide = Law(t + np.maximum(t - p97, 0), law.cdf(t), 2 * law.max_s)

    fit = equivalence(table, wide, sync_frequency_s=60)

    assert isinstance(fit["upper_95"], float)
    assert fit["upper_95"] <= 0.02
    assert fit["equivalent"] is False
