"""The schedule of a collection follows from its plan, and tasks leave it room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S, VirtualClock
from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.collector.schedule import PeriodicTasks, make_schedule, schedule_of
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1_767_225_600 * NS_PER_S
SETTING = Setting(5)


def test_a_schedule_follows_from_run_json_alone(tmp_path: Path) -> None:
    """What a collection did is what its run.json says it would do."""
    run = read_run(
        collect(ModelCluster([SETTING]), Plan(pods=3, duration_s=60), out=tmp_path)
    )

    again = schedule_of(run.meta)

    assert again.digest == run.meta["agenda"]
    assert [write.at_ns for write in again.writes] == run.updates["planned_ns"].tolist()
    assert [write.purpose for write in again.writes] == run.updates["purpose"].tolist()


def test_each_slot_ends_where_the_next_begins() -> None:
    """Writes are in order, numbered from 1, and the last one's slot ends the run."""
    schedule = make_schedule(
        Plan(pods=2, duration_s=30),
        [SETTING],
        [("a", SETTING), ("b", None)],
        begin_ns=T0,
    )

    instants = [write.at_ns for write in schedule.writes]
    assert instants == sorted(instants)
    assert [write.next_ns for write in schedule.writes] == [
        *instants[1:],
        schedule.end_ns,
    ]
    assert [write.seq for write in schedule.writes] == list(range(1, len(instants) + 1))
    # the pod whose setting is not known cannot be put into equilibrium
    assert [write.pod for write in schedule.writes if write.pod] == ["a"]


def test_periodic_tasks_leave_room_for_writes() -> None:
    """One that would delay a write is put off, and done after it."""
    clock = VirtualClock()
    began = clock.utc_ns()
    done: list[float] = []
    tasks = PeriodicTasks(clock)

    def task() -> None:
        done.append((clock.utc_ns() - began) / NS_PER_S)

    second = NS_PER_S
    tasks.add(task, first_ns=began + second, every_s=10, takes_s=0.5)
    tasks.until(began + round(1.2 * second))
    clock.sleep(1.2)
    tasks.until(began + 20 * second)

    assert done == [1.2, 11]


def test_a_starved_task_is_done_all_the_same() -> None:
    """Writes that leave no room must not keep a log from being read for ever."""
    clock = VirtualClock()
    done: list[int] = []
    tasks = PeriodicTasks(clock)
    tasks.add(
        lambda: done.append(clock.utc_ns()),
        first_ns=clock.utc_ns(),
        every_s=60,
        takes_s=1,
    )

    for _ in range(100):
        tasks.until(clock.utc_ns() + NS_PER_S // 2)
        clock.sleep(0.5)

    assert len(done) == 1
