"""What else syncs a pod of the modelled kubelet, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.eras import ERAS, Timing
from cmhot.kubelet.settings import Setting

if TYPE_CHECKING:
    from cmhot.kubelet.eras import Era
    from tests.unit.model.conftest import Lab, MakeLab

NAMES = [era.name for era in ERAS]
RARE = Setting(600)
"""So rarely synced that what is seen has another cause."""


def seconds(instants: np.ndarray) -> list[float]:
    """Write instants in a list that can be compared with a list."""
    return [round(float(instant), 6) for instant in instants]


def test_a_new_pod_is_synced_twice(make_lab: MakeLab) -> None:
    """At once, and when a relist has found its container."""
    lab = make_lab(RARE)
    lab.run(500)

    assert seconds(lab.published()) == [0.0, pytest.approx(lab.relist_after(0))]


def test_an_annotation_syncs_at_once(make_lab: MakeLab) -> None:
    """Both volume loops later the update is there: 0 to 0.2 s, and the write."""
    lab = make_lab(RARE, pods=40, timing=Timing(write_s=0.003))
    for pod in range(40):
        lab.touch(10 + pod, pod=pod)
    lab.run(100)

    late = [lab.published(pod)[-1] - 10 - pod for pod in range(40)]
    assert 0.003 <= min(late) < 0.05
    assert 0.15 < max(late) < 0.203


def test_a_sync_sets_the_timer_anew(make_lab: MakeLab) -> None:
    """Touched every 9 s a pod is never due at S = 10 s; left alone it is."""
    lab = make_lab(Setting(10))
    for at in range(9, 100, 9):
        lab.touch(at)
    lab.run(116)

    seen = lab.published(since_s=5)
    assert seconds(seen[:-1]) == [9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    assert 109 < seen[-1] <= 115


def test_soon_after_a_sync_the_relist_is_waited_for(make_lab: MakeLab) -> None:
    """A sync asked for 0.01 s after one ended begins at the next relist."""
    lab = make_lab(RARE)
    lab.touch(10)
    lab.touch(10.01)
    lab.touch(20)
    lab.touch(21)
    lab.run(100)

    gate = lab.relist_after(10)
    assert 10.01 < gate <= 11
    expected = [10, pytest.approx(gate), 20, 21]
    assert seconds(lab.published(since_s=5)) == expected


def test_a_relist_in_between_lets_it_pass(make_lab: MakeLab) -> None:
    """The gate is a relist, not a second: just after one there is no waiting."""
    lab = make_lab(RARE)
    gate = lab.relist_after(10)
    lab.touch(10)
    lab.touch(gate + 0.001)
    lab.run(100)

    expected = [10, pytest.approx(gate + 0.001, abs=1e-6)]
    assert seconds(lab.published(since_s=5)) == expected


def test_a_busy_worker_keeps_the_last_request_only(make_lab: MakeLab) -> None:
    """Five requests during a sync are one more sync, at a relist after its end."""
    lab = make_lab(RARE, timing=Timing(sync_s=0.5, has_loops=False))
    for at in (10, 10.1, 10.2, 10.3, 10.4, 10.49):
        lab.touch(at)
    lab.run(100)

    expected = [10, pytest.approx(lab.relist_after(10.5))]
    assert seconds(lab.published(since_s=5)) == expected


def test_a_tick_finds_a_worker_busy(make_lab: MakeLab) -> None:
    """A pod that falls due during a long sync is synced at a relist after its end."""
    lab = make_lab(Setting(60), timing=Timing(sync_s=0.9, has_loops=False))
    lab.run(20)
    due = lab.kubelet._phase_ns / 1e9 + lab.pods[0].due
    lab.touch(due - 0.5)
    lab.run(due + 10)

    expected = [due - 0.5, lab.relist_after(due + 0.4)]
    assert seconds(lab.published(since_s=20)) == pytest.approx(expected)


def test_a_waiting_worker_is_busy(make_lab: MakeLab) -> None:
    """Requests while it waits for a relist are one more sync, at the relist after."""
    lab = make_lab(RARE)
    for at in (10, 10.001, 10.002, 10.003):
        lab.touch(at)
    lab.run(100)

    gate = lab.relist_after(10)
    expected = [10, pytest.approx(gate), pytest.approx(gate + 1)]
    assert seconds(lab.published(since_s=5)) == expected


def test_a_container_restart_syncs_twice(make_lab: MakeLab) -> None:
    """A relist finds it dead, and the next one finds it started."""
    lab = make_lab(RARE)
    lab.kubelet.restart_container(lab.pods[0], at_ns=10_000_000_000)
    lab.run(100)

    died = lab.relist_after(10)
    expected = [pytest.approx(died), pytest.approx(died + 1)]
    assert seconds(lab.published(since_s=5)) == expected


def failing(make_lab: MakeLab, era: Era, sync_s: float) -> Lab:
    """Let twenty pods fail from 10 s on."""
    lab = make_lab(Setting(sync_s), pods=20, long_s=2000, era=era)
    for pod in lab.pods:
        lab.kubelet.crash_loop(pod, at_ns=10_000_000_000)
    lab.run(2000)
    return lab


@pytest.mark.parametrize("era", [era for era in ERAS if era.since < 35], ids=NAMES[:-1])
@pytest.mark.parametrize("sync_s", [5, 60, 600])
def test_a_crash_loop_syncs_every_ten_seconds_before_1_35(
    make_lab: MakeLab, era: Era, sync_s: float
) -> None:
    """Whatever S is: 10 to 15 s and a tick; sooner where a relist finds it dead."""
    lab = failing(make_lab, era, sync_s)

    intervals = np.concatenate(
        [np.diff(lab.published(pod, since_s=700)) for pod in range(20)]
    )
    timed = intervals[np.isclose(intervals, intervals.round())]
    assert set(timed.round()) == {11, 12, 13, 14, 15}
    assert intervals.max() < 16.1
    # a restart every five minutes is found by a relist: then the tick is left once
    assert intervals.size - timed.size < 0.1 * intervals.size


def test_a_crash_loop_waits_for_its_backoff_since_1_35(make_lab: MakeLab) -> None:
    """At S = 600 s: 300 s after a death, as jittered, and a relist after the start."""
    lab = failing(make_lab, ERAS[-1], 600)

    intervals = np.concatenate(
        [np.diff(lab.published(pod, since_s=700)) for pod in range(20)]
    )
    by_timer = intervals[intervals > 2]
    assert by_timer.min() > 300 - 1
    assert by_timer.max() < 1.5 * 300 + 1
    assert (intervals <= 1).sum() == pytest.approx(by_timer.size, abs=20)


def test_the_backoff_waits_for_s_at_most_since_1_35(make_lab: MakeLab) -> None:
    """At S = 10 s a pod in its longest back-off is synced as an idle one is."""
    lab = failing(make_lab, ERAS[-1], 10)

    intervals = np.diff(lab.published(since_s=700))
    timed = intervals[np.isclose(intervals, intervals.round())]
    # shorter where the back-off is over before
    assert np.median(timed) in {12, 13, 14}
    assert timed.max() == 15


def test_a_restart_of_the_kubelet_syncs_all_pods(make_lab: MakeLab) -> None:
    """At once, and again at the first relist; timers and the tick's phase are new."""
    lab = make_lab(Setting(60), pods=30, timing=Timing())
    lab.run(300)
    before = lab.kubelet._phase_ns
    lab.kubelet.restart(at_ns=310_000_000_000)
    lab.run(1000)

    first = np.array([lab.published(pod, since_s=310)[0] for pod in range(30)])
    third = np.array([lab.published(pod, since_s=310)[2] for pod in range(30)])
    assert (first < 310.2).all()
    assert lab.kubelet._phase_ns != before
    assert np.ptp(third) > 10
    assert third.min() > 310 + 60
    assert third.max() < 310 + 1.2 + 91.2


