"""Draws: stationary, on the tick, and sharing what was fetched."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import interval_pmf, law_for
from studies.draws import draw_looks

CACHE = Setting(10, Strategy.CACHE, 60.0)


def test_intervals_are_the_laws() -> None:
    """Without loops, looks are 11 … 15 s apart, each as often."""
    looks, current = draw_looks(
        Setting(10), np.random.default_rng(1), entry=np.zeros(400, int), until_s=300.0
    )

    lives = np.rint(np.diff(looks, axis=1)).astype(int)
    counts = np.bincount(lives.ravel())[11:16]
    assert lives.min() == 11
    assert lives.max() == 15
    assert stats.chisquare(counts).pvalue > 0.01
    assert (current == looks).all()


@pytest.mark.parametrize("at_s", [0.0, 7.0, 150.0])
def test_pods_are_in_equilibrium_throughout(at_s: float) -> None:
    """The wait from any instant on follows the law: Kolmogorov's test at 1 %."""
    entry = np.arange(2000)
    looks, _ = draw_looks(
        Setting(10), np.random.default_rng(2), entry=entry, until_s=200.0
    )

    wait = np.where(looks >= at_s, looks - at_s, np.inf).min(axis=1)

    law = law_for(Setting(10))
    assert law is not None
    assert stats.kstest(law.cdf(wait), "uniform").pvalue > 0.01


def test_pods_of_a_node_share_its_tick() -> None:
    """All looks of a kubelet are at one phase of the second; another's is another."""
    entry = np.repeat([0, 1], 10)
    looks, _ = draw_looks(
        Setting(10), np.random.default_rng(3), entry=entry, until_s=60.0
    )

    first, second = (np.round(looks[entry == k] % 1.0, 6) % 1.0 for k in (0, 1))
    assert len(np.unique(first)) == 1
    assert len(np.unique(second)) == 1
    assert np.unique(first) != np.unique(second)


def test_sharers_see_what_one_of_them_fetched() -> None:
    """Content is of the last fetch; fetches are a TTL apart or more, and looks."""
    looks, current = draw_looks(
        CACHE,
        np.random.default_rng(4),
        entry=np.zeros(20, int),
        until_s=900.0,
        timing=TYPICAL,
    )

    inside = looks > 0
    fetches = np.unique(current[inside])
    assert (current[inside] <= looks[inside]).all()
    assert np.diff(fetches).min() >= 60.0
    assert np.diff(fetches).max() <= 60.0 + 16.2
    assert np.isin(fetches, looks).all()
    for at in looks[inside][:50]:
        assert current[looks == at][0] == fetches[fetches <= at].max()


def test_a_ttl_without_effect() -> None:
    """In 1.24 to 1.28 each look is current, whatever the TTL."""
    looks, current = draw_looks(
        CACHE,
        np.random.default_rng(5),
        entry=np.zeros(5, int),
        until_s=60.0,
        kubernetes="v1.26.0",
    )

    assert (looks == current).all()


def test_the_window_is_covered() -> None:
    """Looks go on for a longest delay beyond the window, and begin within one of it."""
    for setting, longest in ((Setting(10), 16.2), (CACHE, 76.2)):
        looks, _ = draw_looks(
            setting, np.random.default_rng(6), entry=np.zeros(50, int), until_s=100.0
        )
        assert (looks.max(axis=1) >= 100.0 + longest).all()
        assert (looks.min(axis=1) <= interval_pmf(setting)[0][-1]).all()
