"""Resuming: a run whose collector was killed anywhere loses no trial."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cmhot.cluster import probe
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import NAMESPACE
from cmhot.collector.begin import collect, resume
from cmhot.collector.probes import CONFIG_MAP_NAME
from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import RunWriter, read_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cmhot.collector.progress import Progress
    from cmhot.kubelet.uses import Kind

SETTINGS = (Setting(5), Setting(10, Strategy.GET))
PLAN = Plan(pods=3, duration_s=120, seed=7)
LONG = Plan(pods=3, duration_s=800, gap_s=2, seed=7)
TORN = b'{"seq":99'


class Killed(BaseException):
    """The collector dies here, and nothing that it would still do counts."""


class Mortal(ModelCluster):
    """A cluster in front of which the collector is killed at a request.

    Attributes
    ----------
    dies_at
        Number of the request; None: never.
    run_dir
        The run, which is kept as it is at that moment in ``<run_dir>.kept``.
    """

    run_dir: Path
    dies_at: int | None = None
    requests = 0
    logs: Mapping[str, str]

    def _request(self) -> int:
        now = super()._request()
        self.requests += 1
        if self.dies_at is not None and self.requests >= self.dies_at:
            kept = self.run_dir.with_suffix(".kept")
            if not kept.exists():
                shutil.copytree(self.run_dir, kept)
            raise Killed
        return now

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Keep what the probes have noted, when they go."""
        if kind == NAMESPACE:
            pods = [pod for where, pod in self._world.pods if where == name]
            self.logs = {
                pod: self.log(pod, namespace=name, container="probe") for pod in pods
            }
        super().delete(kind, name, namespace=namespace, uid=uid)

    def live_again(self, down_s: float) -> None:
        """Let time pass, and put back the run as the kill left it."""
        self.dies_at = None
        self.clock.sleep(down_s)
        shutil.rmtree(self.run_dir)
        self.run_dir.with_suffix(".kept").rename(self.run_dir)
        for table in schema.RAW_TABLES:
            with (self.run_dir / table.file).open("ab") as file:
                file.write(TORN)


