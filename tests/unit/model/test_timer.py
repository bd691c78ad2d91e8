"""When the modelled kubelet syncs a pod that nothing disturbs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.kubelet.eras import Timing
from cmhot.kubelet.settings import Setting

if TYPE_CHECKING:
    from tests.unit.model.conftest import MakeLab

STARTED_S = 10.0
"""By then a pod's start-up syncs are over, which are on no tick."""


@pytest.mark.parametrize(
    ("sync_s", "weights"),
    [
        (1, {2: 1.0}),
        (2, {3: 1.0}),
        (5, {6: 0.4, 7: 0.4, 8: 0.2}),
        (10, {11: 0.2, 12: 0.2, 13: 0.2, 14: 0.2, 15: 0.2}),
        (7, {8: 2 / 7, 9: 2 / 7, 10: 2 / 7, 11: 1 / 7}),
    ],
)
def test_intervals_are_whole_seconds(
    make_lab: MakeLab, sync_s: float, weights: dict[int, float]
) -> None:
    """X = ⌊S (1 + U/2)⌋ + 1 s: the lattice S + 1, S + 2, … and its weights."""
    lab = make_lab(Setting(sync_s), pods=200)
    lab.run(1000)

    intervals = np.concatenate(
        [np.diff(lab.published(pod, since_s=STARTED_S)) for pod in range(200)]
    )
    found = Counter(intervals.round(9).tolist())
    shares = {value: count / intervals.size for value, count in found.items()}
    # at least 14,000 intervals: four standard errors of a share are 0.017
    assert shares == pytest.approx(weights, abs=0.017)


def test_a_sync_that_takes_time_shifts_the_lattice(make_lab: MakeLab) -> None:
    """S = 2 s and ε = 0.25 s: ⌊2 + U + 0.25⌋ + 1 is 3 three times of four, else 4."""
    lab = make_lab(Setting(2), pods=200, timing=Timing(sync_s=0.25, has_loops=False))
    lab.run(1000)

    intervals = np.concatenate(
        [np.diff(lab.published(pod, since_s=STARTED_S)) for pod in range(200)]
    )
    assert set(intervals.round(9)) == {3.0, 4.0}
    # 60,000 intervals: a standard error is 0.0018
    assert (intervals < 3.5).mean() == pytest.approx(0.75, abs=0.007)


def test_publications_share_a_window_of_the_second(make_lab: MakeLab) -> None:
    """Two volume loops after the tick: 0 to 0.2 s, triangular, for all pods alike."""
    lab = make_lab(Setting(5), pods=50, timing=Timing())
    lab.run(1000)

    phase_s = lab.kubelet._phase_ns / 1e9
    instants = [lab.published(pod, since_s=STARTED_S) for pod in range(50)]
    late = (np.concatenate(instants) - phase_s) % 1
    assert 0 <= late.min() < 0.01
    assert 0.19 < late.max() < 0.2
    # 1,000 ticks, each with one pass of the loops: the mean to 0.0013 s
    assert late.mean() == pytest.approx(0.1, abs=0.006)


def test_pods_of_one_tick_share_the_loops(make_lab: MakeLab) -> None:
    """At S = 1 s pods that started together stay together: they publish at once."""
    lab = make_lab(Setting(1), pods=3, timing=Timing())
    lab.run(100)

    assert lab.published(0).size > 45
    assert lab.published(0).tolist() == lab.published(1).tolist()


def test_a_publication_follows_its_look(make_lab: MakeLab) -> None:
    """W later than the look it is there, with what was written L before the look."""
    timing = Timing(staleness_s=0.02, write_s=0.004, has_loops=False)
    lab = make_lab(Setting(5), timing=timing)
    lab.run(100)

    (volume,) = lab.pods[0].volumes
    looks = lab.published() - 0.004
    # number n was written at 5 n ms
    ages = looks - np.array(volume.numbers) * 0.005
    assert ages[1:].min() >= 0.02
    assert ages[1:].max() < 0.025


def test_what_is_there_already_is_not_written(make_lab: MakeLab) -> None:
    """A sync that finds nothing new publishes nothing, and is a sync all the same."""
    lab = make_lab(Setting(5), long_s=20)
    lab.run(1000)

    assert lab.published()[-1] < 30
    # 980 s of intervals of 6 to 8 s
    assert 122 < lab.kubelet.syncs < 168


def test_frequencies_below_a_second_are_tick_by_tick(make_lab: MakeLab) -> None:
    """S = 0.3 s: the pod is ready by the next tick, and a relist lies between."""
    lab = make_lab(Setting(0.3))
    lab.run(100)

    intervals = np.diff(lab.published(since_s=STARTED_S))
    assert set(intervals.round(9)) == {1.0}
