"""Settings that nobody told of: inferred where a run shows them, unknown elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.errors import ForbiddenError
from cmhot.kubelet.eras import Timing
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from cmhot.statistics.inference import _roundest, may_lack_settings, with_inferred
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.runs.rundir import RunWriter
    from tests.unit.conftest import SimulateRun


def keep_silent(writer: RunWriter, *nodes: str) -> None:
    """Take what is known of nodes out of a run; of all, if none is named."""
    meta = json.loads((writer.path / "run.json").read_text())
    for node in nodes or [*meta["settings"]]:
        nothing = dict.fromkeys(("sync_frequency_s", "strategy", "ttl_s"))
        meta["settings"][node] = {**nothing, "source": "unknown"}
    writer.write_run(meta)


@pytest.mark.parametrize("sync_s", [2, 5, 7.5, 10, 60])
def test_a_setting_is_inferred(simulate_run: SimulateRun, sync_s: float) -> None:
    """The roundest S that the intervals allow is what the kubelet had."""
    writer = simulate_run(
        "r", settings=[f"sync={sync_s}s"], pods=20, window_s=20 * sync_s
    )
    keep_silent(writer)

    known = with_inferred(read_run(writer.path)).meta["settings"]["n0"]

    assert (known["sync_frequency_s"], known["source"]) == (sync_s, "inferred")
    assert known["inferred"]["low_s"] <= sync_s <= known["inferred"]["high_s"]
    assert known["inferred"]["n"] > 200


def test_the_summary_marks_it_and_gives_the_law(simulate_run: SimulateRun) -> None:
    """S is there, the strategy is not; the law is that of S, and is not tested."""
    told = simulate_run("told", pods=20)
    silent = simulate_run("silent", pods=20)
    keep_silent(silent)

    (known,) = summarise([told.path]).to_dict()["settings"]
    summary = summarise([silent.path])

    (found,) = json.loads(json.dumps(summary.to_dict()))["settings"]
    assert known["setting_source"] is None  # that run does not say
    assert found["setting_source"] == "inferred"
    assert (found["sync_frequency_s"], found["strategy"], found["ttl_s"]) == (
        *(10.0, None, None),
    )
    assert found["inferred"]["low_s"] <= 10 <= found["inferred"]["high_s"]
    same = ("law", "interval_estimator", "confidence", "mean_s", "n_delays")
    assert {key: found[key] for key in same} == {key: known[key] for key in same}
    assert known["fit"]["equivalent"] is not None
    assert set(found["fit"].values()) == {None}
    text = summary.to_text()
    assert "10 s (inferred), volume: 20 pods" in text
    assert "syncFrequency inferred from " in text


def test_what_is_known_and_what_is_inferred_stay_apart(
    simulate_run: SimulateRun,
) -> None:
    """Of two nodes at 10 s one told it, and nobody pools the two."""
    writer = simulate_run("r", settings=["sync=10s", "sync=10s"], pods=10)
    keep_silent(writer, "n1")

    found = summarise([writer.path]).to_dict()["settings"]

    assert [entry["setting_source"] for entry in found] == [None, "inferred"]
    assert [entry["pods"] for entry in found] == [10, 10]
    assert [entry["sync_frequency_s"] for entry in found] == [10, 10]


def test_nodes_of_few_pods_are_taken_together(simulate_run: SimulateRun) -> None:
    """None of eight nodes alone has 20 intervals; together they show their S."""
    writer = simulate_run("r", settings=["sync=10s"] * 8, pods=1)
    keep_silent(writer)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert (found["sync_frequency_s"], found["pods"]) == (10, 8)
    assert 40 < found["inferred"]["n"] < 100


def test_nodes_of_few_pods_that_differ_infer_nothing(
    simulate_run: SimulateRun,
) -> None:
    """Intervals of 5 s and of 20 s follow no one law."""
    writer = simulate_run(
        "r", settings=["sync=5s"] * 4 + ["sync=20s"] * 12, pods=1, window_s=80
    )
    keep_silent(writer)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert (found["setting_source"], found["sync_frequency_s"]) == ("unknown", None)
    assert set(found["law"].values()) == {None}


def test_too_little_infers_nothing(simulate_run: SimulateRun) -> None:
    """From a handful of intervals S is not inferred."""
    writer = simulate_run("r", pods=2, window_s=30)
    keep_silent(writer)

    (found,) = summarise([writer.path]).to_dict()["settings"]

    assert found["setting_source"] == "unknown"
    assert found["inferred"] is None


def test_a_run_that_knows_all_is_not_looked_at(simulate_run: SimulateRun) -> None:
    """Its raw records need not be read for this."""
    writer = simulate_run("r")
    meta: dict[str, Any] = json.loads((writer.path / "run.json").read_text())

    assert not may_lack_settings(meta)
    assert may_lack_settings({**meta, "settings": {}})
    assert may_lack_settings({**meta, "pods": None})


class Silent(ModelCluster):
    """A model whose kubelets may not be asked."""

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Refuse."""
        msg = f"not allowed: the configuration of {node}"
        raise ForbiddenError(msg, status=403)


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        (Setting(10), ("inferred", 10)),
        (Setting(10, Strategy.GET), ("inferred", 10)),
        (Setting(60), ("inferred", 60)),
        (Setting(10, Strategy.CACHE, 60), ("unknown", None)),
        (Setting(60, Strategy.CACHE, 60), ("unknown", None)),
    ],
    ids=str,
)
def test_a_collection_that_may_not_ask(
    tmp_path: Path, setting: Setting, found: tuple[str, float | None]
) -> None:
    """With the updates as sparse as for 60 s, S shows itself; under a TTL it cannot."""
    plan = Plan(pods=30, duration_s=900)

    path = collect(Silent([setting]), plan, out=tmp_path)

    (own,) = summarise([path], force=True).to_dict()["settings"]
    assert (own["setting_source"], own["sync_frequency_s"]) == found


