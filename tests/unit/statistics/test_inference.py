"""S inferred from intervals, and the lattice of their values."""

from __future__ import annotations

import numpy as np
import pytest

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.statistics import infer_sync_frequency
from studies.checks import lattice_test
from studies.draws import draw_refresh
from tests.unit.statistics.tables import counted, refreshes


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
