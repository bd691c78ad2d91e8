"""S inferred from intervals, and the lattice of their values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.statistics import infer_sync_frequency, lattice_test
from studies.draws import TIMING, draw_refresh
from tests.unit.statistics.tables import refreshes


def counted(counts: dict[float, int]) -> dict[str, list[float]]:
    """Give so many intervals of each length, in one pod."""
    return {"p": [x for x, number in counts.items() for _ in range(number)]}


@pytest.mark.parametrize("sync_s", [2.0, 5.0, 7.5, 10.0, 10.3, 60.0])
def test_s_is_found(sync_s: float) -> None:
    """From some hundred intervals S is known to a tick's rounding or better."""
    table = draw_refresh(
        Setting(sync_s), np.random.default_rng(1), pods=20, window_s=30 * sync_s
    )

    found = infer_sync_frequency(table)

    assert found.low_s <= sync_s <= found.high_s
    assert found.sync_frequency_s == pytest.approx(sync_s, abs=0.25)
    assert found.n == len(table)


def test_the_hard_limits_hold() -> None:
    """(max X - 1) / 1.5 ≤ S < min X: with 11 … 15 between 9.33 and 11."""
    found = infer_sync_frequency(
        refreshes(counted({11.0: 20, 12.0: 20, 13.0: 20, 14.0: 20, 15.0: 20}))
    )

    assert 14 / 1.5 <= found.low_s <= found.high_s <= 11
    assert found.sync_frequency_s == pytest.approx(10.0, abs=0.05)
    assert found.foreign == 0


def test_the_likelihood_by_hand() -> None:
    """At S = 10.4 cells 11 … 16 have .6, 1, 1, 1, 1, .6 of 5.2: counts as such find it.

    The law's cells are [10, 11) … [15, 16) cut to [10.4, 15.6).
    """
    counts = {11.0: 60, 12.0: 100, 13.0: 100, 14.0: 100, 15.0: 100, 16.0: 60}

    found = infer_sync_frequency(refreshes(counted(counts)))

    assert found.sync_frequency_s == pytest.approx(10.4, abs=0.03)


def test_merged_and_extra_intervals_do_no_harm() -> None:
    """Five in a hundred that are twice as long, or cut short, leave S where it is."""
    table = draw_refresh(Setting(10), np.random.default_rng(2), pods=20, window_s=300.0)
    odd = np.arange(len(table)) % 20 == 0
    table.loc[odd, "most_s"] *= np.where(np.arange(odd.sum()) % 2, 2.0, 0.3)

    found = infer_sync_frequency(table)

    assert found.low_s <= 10 <= found.high_s
    assert found.sync_frequency_s == pytest.approx(10, abs=0.1)
    assert found.foreign == pytest.approx(odd.sum(), abs=2)


def test_few_intervals_are_not_enough() -> None:
    """Nineteen intervals say too little."""
    with pytest.raises(UsageError, match="19 intervals say too little"):
        infer_sync_frequency(refreshes({"p": [11.0] * 19}))


def test_refreshes_of_a_cache_are_no_syncs() -> None:
    """Where pods share a fetch nothing is said of their syncs."""
    table = refreshes({"p": [60.0] * 30}, least={"p": [5.0] * 30})

    with pytest.raises(RunError, match="a refresh is no sync"):
        infer_sync_frequency(table)
    with pytest.raises(RunError, match="a refresh is no sync"):
        lattice_test(table, Setting(10))


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