def test_a_busy_machine_shows_it_too(tmp_path: Path) -> None:
    """Syncs of 0.08 s make S = 2 s look longer, and one interval in twelve 4 s."""
    busy = Silent([Setting(2)], timing=Timing(sync_s=0.08, write_s=0.05))
    plan = Plan(pods=20, duration_s=300, gap_s=0.4)

    path = collect(busy, plan, out=tmp_path)

    (own,) = summarise([path], force=True).to_dict()["settings"]
    assert (own["setting_source"], own["sync_frequency_s"]) == ("inferred", 2)
    assert own["inferred"]["low_s"] < 2 < own["inferred"]["high_s"]


@pytest.mark.parametrize(
    ("best", "low", "high", "round_s"),
    [
        (59.2, 57.0, 61.0, 60.0),
        (10.04, 9.9, 10.2, 10.0),
        (7.46, 7.3, 7.6, 7.5),
        (10.31, 10.27, 10.36, 10.3),
        (10.257, 10.25, 10.26, 10.26),
        (0.4, 0.3, 0.5, 0.5),
    ],
)
def test_people_choose_round_numbers(
    best: float, low: float, high: float, round_s: float
) -> None:
    """The roundest number within the limits, or else the best to a hundredth."""
    assert _roundest(best, low, high) == pytest.approx(round_s, abs=1e-9)


def test_inference_is_seldom_wrong(simulate_run: SimulateRun) -> None:
    """Of thirty nodes of 10 s each is said to have 10 s: strays would split a pool."""
    found = []
    for seed in range(3):
        writer = simulate_run(f"r{seed}", settings=["sync=10s"] * 10, pods=4, seed=seed)
        keep_silent(writer)
        settings = with_inferred(read_run(writer.path)).meta["settings"]
        found += [entry["sync_frequency_s"] for entry in settings.values()]

    assert found == [10.0] * 30