def test_what_was_under_way_ends_with_the_process(make_lab: MakeLab) -> None:
    """A request that waited for a relist is not done by the new process again."""
    lab = make_lab(RARE)
    lab.touch(10)
    lab.touch(10.01)
    lab.kubelet.restart(at_ns=10_020_000_000)
    lab.touch(50)
    lab.run(100)

    expected = [10, 10.02, pytest.approx(lab.relist_after(10.02)), 50]
    assert seconds(lab.published(since_s=5)) == expected


def test_a_pod_that_comes_later_is_not_there_yet(make_lab: MakeLab) -> None:
    """A kubelet that restarts before knows nothing of it."""
    lab = make_lab(RARE)
    (history,) = lab.kubelet._contents
    (later,) = lab.kubelet.add([[history]], at_ns=20_000_000_000)
    lab.kubelet.restart(at_ns=10_000_000_000)
    lab.run(19)
    before = len(lab.kubelet.pods)
    lab.run(100)

    assert (before, len(lab.kubelet.pods)) == (1, 2)
    assert later.volumes[0].instants_ns[0] == 20_000_000_000


def test_the_past_is_past(make_lab: MakeLab) -> None:
    """Nothing can happen before an instant that was run to."""
    lab = make_lab(RARE)
    lab.run(20)

    with pytest.raises(UsageError, match=r"has run to 20 s already.* at 10 s"):
        lab.touch(10)
