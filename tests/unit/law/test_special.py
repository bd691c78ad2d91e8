"""Known ages, extra syncs and fleets, against simulations and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.eras import IDEAL, Timing
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import fleet_law, interval_pmf, law_at_age, law_for, law_with_extra_syncs
from cmhot.law.delay import law_of_node

if TYPE_CHECKING:
    from cmhot.law import Law


def fleet(setting: Setting, **how: object) -> Law:
    """Give the law of many pods."""
    law = fleet_law(setting, **how)  # type: ignore[arg-type]
    assert law is not None
    return law


def test_a_fresh_pod_waits_nearly_a_whole_interval() -> None:
    """Synced 5 s ago at S = 60 s: 56 … 85 s are left, each second as likely."""
    law = law_at_age(Setting(60), age_s=5)

    assert law.mean_s == pytest.approx(70.5)
    assert float(law.cdf(55.9)) == 0
    assert float(law.cdf(70.5)) == pytest.approx(0.5)
    assert float(law.quantile(1.0)) == pytest.approx(85)


def test_an_old_pod_has_survived_the_short_intervals() -> None:
    """At 12.5 s of S = 10 s the interval is 13, 14 or 15 s: 0.5, 1.5 or 2.5 s left."""
    law = law_at_age(Setting(10), age_s=12.5)

    assert law.mean_s == pytest.approx(1.5)
    assert law.cdf([0.4, 0.6, 1.6, 2.6]).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_loops_blur_a_known_age() -> None:
    """With loops each second spreads over ± 0.2 s, around the same mean."""
    law = law_at_age(Setting(60), age_s=5, timing=Timing())

    assert law.mean_s == pytest.approx(70.5, abs=0.01)
    assert 0 < float(law.cdf(56.0)) < 1 / 30


@pytest.mark.parametrize("age_s", [-1.0, 15.0, 200.0, float("nan")])
def test_impossible_ages_are_refused(age_s: float) -> None:
    """No idle pod at S = 10 s is older than 15 s."""
    with pytest.raises(UsageError, match="no idle pod"):
        law_at_age(Setting(10), age_s=age_s)


@pytest.mark.parametrize("per_s", [1 / 300, 1 / 20, 0.5])
def test_extra_syncs_against_a_simulation(per_s: float) -> None:
    """Ticked, jittered syncs with random ones between them, each setting the timer."""
    rng = np.random.default_rng(4)
    now, syncs = 0.0, []
    for u, wait in zip(
        rng.random(120_000), rng.exponential(1 / per_s, 120_000), strict=False
    ):
        timed = np.floor(now + 20 * (1 + u / 2)) + 1
        now = min(timed, now + wait)
        syncs.append(now)
    at = np.array(syncs)
    instants = rng.uniform(0, at[-1], 400_000)
    waited = np.sort(at[np.searchsorted(at, instants)] - instants)
    law = law_with_extra_syncs(Setting(20), per_s=per_s)

    gap = np.abs(law.cdf(waited) - np.arange(1, 400_001) / 400_000).max()

    # 120,000 intervals: Kolmogorov's 99.9 % bound for as many independent rows
    assert gap < 1.95 / np.sqrt(120_000)
    assert waited.mean() == pytest.approx(law.mean_s, rel=0.01)


def test_no_extra_syncs_change_nothing() -> None:
    """At a rate of 0 it is the law of the idle pod."""
    law, idle = law_with_extra_syncs(Setting(60), per_s=0), law_for(Setting(60))
    assert idle is not None
    t = np.linspace(0, 91, 500)

    assert law.cdf(t) == pytest.approx(idle.cdf(t), abs=1e-9)


@pytest.mark.parametrize("per_s", [-0.1, float("inf"), float("nan")])
def test_impossible_rates_are_refused(per_s: float) -> None:
    """A rate is 0 or more."""
    with pytest.raises(UsageError, match="not possible"):
        law_with_extra_syncs(Setting(60), per_s=per_s)


@pytest.mark.parametrize(
    ("pods", "mean_s"),
    [(1, 38.25), (2, 51.3), (3, 58.0), (5, 65.05), (10, 72.2), (50, 82.1)],
)
def test_the_last_of_many_pods(pods: int, mean_s: float) -> None:
    """The mean until all of N independent pods have it, at S = 60 s."""
    assert fleet(Setting(60), pods=pods).mean_s == pytest.approx(mean_s, abs=0.06)


def test_a_rank_is_an_order_statistic() -> None:
    """The third of five, against sorted draws; the fifth is all of them."""
    idle = law_for(Setting(60))
    assert idle is not None
    drawn = idle.sample(np.random.default_rng(8), 500_000).reshape(-1, 5)
    third = np.sort(drawn, axis=1)[:, 2]

    law = fleet(Setting(60), pods=5, rank=3)

    assert law.mean_s == pytest.approx(third.mean(), abs=0.2)
    assert float(law.quantile(0.9)) == pytest.approx(np.quantile(third, 0.9), abs=0.3)
    t = np.linspace(0, 91, 50)
    all_five = fleet(Setting(60), pods=5, rank=5).cdf(t)
    assert all_five == pytest.approx(idle.cdf(t) ** 5, abs=1e-6)


def test_pods_of_one_kubelet_share_its_tick() -> None:
    """Three pods at S = 5 s: F³ at 5 and 6 s, straight between, so p50 is 5.36 s.

    F(5) = 5/6.8 and F(6) = 6/6.8. On three nodes it is 5.40 s.
    """
    law = fleet(Setting(5), pods=3, sharers=3)

    assert law.cdf([5, 6]).tolist() == pytest.approx([(5 / 6.8) ** 3, (6 / 6.8) ** 3])
    assert float(law.quantile(0.5)) == pytest.approx(5.354, abs=0.002)
    apart = fleet(Setting(5), pods=3)
    assert float(apart.quantile(0.5)) == pytest.approx(5.397, abs=0.002)
    six = fleet(Setting(5), pods=6, sharers=3)
    assert six.cdf([5.3, 7.1]) == pytest.approx(law.cdf([5.3, 7.1]) ** 2, abs=1e-3)


def test_ranks_on_one_tick_against_draws() -> None:
    """The second of four pods of one kubelet: a common part of a second, own ticks."""
    rng = np.random.default_rng(5)
    values, probabilities = interval_pmf(Setting(5))
    weights = values * probabilities
    long = rng.choice(values, (200_000, 4), p=weights / weights.sum())
    ticks = np.ceil(long * rng.random((200_000, 4))) - 1
    second = np.sort(ticks + rng.random((200_000, 1)), axis=1)[:, 1]

    law = fleet(Setting(5), pods=4, rank=2, sharers=4)

    assert law.mean_s == pytest.approx(second.mean(), abs=0.02)
    assert float(law.quantile(0.9)) == pytest.approx(np.quantile(second, 0.9), abs=0.03)


def test_sharers_of_a_cache_wait_for_the_same_fetch() -> None:
    """All of a node's pods have it sooner than as many pods of as many nodes."""
    setting = Setting(60, Strategy.CACHE, 60)
    together = fleet(setting, pods=5, sharers=5)
    one = law_for(setting, sharers=5)
    assert one is not None

    assert one.mean_s < together.mean_s
    t = np.linspace(1, 150, 100)
    assert (together.cdf(t) >= one.cdf(t) ** 5 - 1e-9).all()
    # two nodes are independent
    ten = fleet(setting, pods=10, sharers=5)
    assert ten.cdf(t) == pytest.approx(together.cdf(t) ** 2, abs=0.001)


