"""The Cache strategy: a lone pod exactly, sharers against a simulation by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.eras import TYPICAL, Timing
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import fresh_reads_for, interval_pmf, law_for, reads_at_every_sync
from cmhot.law.reads import loops_cdf, loops_excess

if TYPE_CHECKING:
    from cmhot.law import Law

LOOPS = Timing()


def cached(sync_s: float, ttl_s: float, **how: object) -> Law:
    """Give the law under Cache."""
    law = law_for(Setting(sync_s, Strategy.CACHE, ttl_s), **how)  # type: ignore[arg-type]
    assert law is not None
    return law


@pytest.mark.parametrize(
    ("ttl_s", "sharers", "mean_s", "p95_s"),
    [
        (60, 1, 38.2, 75.5),
        (60, 5, 59.4, 108.9),
        (60, 20, 66.5, 115.1),
        (60, 2000, 68.2, 116.0),
        (300, 1, 169.2, 326.6),
    ],
)
def test_numbers_at_sixty_seconds(
    ttl_s: float, sharers: int, mean_s: float, p95_s: float
) -> None:
    """Those of an independent Monte Carlo study of the kubelet's code, to 0.5 %."""
    law = cached(60, ttl_s, sharers=sharers)

    assert law.mean_s == pytest.approx(mean_s, rel=0.005)
    assert float(law.quantile(0.95)) == pytest.approx(p95_s, rel=0.005)


def test_a_lone_pod_waits_for_a_sum_of_intervals() -> None:
    """S = 1 s is X = 2 s always: with a TTL of 5 s a read is fresh every 6 s."""
    law = cached(1, 5)

    assert law.t.tolist() == [0, 6]
    assert law.mean_s == 3
    assert law.max_s == 5 + 2.7


def test_a_tie_is_decided_by_the_loops() -> None:
    """With a TTL of 6 s the third sync finds it expired one time in two: 6 s or 8 s.

    The delay's mean is E[Y²] / 2 E[Y] = (36 + 64) / 2 / 14.
    """
    assert cached(1, 6).mean_s == pytest.approx(50 / 14)


def test_a_ttl_below_the_sync_frequency_adds_nothing_for_one_pod() -> None:
    """X is above S, so each sync finds the entry expired."""
    assert cached(60, 60).mean_s == pytest.approx(38.246, abs=0.001)
    assert cached(60, 60).max_s == pytest.approx(91.2)


@pytest.mark.parametrize("sharers", [1, 2, 5, 20])
@pytest.mark.parametrize(("sync_s", "ttl_s"), [(10, 15), (10, 60), (20, 15), (5, 4)])
def test_it_agrees_with_sharers_simulated_by_hand(
    sync_s: float, ttl_s: float, sharers: int
) -> None:
    """A loop over ticks, with a coin for ties: mean, p50 and p95 to 1 % or 0.05 s.

    Half a percent is what the independence of sharers costs at most, as seen at
    S = 5 s and a TTL of 4 s; four standard errors of the simulation are the rest.
    """
    rng = np.random.default_rng(sharers)
    values, probabilities = interval_pmf(Setting(sync_s))
    period = sync_s + ttl_s
    nodes = round(6000 / period / (3 if sharers > 5 else 1))
    ticks = round(40 * period)
    due = rng.integers(1, round(1.5 * sync_s) + 1, (nodes, sharers))
    shown = np.zeros((nodes, sharers))  # content of which instant each pod shows
    fetched, delays, lengths = np.zeros(nodes), [], []
    for now in range(1, ticks):
        reads = due == now
        if not reads.any():
            continue
        again = rng.choice(values, reads.shape, p=probabilities).astype(int)
        due = np.where(reads, now + again, due)
        age = now - fetched
        expired = (age > ttl_s) | ((age == ttl_s) & (rng.random(nodes) < 0.5))
        fetched = np.where(expired & reads.any(axis=1), now, fetched)
        fresh = reads & (fetched[:, None] > shown)
        if now > ticks / 2:  # the common start is forgotten
            node, _ = np.nonzero(fresh)
            low = now - fetched[node]
            high = now - shown[fresh]
            part = (np.arange(40) + 0.5) / 40
            delays.append(low[:, None] + np.outer(high - low, part))
            lengths.append(high - low)
        shown = np.where(fresh, fetched[:, None], shown)
    seen = np.concatenate(delays).ravel()
    weight = np.repeat(np.concatenate(lengths), 40)
    order = np.argsort(seen)
    share = np.cumsum(weight[order]) / weight.sum()
    p50, p95 = np.interp([0.5, 0.95], share, seen[order])

    law = cached(sync_s, ttl_s, sharers=sharers)

    assert law.mean_s == pytest.approx(np.average(seen, weights=weight), 0.01, 0.05)
    assert float(law.quantile(0.5)) == pytest.approx(p50, 0.01, 0.1)
    assert float(law.quantile(0.95)) == pytest.approx(p95, 0.01, 0.1)


