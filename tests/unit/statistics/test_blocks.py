"""Blocks: what they sum, and what is taken for independent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmhot.clock import NS_PER_S
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.statistics import (
    confidence,
    delay_blocks,
    describe_intervals,
    interval_blocks,
)
from cmhot.statistics.blocks import MOST_BLOCKS, common_spread, stretches
from cmhot.statistics.limits import quantiles_of
from studies.draws import draw_delays, draw_refresh
from tests.unit.statistics.tables import CACHED, T0, delays, known_law, lost, refreshes

CACHE = Setting(10, Strategy.CACHE, 60.0)


def test_blocks_sum_what_each_pod_saw() -> None:
    """Numerators are Σ min(X, t) per pod, denominators Σ X."""
    blocks = interval_blocks(refreshes({"p": [11.0, 12.0], "q": [15.0]}))

    at = [int(np.searchsorted(blocks.t, t)) for t in (0.0, 7.5, 15.0)]
    assert blocks.below[:, at].tolist() == [[0, 15.0, 23.0], [0, 7.5, 15.0]]
    assert blocks.total.tolist() == [23.0, 15.0]
    assert blocks.moment.tolist() == [132.5, 112.5]
    assert blocks.cdf()[at].tolist() == pytest.approx([0, 22.5 / 38, 1])
    assert blocks.unit == "pods"


def test_blocks_of_shared_fetches() -> None:
    """With a least delay, what an update waits for anyway is taken off."""
    blocks = interval_blocks(refreshes({"p": [10.0, 15.0]}, least={"p": [0.0, 5.0]}))

    at = [int(np.searchsorted(blocks.t, t)) for t in (3.0, 7.5, 15.0)]
    assert blocks.below[0, at].tolist() == pytest.approx([3.0, 10.0, 20.0])
    assert blocks.total.tolist() == [20.0]
    assert blocks.mean_s() == pytest.approx(7.5)


def test_blocks_agree_with_the_estimator() -> None:
    """Summed over all pods, blocks are the interval estimator, at the law's corners."""
    table = draw_refresh(Setting(10), np.random.default_rng(2), pods=9, window_s=300.0)

    blocks = interval_blocks(table, law=known_law())
    (row,) = describe_intervals(table).to_dict("records")

    assert set(known_law().t.tolist()) <= set(blocks.t.tolist())
    assert blocks.mean_s() == pytest.approx(row["mean_s"])
    quantiles = quantiles_of(blocks.t, blocks.cdf(), [0.5, 0.99])
    assert quantiles == pytest.approx([row["p50_s"], row["p99_s"]], abs=0.001)


def test_the_worst_case_counts_what_never_came() -> None:
    """A timeout lies below no delay, however long."""
    table = delays({"p": [1.0, 2.0], "q": [3.0]})
    table = pd.concat([table, lost(table[-1:], "timeout", waited_s=9.0)])

    assert delay_blocks(table).cdf().tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    worst = delay_blocks(table, worst_case=True)
    assert worst.cdf().tolist() == [0.25, 0.5, 0.75]


def test_many_delays_are_looked_at_on_quantiles() -> None:
    """Beyond 1001 delays F̂ is exact at 1001 of them, per pod."""
    table = draw_delays(Setting(10), np.random.default_rng(1), pods=7, window_s=900.0)
    x = table["delay_s"].to_numpy()

    blocks = delay_blocks(table)

    assert len(blocks.t) == 1001
    assert blocks.cdf() == pytest.approx(
        [np.mean(x <= t) for t in blocks.t.tolist()], abs=1e-12
    )
    assert blocks.total.sum() == len(x)


def test_pods_of_a_cache_are_not_apart() -> None:
    """Under Cache with a TTL, blocks are stretches of time, long against a cycle."""
    rng = np.random.default_rng(4)
    table = draw_refresh(CACHE, rng, pods=20, window_s=3600.0, sharers=20)

    blocks = interval_blocks(table)

    assert blocks.unit == "stretches of time of cache entries"
    assert len(blocks.total) == 20
    assert (
        len(interval_blocks(table[table["start_ns"] < T0 + 400 * NS_PER_S]).total) < 4
    )


def test_where_a_ttl_has_no_effect_pods_are_apart() -> None:
    """From 1.24 to 1.28 each sync reads anew, whatever the TTL."""
    rng = np.random.default_rng(4)
    table = draw_refresh(CACHE, rng, pods=20, window_s=3600.0, sharers=20)

    assert interval_blocks(table, kubernetes="v1.28.3").unit == "pods"


def test_a_map_per_pod_makes_an_entry_per_pod() -> None:
    """Pods that share a node but not a ConfigMap do not share a cache entry."""
    table = pd.concat(
        [
            refreshes({f"p{k}": [66.0] * 5}).assign(**CACHED, configmap=f"map-{k}")
            for k in range(12)
        ]
    )

    assert len(interval_blocks(table).total) == 12
    assert len(interval_blocks(table.assign(configmap="one")).total) == 1


@pytest.mark.parametrize(
    ("duration_s", "entries", "ttl_s", "expected"),
    [
        (1530.0, 1, 60.0, 10),
        (1e6, 1, 60.0, 20),
        (1e6, 3, 60.0, 7),
        (1e6, 50, 60.0, 1),
        (100.0, 1, 60.0, 1),
        (1e6, 1, None, 1),
    ],
)
def test_stretches_of_time(
    duration_s: float, entries: int, ttl_s: float | None, expected: int
) -> None:
    """About twenty blocks, none below two longest cycles of T + 1.5 S + 1.2 s."""
    setting = Setting(10, Strategy.CACHE, ttl_s)

    assert stretches(duration_s, setting, entries=entries) == expected


def test_too_few_blocks_say_so() -> None:
    """Below the stated minimum the blocks name it."""
    few = interval_blocks(refreshes({f"p{k}": [11.0] for k in range(5)}))
    enough = interval_blocks(refreshes({f"p{k}": [11.0] for k in range(6)}))

    assert few.shortfall() == "too few independent pods: 5, and 6 are needed"
    assert enough.shortfall() is None


def test_very_many_pods_share_blocks() -> None:
    """Beyond a thousand pods a block is some of them: memory stays bounded."""
    table = refreshes({f"p{k}": [11.0] for k in range(MOST_BLOCKS + 500)})

    blocks = interval_blocks(table)

    assert len(blocks.total) == MOST_BLOCKS
    assert blocks.total.sum() == 11.0 * (MOST_BLOCKS + 500)


def test_runs_that_were_pooled_are_cut_one_by_one() -> None:
    """A day between two runs makes no stretch of time longer, or shorter."""
    rng = np.random.default_rng(6)
    one, other = (
        draw_refresh(CACHE, rng, pods=20, window_s=1700.0, sharers=20) for _ in range(2)
    )
    later = other.assign(node="m", start_ns=other["start_ns"] + 86_400 * NS_PER_S)

    blocks = interval_blocks(pd.concat([one, later]))

    assert len(blocks.total) == 20
    assert blocks.total.min() > 0.5 * blocks.total.max()


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