@pytest.mark.parametrize(
    ("pods", "mean_s", "p95_s"), [(2, 78.5, 121.5), (5, 92.5, 128.3)]
)
def test_the_others_share_the_cache_of_those_that_are_waited_for(
    pods: int, mean_s: float, p95_s: float
) -> None:
    """Some of 20 sharers wait for fetches that all 20 cause.

    The numbers are of 150 simulated nodes of 3000 s, good to a percent (two standard
    errors), and half a percent is what the independence of sharers costs.
    """
    setting = Setting(60, Strategy.CACHE, 60)

    law = fleet(setting, pods=pods, sharers=20)

    assert law.mean_s == pytest.approx(mean_s, rel=0.015)
    assert float(law.quantile(0.95)) == pytest.approx(p95_s, rel=0.015)


def test_one_of_the_sharers_waits_as_any_of_them() -> None:
    """The law of the last of one pod is that of a pod, and grows with each further."""
    setting = Setting(60, Strategy.CACHE, 60)
    one = law_for(setting, sharers=20)
    assert one is not None

    last = law_of_node(setting, pods=1, sharers=20, kubernetes=None, timing=IDEAL)
    means = [fleet(setting, pods=pods, sharers=20).mean_s for pods in (1, 2, 19, 20)]

    assert last.summary() == pytest.approx(one.summary(), rel=1e-6)
    assert means == sorted(means)


def test_all_pods_of_a_degenerate_node() -> None:
    """S = 1 s and a TTL of 2.5 s: two pods of one node, each read 2 s apart.

    Their phases are the same or a second apart, and stay so. Ties are none: reads are
    whole seconds apart.
    """
    law = fleet(Setting(1, Strategy.CACHE, 2.5), pods=2, sharers=2)

    assert law.mean_s > 1.5
    assert float(law.cdf(law.max_s)) == 1


@pytest.mark.parametrize(
    "how", [{"pods": 0}, {"pods": 3, "rank": 4}, {"pods": 3, "rank": 0}]
)
def test_impossible_fleets_are_refused(how: dict[str, int]) -> None:
    """A rank is among the pods, of which there is one at least."""
    with pytest.raises(UsageError, match="not possible"):
        fleet(Setting(60), **how)


def test_a_rank_among_sharers_is_not_known() -> None:
    """It says so, and what to ask instead."""
    with pytest.raises(UsageError, match="not known: ask for all"):
        fleet(Setting(60, Strategy.CACHE, 60), pods=4, rank=2, sharers=4)
