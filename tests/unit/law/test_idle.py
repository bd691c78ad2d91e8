"""The law of an idle pod: closed forms, an independent simulation, consistency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.eras import Timing
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import equilibrium, interval_pmf, law_for, mean_interval_s

if TYPE_CHECKING:
    from cmhot.law import Law


def known_law(sync_frequency_s: float) -> Law:
    """Give the law under Watch."""
    law = law_for(Setting(sync_frequency_s))
    assert law is not None
    return law


@pytest.mark.parametrize(
    ("sync_frequency_s", "values", "probabilities"),
    [
        (1, [2], [1]),
        (2, [3], [1]),
        (5, [6, 7, 8], [0.4, 0.4, 0.2]),
        (10, [11, 12, 13, 14, 15], [0.2] * 5),
        (0.5, [1], [1]),
        (1.5, [2, 3], [2 / 3, 1 / 3]),
    ],
)
def test_intervals_lie_on_the_tick(
    sync_frequency_s: float, values: list[int], probabilities: list[float]
) -> None:
    """Syncs are whole seconds apart, with the weights of S (1 + U/2)'s seconds."""
    found, weights = interval_pmf(Setting(sync_frequency_s))

    assert found.tolist() == values
    assert weights.tolist() == pytest.approx(probabilities)


def test_the_default_has_thirty_intervals() -> None:
    """At S = 60 s the interval is 61 … 90 s, equally likely, 75.5 s on average."""
    values, probabilities = interval_pmf(Setting(60))

    assert values.tolist() == list(range(61, 91))
    assert probabilities.tolist() == pytest.approx([1 / 30] * 30)
    assert mean_interval_s(Setting(60)) == pytest.approx(75.5)


def test_a_sync_that_takes_time_may_need_a_tick_more() -> None:
    """With ε = 0.1 s at S = 10 s, X is 11 … 15, and 16 with probability ε / 5 s."""
    values, probabilities = interval_pmf(Setting(10), timing=Timing(sync_s=0.1))

    assert values.tolist() == [11, 12, 13, 14, 15, 16]
    assert probabilities.tolist() == pytest.approx([0.18, 0.2, 0.2, 0.2, 0.2, 0.02])


@pytest.mark.parametrize(
    ("sync_frequency_s", "expected"),
    [
        (60, (38.25, 37.75, 69.21, 75.45, 83.76, 91.2)),
        (10, (6.58, 6.50, 11.875, 12.92, 14.35, 16.2)),
        (5, (3.44, 3.40, 6.20, 6.77, 7.66, 8.7)),
        (2, (1.50, 1.50, 2.70, 2.85, 2.97, 4.2)),
        (1, (1.00, 1.00, 1.80, 1.90, 1.98, 2.7)),
    ],
)
def test_numbers_of_the_law(
    sync_frequency_s: float, expected: tuple[float, ...]
) -> None:
    """Mean, quantiles and end of the support are those of the residual life."""
    found = known_law(sync_frequency_s).summary()

    assert list(found) == ["mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s"]
    assert tuple(found.values()) == pytest.approx(expected, abs=0.006)


def test_the_lattice_is_close_to_the_continuous_form() -> None:
    """At S = 60 s the quantiles are those of an interval uniform on (60.5, 90.5)."""
    law, a, b = known_law(60), 60.5, 90.5
    for p in (0.85, 0.9, 0.95, 0.99):
        continuous = b - math.sqrt((b - a) ** 2 - 2 * (b - a) * (p * 75.5 - a))

        assert float(law.quantile(p)) == pytest.approx(continuous, abs=0.02)


@pytest.mark.parametrize("sync_frequency_s", [3.7, 5, 10])
def test_it_agrees_with_a_simulated_kubelet(sync_frequency_s: float) -> None:
    """Random instants in a long row of ticked, jittered syncs wait as the law says."""
    rng = np.random.default_rng(7)
    jitter = sync_frequency_s * (1 + rng.random(200_000) / 2)
    syncs = np.cumsum(np.floor(jitter + 1e-6) + 1)
    instants = rng.uniform(0, syncs[-1], 200_000)
    waited = np.sort(syncs[np.searchsorted(syncs, instants)] - instants)
    law = known_law(sync_frequency_s)

    gap = np.abs(law.cdf(waited) - np.arange(1, len(waited) + 1) / len(waited)).max()

    assert gap < 0.005  # Kolmogorov's 99.9 % bound at 200,000 is 0.0044
    assert waited.mean() == pytest.approx(law.mean_s, rel=0.01)


def test_quantile_inverts_cdf() -> None:
    """The share below the p-quantile is p."""
    law = known_law(5)
    p = np.linspace(0, 1, 101)

    assert law.cdf(law.quantile(p)) == pytest.approx(p)
    assert float(law.cdf(-1.0)) == 0
    assert float(law.cdf(100.0)) == 1


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_its_range_is_refused(p: float) -> None:
    """A share is between 0 and 1."""
    with pytest.raises(UsageError, match="between 0 and 1"):
        known_law(5).quantile(p)


def test_equilibrium_makes_a_stationary_start() -> None:
    """Pods started at equilibrium sync at the rate 1/μ in each later second."""
    rng = np.random.default_rng(3)
    values, probabilities = interval_pmf(Setting(10))
    first = equilibrium(Setting(10), rng, 40_000)
    gaps = rng.choice(values, p=probabilities, size=(40_000, 4))
    syncs = first[:, None] + np.cumsum(np.insert(gaps, 0, 0, axis=1), axis=1)

    counts, _ = np.histogram(syncs, bins=np.arange(0, 41))

    assert first.min() > 0
    assert counts / 40_000 * 13 == pytest.approx(np.ones(40), abs=0.06)  # 4.5 sd


def test_uniform_starts_are_not_stationary() -> None:
    """The counter-check: phases uniform over μ give rates far from 1/μ."""
    rng = np.random.default_rng(3)
    values, probabilities = interval_pmf(Setting(10))
    first = rng.uniform(0, 15, 40_000)
    gaps = rng.choice(values, p=probabilities, size=(40_000, 4))
    syncs = first[:, None] + np.cumsum(np.insert(gaps, 0, 0, axis=1), axis=1)

    counts, _ = np.histogram(syncs, bins=np.arange(0, 41))

    assert np.abs(counts / 40_000 * 13 - 1).max() > 0.12


def test_the_equilibrium_is_the_residual_life() -> None:
    """Times until the next sync have the delay's own law under Watch."""
    drawn = np.sort(equilibrium(Setting(10), np.random.default_rng(2), 200_000))

    gap = np.abs(known_law(10).cdf(drawn) - np.arange(1, 200_001) / 200_000).max()

    assert gap < 0.0044  # Kolmogorov's 99.9 % bound


def test_all_strategies_that_read_at_each_sync_share_the_law() -> None:
    """Watch, Get and Cache with TTL 0 have one law."""
    laws = [
        law_for(Setting(10, strategy, 0.0))
        for strategy in (Strategy.WATCH, Strategy.GET, Strategy.CACHE)
    ]

    assert [law and law.mean_s for law in laws] == pytest.approx([6.576923] * 3)


def test_no_law_is_claimed_for_an_unknown_ttl() -> None:
    """Under Cache the TTL matters, so without it there is no law."""
    assert law_for(Setting(10, Strategy.CACHE, None)) is None