@pytest.mark.parametrize(
    ("version", "works"),
    [("v1.20.2", True), ("v1.24.17", False), ("v1.28.15", False), ("v1.29.0", True)],
)
def test_a_ttl_works_in_some_versions(version: str, works: bool) -> None:  # noqa: FBT001
    """From 1.24 to 1.28 each sync forgets the entry: Cache is Get."""
    mean_s = cached(60, 60, sharers=5, kubernetes=version).mean_s

    assert mean_s == pytest.approx(59.43 if works else 38.25, abs=0.01)
    setting = Setting(60, Strategy.CACHE, 60)
    assert reads_at_every_sync(setting, version) is not works


def test_an_unknown_ttl_matters_only_where_ttls_work() -> None:
    """None where it depends on the TTL; True where it does not."""
    unknown = Setting(60, Strategy.CACHE, None)

    assert reads_at_every_sync(unknown) is None
    assert reads_at_every_sync(unknown, "1.25") is True
    assert reads_at_every_sync(Setting(60, Strategy.WATCH, None)) is True


def test_the_loops_differ_as_four_uniforms() -> None:
    """P(D ≤ s) and its integral, against a million draws."""
    rng = np.random.default_rng(1)
    drawn = rng.uniform(0, 0.1, (1_000_000, 4)).sum(axis=1) - 0.2
    s = np.array([-0.25, -0.1, 0.0, 0.05, 0.15, 0.3])

    assert loops_cdf(s) == pytest.approx(
        [(drawn <= one).mean() for one in s], abs=0.002
    )
    assert loops_excess(s) == pytest.approx(
        [np.maximum(one - drawn, 0).mean() for one in s], abs=2e-4
    )


def test_costs_shift_the_law() -> None:
    """Staleness and writing come on top; ε and the loops hardly change the mean."""
    plain, real = cached(10, 15, sharers=5), cached(10, 15, sharers=5, timing=TYPICAL)

    assert real.mean_s - plain.mean_s == pytest.approx(0.008 + 0.01, abs=0.02)
    assert float(real.cdf(0.008)) == 0
    assert float(real.cdf(0.1)) > 0


def test_fresh_reads_are_a_distribution() -> None:
    """Probabilities sum to one, and the read comes after the TTL."""
    reads = fresh_reads_for(Setting(10, Strategy.CACHE, 15), sharers=5, timing=LOOPS)
    assert reads is not None

    assert reads.probability.sum() == pytest.approx(1)
    assert reads.between.min() == 15
    assert reads.wait.max() <= 14
    assert reads.mean_between_s > 15


def test_very_long_intervals_are_refused() -> None:
    """The joint law would not fit into memory; ten minutes are no matter."""
    assert cached(600, 60, sharers=3).mean_s > 380
    with pytest.raises(UsageError, match="up to half an hour"):
        cached(3600, 60, sharers=3)


def test_nobody_shares_nothing() -> None:
    """There is at least the pod itself."""
    with pytest.raises(UsageError, match="at least one"):
        law_for(Setting(60), sharers=0)
