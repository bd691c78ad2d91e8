"""`summarise --by`: each value of a node's label by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from cmhot.statistics.summarise import summarise
from cmhot.statistics.summary import to_openmetrics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from cmhot.kubelet.uses import Kind
    from tests.unit.conftest import SimulateRun

ZONE = "topology.kubernetes.io/zone"
POOLS = {"n0": {ZONE: "b", "pool": "x"}, "n1": {ZONE: "a"}, "n2": {}}
SETTINGS = ("sync=20s", "sync=10s", "sync=10s")


def run_of(simulate_run: SimulateRun, run_id: str = "r", **meta: Any) -> Path:  # noqa: ANN401 - keys of run.json
    """Simulate three nodes, two of them at one setting in one zone or none."""
    known = {"node_labels": POOLS, **meta}
    return simulate_run(run_id, settings=SETTINGS, pods=4, window_s=60, **known).path


def test_values_are_summarised_apart(simulate_run: SimulateRun) -> None:
    """In order of the setting; a node without the label has null."""
    path = run_of(simulate_run)

    pooled = summarise([path]).to_dict()["settings"]
    split = summarise([path], by=ZONE).to_dict()["settings"]

    assert [(one["sync_frequency_s"], one["by"]) for one in split] == [
        (10, {ZONE: None}),
        (10, {ZONE: "a"}),
        (20, {ZONE: "b"}),
    ]
    assert [(one["pods"], one["by"]) for one in pooled] == [(8, None), (4, None)]
    assert [one["pods"] for one in split] == [4, 4, 4]
    assert sum(one["n_delays"] for one in split[:2]) == pooled[0]["n_delays"]
    syncs = [one["interval_estimator"]["n_syncs"] for one in split]
    assert sum(syncs[:2]) == pooled[0]["interval_estimator"]["n_syncs"]


def test_text_table_and_metrics_name_the_value(simulate_run: SimulateRun) -> None:
    """Wherever a setting is named, its part of the nodes is, too."""
    summary = summarise([run_of(simulate_run)], by=ZONE)

    text = summary.to_text()
    assert f"10 s, Watch, {ZONE}=a, volume: 4 pods" in text
    assert f"10 s, Watch, {ZONE}=, volume: 4 pods" in text
    assert summary.table()[ZONE].tolist()[1:] == ["a", "b"]
    assert f'node_label="{ZONE}=b"' in to_openmetrics(summary)


def test_an_unknown_label_is_refused(simulate_run: SimulateRun) -> None:
    """It lists those that were recorded, and says how others would be."""
    path = run_of(simulate_run)
    blind = run_of(simulate_run, "blind", node_labels={})

    with pytest.raises(UsageError, match=f"recorded are pool, {ZONE}; .*--node-label"):
        summarise([path], by="zone")
    with pytest.raises(UsageError, match="no node label zone in blind: none was"):
        summarise([blind], by="zone")
    answer = CliRunner().invoke(cli, ["summarise", str(path), "--by", "zone"])
    assert isinstance(answer.exception, UsageError)


def test_runs_are_split_together(simulate_run: SimulateRun) -> None:
    """Values of one name in two runs are one; a run without labels has none."""
    paths = [run_of(simulate_run, "a"), run_of(simulate_run, "b")]
    paths.append(run_of(simulate_run, "c", node_labels={}))

    found = summarise(paths, by="pool").to_dict()["settings"]

    assert [(one["by"]["pool"], one["pods"]) for one in found] == [
        (None, 24),
        (None, 4),
        ("x", 8),
    ]


class Pools(ModelCluster):
    """A model with labelled nodes."""

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Add labels, some of them nobody's business."""
        found, version = super().list(kind, namespace=namespace, labels=labels)
        for number, one in enumerate(found):
            if "nodeInfo" in one.get("status", {}):
                one["metadata"].setdefault("labels", {}).update(
                    {
                        ZONE: f"zone-{number}",
                        "cmhot.dev/pool": "ours",
                        "pool": "fast",
                        "owner": "SECRET",
                    }
                )
        return found, version


def test_a_collection_records_what_makes_pools(tmp_path: Path) -> None:
    """Well-known labels, ours, and those asked for: no others."""
    cluster = Pools([Setting(5), Setting(5)])
    plan = Plan(pods=8, duration_s=20, node_labels=("pool",))

    path = collect(cluster, plan, out=tmp_path)

    kept = read_run(path).meta["node_labels"]
    assert kept["model-1"] == {
        "cmhot.dev/pool": "ours",
        "pool": "fast",
        ZONE: "zone-0",
    }
    assert "SECRET" not in (path / "run.json").read_text()
    answer = CliRunner().invoke(
        cli, ["summarise", str(path), "--json", "--by", "cmhot.dev/pool"]
    )
    (found,) = json.loads(answer.stdout)["settings"]
    assert found["by"] == {"cmhot.dev/pool": "ours"}
    zones = summarise([path], by=ZONE).to_dict()["settings"]
    assert [one["by"][ZONE] for one in zones] == ["zone-0", "zone-1"]