def from_the_logs(cluster: Mortal, run_dir: Path) -> pd.DataFrame:
    """Make the table of delays from the probes' whole logs and the updates alone."""
    run = read_run(run_dir)
    again = RunWriter.create(run_dir.parent / "again", meta=run.meta)
    for row in (run_dir / "updates.jsonl").read_text().splitlines():
        again.append_update(json.loads(row))
    for row in (run_dir / "events.jsonl").read_text().splitlines():
        again.append_event(json.loads(row))
    for entry in run.meta["pods"]:
        text = cluster.logs[entry["pod"]]
        again.append_publications(
            {
                **{key: entry[key] for key in ("node", "pod", "uid", "configmap")},
                **{key: entry[key] for key in ("container", "consumer")},
                "seq": line.seq,
                "published_ns": line.published_ns,
                "read_ns": line.read_ns,
            }
            for line in probe.parse_log(text)
        )
    return delays(read_run(again.path))


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Order rows, and forget which texts are categories."""
    typed = schema.conform(rows, schema.DELAYS)
    texts = [one.name for one in schema.DELAYS.columns if one.dtype == "str"]
    typed = typed.astype(dict.fromkeys(texts, "str"))
    return typed.sort_values(["pod", "seq"], ignore_index=True)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_ten_moments_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """Every row equals the one rebuilt from the raw logs, and none is missing."""
    rng = np.random.default_rng(seed)
    cluster = Mortal(SETTINGS)
    cluster.run_dir = tmp_path / "runs" / "r"
    cluster.dies_at = 20  # the probes are ready, and phases are being scrambled
    with pytest.raises(Killed):
        collect(cluster, LONG, out=tmp_path / "runs", run_id="r")
    for _ in range(9):
        cluster.live_again(down_s=float(rng.exponential(5)))
        cluster.requests = 0
        cluster.dies_at = int(rng.integers(1, 40))
        with pytest.raises(Killed):
            resume(cluster, cluster.run_dir)
    cluster.live_again(down_s=3)

    path = resume(cluster, cluster.run_dir)

    run = read_run(path)
    rows = pd.read_parquet(path / "delays.parquet")
    planned = run.meta["planned_updates"]
    trials = run.updates[run.updates["purpose"] == "trial"]
    assert run.meta["status"] in {"complete", "invalid"}
    assert run.updates["seq"].tolist() == list(range(1, planned + 6 + 1))
    assert len(trials) == planned
    assert len(rows) == planned * 6
    assert rows["status"].isin(schema.STATUSES).all()
    assert (rows["status"] == "not_sent").any()
    assert (rows["status"] == "observed").any()
    pd.testing.assert_frame_equal(
        comparable(rows), comparable(from_the_logs(cluster, path))
    )


def killed(tmp_path: Path, *, at: int = 60) -> Mortal:
    """Kill a collection at a request, and let a second pass."""
    cluster = Mortal(SETTINGS)
    cluster.run_dir = tmp_path / "r"
    cluster.dies_at = at
    with pytest.raises(Killed):
        collect(cluster, PLAN, out=tmp_path, run_id="r")
    cluster.live_again(down_s=1)
    return cluster


def test_the_schedule_goes_on_where_it_is(tmp_path: Path) -> None:
    """A resumed run has the planned instants of one that was never killed."""
    whole = read_run(collect(ModelCluster(SETTINGS), PLAN, out=tmp_path, run_id="w"))
    cluster = killed(tmp_path / "killed")

    path = resume(cluster, cluster.run_dir)

    run = read_run(path)
    planned = run.updates["planned_ns"] - run.meta["begin_ns"]
    assert (
        planned.tolist()
        == (whole.updates["planned_ns"] - whole.meta["begin_ns"]).tolist()
    )
    assert run.meta["status"] == "complete"
    assert run.events["kind"].tolist().count("resumed") == 1


def test_a_write_that_the_collector_died_in_is_settled(tmp_path: Path) -> None:
    """It was made, nobody knows when: its number is not used again, it is no trial."""
    cluster = killed(tmp_path)
    meta = json.loads((cluster.run_dir / "run.json").read_text())
    lines = (cluster.run_dir / "updates.jsonl").read_bytes().splitlines()
    seq = len(lines)  # the torn line is the one that was lost
    planned_ns = cluster.clock.utc_ns()
    assert meta["begin_ns"] < planned_ns
    data = {"data": {"seq": str(seq)}}
    cluster.patch(CONFIG_MAP, CONFIG_MAP_NAME, data, namespace="cmhot-r")

    path = resume(cluster, cluster.run_dir)

    row = read_run(path).updates.set_index("seq").loc[seq]
    assert row["status"] == "failed"
    assert "the collector died" in row["error"]


def test_a_run_is_resumed_late(tmp_path: Path) -> None:
    """After its end there is nothing to send, and the logs are still read."""
    cluster = killed(tmp_path)
    cluster.clock.sleep(3600)

    path = resume(cluster, cluster.run_dir)

    run = read_run(path)
    assert len(run.updates) == run.meta["planned_updates"] + 6
    assert run.updates["status"].value_counts()["not_sent"] > 50
    assert run.meta["observed_until_ns"] == run.meta["ends_ns"]


def test_what_is_complete_is_not_resumed(tmp_path: Path) -> None:
    """There is nothing to go on with."""
    cluster = ModelCluster(SETTINGS)
    path = collect(cluster, Plan(pods=1, duration_s=20), out=tmp_path)

    with pytest.raises(RunError, match="is complete: there is nothing left to resume"):
        resume(cluster, path)


def files(run_dir: Path) -> dict[str, bytes]:
    """Read all of a run directory."""
    return {path.name: path.read_bytes() for path in run_dir.iterdir()}


def test_a_run_whose_collector_lives_is_not_resumed(tmp_path: Path) -> None:
    """The second one changes nothing, and the first one never hears of it."""
    cluster = Mortal(SETTINGS)
    unchanged: list[bool] = []

    def meanwhile(progress: Progress) -> None:
        if progress.phase != "updates" or unchanged:
            return
        with (tmp_path / "r" / "updates.jsonl").open("ab") as file:
            size = file.tell()
            file.write(TORN)  # what the first one is just writing
        before, asked = files(tmp_path / "r"), cluster.requests
        with pytest.raises(
            RunError, match=r"another cmhot is collecting into .*r: wait for it, or end"
        ):
            resume(cluster, tmp_path / "r")
        unchanged.append(files(tmp_path / "r") == before and cluster.requests == asked)
        os.truncate(tmp_path / "r" / "updates.jsonl", size)

    path = collect(cluster, PLAN, out=tmp_path, run_id="r", progress=meanwhile)

    assert unchanged == [True]
    run = read_run(path)
    assert run.meta["status"] == "complete"
    assert "resumed" not in set(run.events["kind"])


def test_a_resumed_run_is_held_as_well(tmp_path: Path) -> None:
    """Until its end; then there is nothing left to resume."""
    cluster = killed(tmp_path)
    refused: list[str] = []

    def meanwhile(progress: Progress) -> None:
        if progress.phase == "updates" and not refused:
            with pytest.raises(RunError) as refusal:
                resume(cluster, cluster.run_dir)
            refused.append(str(refusal.value))

    resume(cluster, cluster.run_dir, progress=meanwhile)

    assert "another cmhot is collecting" in refused[0]
    with pytest.raises(RunError, match="there is nothing left to resume"):
        resume(cluster, cluster.run_dir)


def change(run_dir: Path, **entries: Any) -> None:  # noqa: ANN401
    """Change entries of run.json."""
    meta = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**meta, **entries}))


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"kubernetes": "v0.9"}, r"kubernetes \(was v0\.9"),
        ({"target": "context:other"}, r"target \(was context:other"),
        ({"packages": {"cmhot": "0.0"}}, r"cmhot \(was 0\.0"),
        ({"agenda": "another"}, "the schedule that the seed gives"),
        ({"kubelets": {"model-1": "v0.9"}}, "kubelets of model-1"),
    ],
    ids=["kubernetes", "target", "cmhot", "schedule", "kubelet"],
)
def test_another_cluster_or_version_is_refused(
    tmp_path: Path, entries: dict[str, Any], named: str
) -> None:
    """What differs is named, and the run is left as it is."""
    cluster = killed(tmp_path)
    change(cluster.run_dir, **entries)
    before = (cluster.run_dir / "updates.jsonl").read_bytes()

    with pytest.raises(UsageError, match=f"cannot be resumed.*{named}"):
        resume(cluster, cluster.run_dir)

    assert (cluster.run_dir / "updates.jsonl").read_bytes() == before


def test_another_plan_is_refused(tmp_path: Path) -> None:
    """A run keeps its plan."""
    cluster = killed(tmp_path)

    with pytest.raises(UsageError, match="has another plan"):
        resume(cluster, cluster.run_dir, plan=Plan(pods=4, duration_s=120, seed=7))


def test_a_cluster_without_the_probes_is_refused(tmp_path: Path) -> None:
    """Another cluster, or one that was cleaned, has none of the run's pods."""
    cluster = killed(tmp_path)

    with pytest.raises(UsageError, match="are not on this cluster"):
        resume(ModelCluster(SETTINGS), cluster.run_dir)


def test_the_downtime_is_read_from_the_logs(tmp_path: Path) -> None:
    """What was sent before the kill is observed though nobody looked."""
    cluster = killed(tmp_path, at=120)
    cluster.clock.sleep(30)

    path = resume(cluster, cluster.run_dir)

    rows = pd.read_parquet(path / "delays.parquet")
    counts = rows["status"].value_counts()
    # 30 s of a mean gap of 5/6 s, six pods
    assert 100 < counts["not_sent"] < 350
    assert set(rows["status"]) == {"observed", "not_sent"}
    # 1.5 S + 1 s and the volume loops, at S = 10 s
    assert rows["delay_s"].max() < 16.3
