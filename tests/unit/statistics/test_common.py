"""What pods have in common at an update, and what it costs in precision."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmhot.kubelet.settings import Setting
from cmhot.statistics import confidence, delay_blocks
from cmhot.statistics.blocks import common_spread
from studies.draws import draw_delays
from tests.unit.statistics.tables import delays


def test_the_common_part_by_hand() -> None:
    """Two pods wait alike, 1 s and 3 s: below 2 s the residuals are ½, ½ and -½, -½.

    Between updates (½ + ½)² + (-½ - ½)² = 2, of rows 4 · ¼ = 1: the rest is 1;
    of the sums of delays (1 + 1)² · 2 - 4 · 1 = 4.
    """
    table = delays({"p": [1.0, 3.0], "q": [1.0, 3.0]})

    found = common_spread(table, table["delay_s"].to_numpy(), np.array([2.0, 3.0]))

    assert found is not None
    assert found.below.tolist() == [1.0, 0.0]
    assert found.moment == 4.0
    assert found.noise.tolist() == [2.0**2, 0.0]
    assert found.moment_noise == 8.0**2


def test_pods_that_differ_have_nothing_in_common() -> None:
    """What one waits longer the other waits less: below zero there is nothing."""
    table = delays({"p": [1.0, 3.0], "q": [3.0, 1.0]})

    found = common_spread(table, table["delay_s"].to_numpy(), np.array([2.0]))

    assert found is not None
    assert found.below.tolist() == [0.0]
    assert found.moment == 0.0


def test_pods_on_different_nodes_do_not_share_a_tick() -> None:
    """An update is one thing per kubelet."""
    table = delays({"p": [1.0, 3.0], "q": [1.0, 3.0]})
    table["node"] = table["pod"]

    found = common_spread(table, table["delay_s"].to_numpy(), np.array([2.0]))

    assert found is not None
    assert found.below.tolist() == [0.0]


def test_the_hour_does_not_matter() -> None:
    """Who shifts all stamps of a run, to give it away, has the same limits."""
    table = draw_delays(Setting(10), np.random.default_rng(1), pods=20, window_s=600.0)
    later = table.assign(acked_ns=table["acked_ns"] + 86_400_123_456_789)
    t, waited = np.array([3.0, 6.6]), table["delay_s"].to_numpy()

    found, shifted = common_spread(table, waited, t), common_spread(later, waited, t)

    assert found is not None
    assert shifted is not None
    assert found.noise.tolist() == shifted.noise.tolist()


def test_without_stamps_nothing_is_known_of_it() -> None:
    """Tables that do not say when updates were made, or of one update, add nothing."""
    table = delays({"p": [1.0, 3.0]}).drop(columns="acked_ns")

    t = np.array([2.0])

    assert common_spread(table, table["delay_s"].to_numpy(), t) is None
    one = delays({"p": [1.0], "q": [3.0]})
    assert common_spread(one, one["delay_s"].to_numpy(), t) is None


def test_it_is_found_in_what_kubelets_make() -> None:
    """At S = 10 s the median's share jumps by 1/13 with the tick's phase.

    Of n updates and m pods it adds about n m² / (4 · 13²) to the spread of the sum.
    """
    rng = np.random.default_rng(1)
    sums = []
    for _ in range(60):
        table = draw_delays(Setting(10), rng, pods=40, window_s=300.0)
        found = common_spread(table, table["delay_s"].to_numpy(), np.array([6.6]))
        assert found is not None
        sums.append(found.below[0] / (len(table) / 40) / 40**2)

    assert np.mean(sums) == pytest.approx(1 / (4 * 13**2), rel=0.3)


def test_few_updates_and_many_pods_widen_the_limits() -> None:
    """With sixty pods and one minute of updates the tick matters for the median."""
    rng = np.random.default_rng(2)
    widths = np.zeros(2)
    for _ in range(10):
        table = draw_delays(Setting(10), rng, pods=60, window_s=60.0)
        alone = table.assign(node=table["pod"])
        for place, one in enumerate((table, alone)):
            pair = confidence(delay_blocks(one))["p50_s"]
            assert pair is not None
            widths[place] += pair[1] - pair[0]

    assert widths[0] > 1.15 * widths[1]


def test_waiting_in_vain_is_no_trouble() -> None:
    """Endless delays have no mean, and a share all the same."""
    table = pd.concat([delays({"p": [1.0, 3.0]}), delays({"q": [1.0, 3.0]})])

    found = common_spread(table, np.array([1.0, np.inf, 1.0, np.inf]), np.array([2.0]))

    assert found is not None
    assert found.below.tolist() == [1.0]
    assert np.isnan(found.moment)
