"""The parts of a collection: schedule, tasks, clock, incidents, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cmhot.clock import NS_PER_S, SteadyClock, VirtualClock
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.probe import ProbeLog
from cmhot.collector import incidents
from cmhot.collector.begin import collect
from cmhot.collector.finish import Tally, judge
from cmhot.collector.incidents import extra_syncs
from cmhot.collector.schedule import PeriodicTasks, make_schedule, schedule_of
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import RunWriter, read_run

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1_767_225_600 * NS_PER_S
SETTING = Setting(5)


def at(second: float) -> int:
    """Give an instant in UTC epoch nanoseconds."""
    return T0 + round(second * NS_PER_S)


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


def test_a_plan_comes_back_from_run_json() -> None:
    """As it was; one with unknown keys is of another cmhot."""
    plan = Plan(pods=3, gap_s=0.5, node_selector=("a=b",))

    assert Plan.from_dict(plan.to_dict()) == plan
    with pytest.raises(UsageError, match="of another cmhot"):
        Plan.from_dict({**plan.to_dict(), "new": 1})


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


def test_a_clock_that_is_set_does_not_move_the_run() -> None:
    """Stamps go on as if nothing happened, and the step is known."""

    class Settable(VirtualClock):
        stepped_ns = 0

        def utc_ns(self) -> int:
            return super().utc_ns() + self.stepped_ns

    below = Settable()
    clock = SteadyClock(below)
    began = clock.utc_ns()

    below.sleep(5)
    below.stepped_ns = 3600 * NS_PER_S
    below.sleep(5)

    assert clock.utc_ns() - began == 10 * NS_PER_S
    assert clock.stepped_ns() == 3600 * NS_PER_S


def published(pods: dict[str, list[float]], *, noticed_s: float = 0.1) -> pd.DataFrame:
    """Make publications of pods on one node, at seconds after T0, noticed later."""
    return pd.DataFrame(
        [
            {
                "node": "n",
                "pod": pod,
                "published_ns": at(second),
                "read_ns": at(second + noticed_s),
            }
            for pod, seconds in pods.items()
            for second in seconds
        ]
    )


META: dict[str, Any] = {
    "settings": {"n": {"sync_frequency_s": 5.0, "strategy": "Watch", "ttl_s": 0.0}}
}


def test_a_kubelet_that_starts_is_told_from_the_pods() -> None:
    """All of its pods publish within seconds, most of them before their time."""
    table = published(
        {
            "a": [0, 6, 12, 14.2, 21],
            "b": [1, 7.0, 14.1, 20],  # its time had come anyway
            "c": [2, 8, 14.3, 20],
            "d": [4, 11, 14.4, 21],
            "e": [4.5, 10.5, 14.6, 20.6],
        }
    )

    found = extra_syncs(table, META, from_ns=T0)

    assert [(one.kind, one.object) for one in found[:1]] == [("restart", "node/n")]
    assert found[0].at_ns == at(14.1) - 1
    # each pod's own publication ends what it waited for; the first is the node's
    assert {(one.object, one.at_ns) for one in found[1:]} == {
        ("pod/a", at(14.2) - 1),
        ("pod/c", at(14.3) - 1),
        ("pod/d", at(14.4) - 1),
        ("pod/e", at(14.6) - 1),
    }


def test_a_crowd_is_no_chance_though_nobody_is_early() -> None:
    """A kubelet that was away for three seconds finds most of its pods due."""
    pods = {f"p{number}": [number % 7, number % 7 + 7.0, 18.0] for number in range(20)}

    found = extra_syncs(published(pods), META, from_ns=T0)

    assert found[0].object == "node/n"
    assert found[0].at_ns == at(18.0) - 1


def test_one_pod_that_is_synced_early_is_its_own_affair() -> None:
    """Somebody edited it."""
    table = published({"a": [0, 6, 8, 14], "b": [1, 7, 13], "c": [2, 9, 15]})

    (found,) = extra_syncs(table, META, from_ns=T0)

    assert (found.object, found.at_ns) == ("pod/a", at(8) - 1)


def test_healthy_pods_are_never_accused() -> None:
    """Intervals of S + 1 to 1.5 S + 1, some tenths early or late."""
    rng = np.random.default_rng(1)
    pods = {
        f"p{number}": np.cumsum(rng.integers(6, 9, 500) + rng.uniform(-0.3, 0.3, 500))
        for number in range(20)
    }
    table = published({pod: seconds.tolist() for pod, seconds in pods.items()})

    assert extra_syncs(table, META, from_ns=T0) == []


def test_a_node_with_too_much_to_do_is_not_accused() -> None:
    """Publications that come late and together were no extra syncs, nor the next ones.

    Syncs are 6 to 8 s apart; 60 s after the start the node is held up for six
    seconds, in which probes notice nothing either.
    """
    rng = np.random.default_rng(3)
    pods = {}
    for number in range(20):
        syncs = rng.uniform(0, 8) + np.cumsum(rng.integers(6, 9, 30))
        held_up = (syncs > 60) & (syncs < 66)
        pods[f"p{number}"] = np.where(held_up, 66.0, syncs).tolist()
    healthy, behind = published(pods), published(pods, noticed_s=6.2)
    mixed = healthy.where(healthy["published_ns"] != at(66.0), behind)

    assert extra_syncs(mixed, META, from_ns=T0) == []
    # seen by probes that were not held up, it was the kubelet alone
    assert extra_syncs(healthy, META, from_ns=T0)[0].object == "node/n"


def test_what_was_synced_on_purpose_is_not_told() -> None:
    """Before the window every pod is."""
    table = published({"a": [0, 6, 8, 14]})

    assert extra_syncs(table, META, from_ns=at(9)) == []


def test_pods_that_end_are_gone() -> None:
    """Deleted, on their way out, or evicted; each with its reason, and once."""
    names = ("there", "away", "leaving", "evicted")
    logs = [ProbeLog(node="n", pod=name, uid=name, configmap="m") for name in names]
    listed = [
        {"metadata": {"name": "there", "uid": "there"}},
        {"metadata": {"name": "x", "uid": "leaving", "deletionTimestamp": "now"}},
        {
            "metadata": {"name": "x", "uid": "evicted"},
            "status": {"phase": "Failed", "reason": "Evicted"},
        },
        {"metadata": {"name": "new", "uid": "new"}},
    ]

    found = {one.pod: why for one, why in incidents.gone_probes(logs, listed)}

    assert found == {
        "away": "it was deleted",
        "leaving": "it is being deleted",
        "evicted": "it ended: Evicted",
    }
    assert incidents.replacements(logs, listed) == ["new"]


def node(boot: str, ready: str) -> dict[str, Any]:
    """Make a Node."""
    return {
        "metadata": {"name": "n"},
        "status": {
            "nodeInfo": {"bootID": boot},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def test_nodes_that_boot_or_fall_silent_are_told() -> None:
    """A boot interrupts; silence is told, and so is the end."""
    before = incidents.node_states([node("1", "True")])

    def change(*nodes: dict[str, Any]) -> list[str]:
        now = incidents.node_states(nodes)
        return [one.kind for one in incidents.node_changes(before, now, at_ns=T0)]

    assert change(node("1", "True")) == []
    assert change(node("2", "True")) == ["restart"]
    assert change(node("1", "Unknown")) == ["node_ready"]
    assert change() == ["node_gone"]


def together(tmp_path: Path, spread_s: float) -> dict[str, Any]:
    """Judge the phases of pods that sync within a spread."""
    writer = RunWriter.create(
        tmp_path, meta={"run_id": "r", "measure_from_ns": T0, **META, "pods": []}
    )
    rng = np.random.default_rng(2)
    writer.append_publications(
        {
            "node": "n",
            "pod": f"p{number}",
            "consumer": "volume",
            "seq": 1,
            "published_ns": at(float(rng.uniform(0, spread_s))),
        }
        for number in range(30)
    )
    run = read_run(writer.path)
    tally = Tally()
    tally.count_phases(run)
    return judge(run, tally, changed=[], scrambles=(30, 0))["phases"]


def test_pods_in_phase_make_a_run_invalid(tmp_path: Path) -> None:
    """Those that sync within a second of each other do, those spread out do not."""
    assert together(tmp_path / "a", 1.0)["passed"] is False
    assert together(tmp_path / "b", 7.0)["passed"] is True


def test_settings_that_change_make_a_run_invalid(tmp_path: Path) -> None:
    """A kubelet that was configured anew in the middle is named."""

    class Reconfigured(ModelCluster):
        def kubelet_configuration(self, node: str) -> dict[str, Any]:
            found = super().kubelet_configuration(node)
            if self.clock.monotonic() > 60:
                found["syncFrequency"] = "7s"
            return found

    path = collect(Reconfigured([SETTING]), Plan(pods=2, duration_s=60), out=tmp_path)

    meta = read_run(path).meta
    assert meta["status"] == "invalid"
    assert meta["checks"]["settings"] == {
        "passed": False,
        "value": ["settings of model-1"],
        "limit": [],
    }


def test_a_healthy_run_passes_every_check(tmp_path: Path) -> None:
    """Each check says its figure and its limit."""
    path = collect(ModelCluster([SETTING]), Plan(pods=12, duration_s=120), out=tmp_path)

    judged = {
        name: check
        for name, check in read_run(path).meta["checks"].items()
        if isinstance(check, dict)
    }
    assert set(judged) == {
        *("schedule", "clock", "api_errors", "restarts", "missed", "settings"),
        *("scrambled", "phases", "censoring"),
    }
    assert {
        name for name, check in judged.items() if check["passed"] is not True
    } == set()
    assert all(set(check) == {"passed", "value", "limit"} for check in judged.values())
