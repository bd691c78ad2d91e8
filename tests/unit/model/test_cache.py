"""The Cache strategy of the modelled kubelet: who fetches when, and who forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.kubelet.eras import ERAS, Timing
from cmhot.kubelet.settings import Setting, Strategy

if TYPE_CHECKING:
    from cmhot.kubelet.eras import Era
    from tests.unit.model.conftest import MakeLab

NAMES = [era.name for era in ERAS]
STARTED_S = 30.0
LASTING = [era for era in ERAS if era.ttl_works]
LASTING_NAMES = [era.name for era in LASTING]


def caching(sync_s: float, ttl_s: float | None) -> Setting:
    """Give a setting with a cache."""
    return Setting(sync_s, Strategy.CACHE, ttl_s)


@pytest.mark.parametrize(
    ("ttl_s", "every_s"),
    [(0, 3), (1, 3), (3, 3), (4, 6), (9, 9), (10, 12), (12, 12)],
)
def test_a_lone_pod_fetches_at_the_first_sync_past_the_ttl(
    make_lab: MakeLab, ttl_s: float, every_s: float
) -> None:
    """S = 2 s syncs every 3 s; a sync exactly a TTL after the fetch fetches."""
    lab = make_lab(caching(2, ttl_s))
    lab.run(1000)

    intervals = np.diff(lab.published(since_s=STARTED_S))
    assert set(intervals.round(9)) == {every_s}


def test_a_fetch_is_stamped_at_its_end(make_lab: MakeLab) -> None:
    """With requests of 5 ms a sync exactly a TTL later is 5 ms too early."""
    timing = Timing(staleness_s=0.005, has_loops=False)
    lab = make_lab(caching(2, 9), timing=timing)
    lab.run(1000)

    intervals = np.diff(lab.published(since_s=STARTED_S))
    assert set(intervals.round(9)) == {12.0}


def test_without_an_annotation_the_ttl_is_a_minute(make_lab: MakeLab) -> None:
    """An unknown TTL is the kubelet's own default, 60 s."""
    lab = make_lab(caching(2, None))
    lab.run(1000)

    intervals = np.diff(lab.published(since_s=STARTED_S))
    assert set(intervals.round(9)) == {60.0}


def test_a_ttl_does_nothing_under_the_other_strategies(make_lab: MakeLab) -> None:
    """Watch and Get read at every sync."""
    for strategy in (Strategy.WATCH, Strategy.GET):
        lab = make_lab(Setting(2, strategy, 60))
        lab.run(100)

        intervals = np.diff(lab.published(since_s=STARTED_S))
        assert set(intervals.round(9)) == {3.0}


def test_sharers_show_what_one_of_them_fetched(make_lab: MakeLab) -> None:
    """Fetches lie a TTL apart, and as long as it takes until any pod is synced."""
    lab = make_lab(caching(10, 60), pods=20)
    lab.run(1000)

    shown = [set(pod.volumes[0].numbers) for pod in lab.pods]
    fetched = sorted(set.union(*shown))
    # a number is the count of 5 ms, so it says when it was fetched
    apart = np.diff(fetched[2:])
    assert apart.min() >= 60 * 200
    assert apart.max() < 66 * 200
    # a pod is synced four times a TTL: it shows each fetch (but maybe the last)
    assert all(numbers >= set(fetched[:-1]) for numbers in shown)


def test_a_sharer_does_not_put_off_the_fetch(make_lab: MakeLab) -> None:
    """A look at a fresh entry leaves its stamp alone: a lone S = 2 s pod fetches on."""
    lab = make_lab(caching(2, 4), pods=2)
    lab.touch(10.5, pod=1)
    lab.touch(12.5, pod=1)
    lab.run(1000)

    numbers = set(lab.pods[0].volumes[0].numbers) | set(lab.pods[1].volumes[0].numbers)
    apart = np.diff(np.array(sorted(numbers)) * 0.005)
    assert apart[5:].max() <= 6.01


def test_maps_have_entries_of_their_own(make_lab: MakeLab) -> None:
    """Pods that share nothing fetch each for itself: as a lone pod does."""
    lab = make_lab(caching(2, 10), pods=5, maps=5)
    lab.run(1000)

    for pod in range(5):
        intervals = np.diff(lab.published(pod, since_s=STARTED_S))
        assert set(intervals.round(9)) == {12.0}


@pytest.mark.parametrize("era", ERAS, ids=NAMES)
def test_whether_the_ttl_has_an_effect(make_lab: MakeLab, era: Era) -> None:
    """From 1.24 to 1.28 every sync forgets the entry first."""
    lab = make_lab(caching(2, 60), era=era)
    lab.run(1000)

    intervals = np.diff(lab.published(since_s=STARTED_S))
    expected = {9: 60.0, 12: 60.0, 21: 60.0, 24: 3.0, 29: 60.0, 35: 60.0}[era.since]
    assert set(intervals.round(9)) == {expected}


NO_LONGER_FORGOTTEN = 29
"""Since 1.29 the kubelet no longer forgets an entry when a pod is registered again."""


@pytest.mark.parametrize("era", ERAS, ids=NAMES)
def test_whether_an_annotation_brings_new_content(make_lab: MakeLab, era: Era) -> None:
    """Up to 1.28 it does; from 1.29 on the sync finds the entry fresh."""
    lab = make_lab(caching(600, 500), era=era)
    lab.touch(100)
    lab.touch(110)  # nothing else has forgotten the entry in between
    lab.run(300)

    expected = [100, 110] if era.since < NO_LONGER_FORGOTTEN else []
    assert lab.published(since_s=STARTED_S).tolist() == expected


@pytest.mark.parametrize("era", ERAS, ids=NAMES)
def test_whether_a_new_pod_brings_new_content(make_lab: MakeLab, era: Era) -> None:
    """A pod that is new on the node fetches, in every version; the old one sees it."""
    lab = make_lab(caching(600, 500), era=era)
    lab.run(100)
    (history,) = lab.kubelet._contents
    (new,) = lab.kubelet.add([[history]], at_ns=100_000_000_000)
    lab.touch(103)
    lab.run(300)

    assert new.volumes[0].instants_ns[0] == 100_000_000_000
    assert new.volumes[0].numbers[0] == 20_000
    assert lab.published(since_s=STARTED_S).tolist() == [103]
    if era.since >= 29:
        assert lab.pods[0].volumes[0].numbers[-1] == 20_000


@pytest.mark.parametrize("era", LASTING, ids=LASTING_NAMES)
def test_a_restart_of_the_kubelet_empties_the_cache(
    make_lab: MakeLab, era: Era
) -> None:
    """The new process fetches for its first sync."""
    lab = make_lab(caching(600, 500), era=era)
    lab.kubelet.restart(at_ns=100_000_000_000)
    lab.run(100.5)

    assert lab.published(since_s=STARTED_S)[0] == 100


def test_the_interval_of_fetches(make_lab: MakeLab) -> None:
    """S = 10 s, TTL 60 s, a lone pod: the first sum of syncs from 60 s on, mean 65.5 s.

    With X uniform on {11 … 15}, one step at a time by hand (in Python).
    """
    lab = make_lab(caching(10, 60), pods=300, maps=300)
    lab.run(1000)

    intervals = np.concatenate(
        [np.diff(lab.published(pod, since_s=STARTED_S)) for pod in range(300)]
    )
    assert set(intervals.round(9)) == {float(whole) for whole in range(60, 75)}
    # 4,000 intervals with a standard deviation of 3.4 s: four standard errors
    assert intervals.mean() == pytest.approx(65.503, abs=0.22)
