"""Sampled sync instants: a renewal process in equilibrium, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.eras import IDEAL, TYPICAL, Timing
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import law_for
from studies.syncs import sync_instants


def rng() -> np.random.Generator:
    """Make a generator, always the same."""
    return np.random.default_rng(1)


@pytest.mark.parametrize(
    ("sync_s", "weights"),
    [
        (2, {3: 1.0}),
        (5, {6: 0.4, 7: 0.4, 8: 0.2}),
        (10, {11: 0.2, 12: 0.2, 13: 0.2, 14: 0.2, 15: 0.2}),
    ],
)
def test_intervals_are_whole_seconds(
    sync_s: float, weights: dict[float, float]
) -> None:
    """Without loops: the lattice and its weights."""
    instants = sync_instants(
        Setting(sync_s), pods=2000, syncs=51, rng=rng(), timing=IDEAL
    )

    values, counts = np.unique(np.diff(instants).round(9), return_counts=True)
    # 100,000 intervals: four standard errors of a share are 0.006
    shares = dict(zip(values.tolist(), (counts / 100_000).tolist(), strict=True))
    assert shares == pytest.approx(weights, abs=0.006)


def test_a_sync_that_takes_time_shifts_the_lattice() -> None:
    """S = 2 s and ε = 0.25 s: 3 s in three cases of four, else 4 s."""
    timing = Timing(sync_s=0.25, has_loops=False)
    instants = sync_instants(Setting(2), pods=1000, syncs=101, rng=rng(), timing=timing)

    assert (np.diff(instants) < 3.5).mean() == pytest.approx(0.75, abs=0.006)


@pytest.mark.parametrize(
    ("pods", "syncs"), [(1, 1), (3, 1000), (1500, 7), (2048, 33), (5, 16)]
)
def test_any_shape_is_filled(pods: int, syncs: int) -> None:
    """Whatever the chunks: rows ascend by S + 0.8 s at least, from the first on."""
    instants = sync_instants(Setting(10), pods=pods, syncs=syncs, rng=rng())

    assert instants.shape == (pods, syncs)
    assert instants[:, 0].min() > 0
    assert instants[:, 0].max() < 15.2
    gaps = np.diff(instants, axis=1)
    assert gaps.size == 0 or (gaps.min() > 10.8 and gaps.max() < 15.2 + 1)


def test_looks_follow_the_tick_by_two_loops() -> None:
    """All looks of a pod lie in one window of 0.2 s of the second, however many.

    Two of them differ by four uniforms on 0.1 s: a standard deviation of 0.0577 s.
    """
    instants = sync_instants(Setting(10), pods=20, syncs=1000, rng=rng())

    late = instants - instants[:, :1]
    late -= late.round()
    assert np.abs(late).max() < 0.2
    apart = np.diff(late, axis=1)
    # 20,000 differences: four standard errors of a deviation are 0.0012 s
    assert apart.std() == pytest.approx(0.0577, abs=0.0015)


def test_they_are_stationary() -> None:
    """In each second from 0.2 s on there are 1/13.01 syncs per pod."""
    instants = sync_instants(Setting(10), pods=400_000, syncs=3, rng=rng())

    counts, _ = np.histogram(instants, bins=np.arange(0.2, 20.3))
    # 30,000 a second: four standard errors are 2.3 %
    assert counts / 400_000 * 13.01 == pytest.approx(1, abs=0.023)


@pytest.mark.parametrize("strategy", [Strategy.WATCH, Strategy.CACHE])
def test_delays_follow_the_law(strategy: Strategy) -> None:
    """At any instants that know nothing of the syncs."""
    setting = Setting(60, strategy, 0)
    instants = sync_instants(setting, pods=20_000, syncs=6, rng=rng())

    found = [
        own[np.searchsorted(own, at_s + TYPICAL.staleness_s)] + TYPICAL.write_s - at_s
        for at_s in (1.0, 33.3, 200.5)
        for own in instants
    ]

    law = law_for(setting, timing=TYPICAL)
    assert law is not None
    t = np.linspace(0, 91, 100)
    shares = np.searchsorted(np.sort(found), t, "right") / len(found)
    # 60,000 delays: the Kolmogorov distance stays below 0.008 in 999 cases of 1000
    assert np.abs(shares - law.cdf(t)).max() < 0.008


def test_a_cache_is_refused() -> None:
    """Pods that share what one of them fetched are no renewal processes."""
    with pytest.raises(UsageError, match=r"cmhot\.cluster\.model\.simulate"):
        sync_instants(Setting(10, Strategy.CACHE, 60), pods=1, syncs=1, rng=rng())
    with pytest.raises(UsageError, match=r"cmhot\.cluster\.model\.simulate"):
        sync_instants(Setting(10, Strategy.CACHE, None), pods=1, syncs=1, rng=rng())
