"""Whether a run may be believed is said in its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.collector.finish import Tally, judge
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


META: dict[str, Any] = {
    "settings": {"n": {"sync_frequency_s": 5.0, "strategy": "Watch", "ttl_s": 0.0}}
}


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
