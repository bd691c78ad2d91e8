"""The collector, on the model: what is planned, sent, seen, and put away again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cmhot.clock import NS_PER_S
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import NODE, POD
from cmhot.collector.begin import collect
from cmhot.collector.preflight import estimate_load
from cmhot.errors import ClusterError, ForbiddenError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.plots.figure import Material
from cmhot.plots.publishing import render
from cmhot.runs.plan import Plan, expected_duration_s
from cmhot.runs.rundir import read_run
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cmhot.collector.progress import Progress
    from cmhot.kubelet.uses import Kind

SETTINGS = (Setting(5), Setting(10, Strategy.GET))


def test_every_trial_is_accounted_for(tmp_path: Path) -> None:
    """Rows are updates times pods, and all are observed on a healthy cluster."""
    plan = Plan(pods=3, duration_s=60, seed=7)

    path = collect(ModelCluster(SETTINGS), plan, out=tmp_path)

    run = read_run(path)
    rows = pd.read_parquet(path / "delays.parquet")
    trials = run.updates[run.updates["purpose"] == "trial"]
    assert run.meta["status"] == "complete"
    assert run.meta["modelled"] is True
    assert (
        len(trials) == run.meta["planned_updates"] == run.meta["checks"]["trials_sent"]
    )
    assert len(rows) == len(trials) * 6
    assert set(rows["status"]) == {"observed"}
    assert rows["delay_s"].max() < 16.2


class Foreign(ModelCluster):
    """A cluster whose nodes name no version of a kubelet."""

    def pages(self, kind: Kind, **chosen: Any) -> Iterator[Sequence[dict[str, Any]]]:  # noqa: ANN401
        """Give them another version."""
        for page in super().pages(kind, **chosen):
            found = json.loads(json.dumps(page))
            for node in found if kind == NODE else ():
                node["status"]["nodeInfo"]["kubeletVersion"] = "v1.11.0-vk"
            yield found


def test_kubelets_without_a_law_are_measured_without_it(tmp_path: Path) -> None:
    """Nothing is refused at the end; that no law is known is told beforehand."""
    told: list[str] = []
    cluster = Foreign((Setting(5), Setting(5, Strategy.CACHE, 15)))
    plan = Plan(pods=3, duration_s=60, seed=7)

    path = collect(cluster, plan, out=tmp_path, tell=told.append)

    assert ["no law is known for kubelet v1.11.0-vk" in line for line in told] == [True]
    assert read_run(path).meta["status"] == "complete"
    summary = summarise([path])
    assert [one.law["mean_s"] for one in summary.settings] == [None, None]
    assert all(one.counts["n_delays"] > 0 for one in summary.settings)
    assert "law" not in summary.to_text()
    material = Material(paths=(path,))
    assert render("headline", material, picture=tmp_path / "h.svg").picture.is_file()


def test_phases_are_scrambled_before_the_first_trial(tmp_path: Path) -> None:
    """Each pod is annotated once, seen to publish, and left alone afterwards."""
    path = collect(ModelCluster(SETTINGS), Plan(pods=4, duration_s=30), out=tmp_path)

    run = read_run(path)
    scrambles = run.updates[run.updates["purpose"] == "scramble"]
    assert len(scrambles) == 8
    assert run.meta["checks"]["phases_not_scrambled"] == 0
    # 16.2 s: the longest interval of the slowest setting, from the first annotation on
    assert scrambles["sent_ns"].max() < run.meta["measure_from_ns"]


def test_one_seed_gives_one_schedule(tmp_path: Path) -> None:
    """The planned offsets follow from the seed alone."""

    def offsets(folder: str) -> list[int]:
        path = collect(
            ModelCluster(SETTINGS), Plan(pods=2, duration_s=30), out=tmp_path / folder
        )
        run = read_run(path)
        return list(run.updates["planned_ns"] - run.meta["measure_from_ns"])

    assert offsets("a") == offsets("b")


class Failing(ModelCluster):
    """A cluster whose writes fail now and then."""

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Refuse every tenth number."""
        if kind == CONFIG_MAP and int(body["data"]["seq"]) % 10 == 0:
            msg = "PATCH failed (500): no luck"
            raise ClusterError(msg, status=500)
        return super().patch(kind, name, body, namespace=namespace)


def test_a_failed_write_is_a_row_not_an_end(tmp_path: Path) -> None:
    """Planned = observed + failed; nothing is dropped."""
    path = collect(Failing(SETTINGS), Plan(pods=2, duration_s=60), out=tmp_path)

    rows = pd.read_parquet(path / "delays.parquet")
    counts = rows["status"].value_counts()
    planned = read_run(path).meta["planned_updates"]
    assert counts["failed"] > 0
    assert counts["failed"] + counts["observed"] == planned * 4


class Interrupted(ModelCluster):
    """A cluster in front of which somebody presses Ctrl-C."""

    deleted: tuple[str, ...] = ()

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Interrupt the fortieth number."""
        if kind == CONFIG_MAP and body["data"]["seq"] == "40":
            raise KeyboardInterrupt
        return super().patch(kind, name, body, namespace=namespace)

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Note what is deleted."""
        self.deleted += (f"{kind.plural}/{name}",)
        super().delete(kind, name, namespace=namespace, uid=uid)


def test_an_interruption_keeps_the_data_and_cleans_up(tmp_path: Path) -> None:
    """Ctrl-C leaves a closed run directory, and nothing on the cluster."""
    cluster = Interrupted(SETTINGS)

    with pytest.raises(KeyboardInterrupt):
        collect(cluster, Plan(pods=3, duration_s=600), out=tmp_path, run_id="r")

    run = read_run(tmp_path / "r")
    rows = pd.read_parquet(tmp_path / "r" / "delays.parquet")
    assert run.meta["status"] == "interrupted"
    assert run.updates["seq"].max() == 39
    assert set(rows["status"]) <= {"observed", "timeout"}
    assert cluster.deleted == ("namespaces/cmhot-r",)


class Forbidding(ModelCluster):
    """A cluster that lets us look, and no more."""

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Refuse."""
        msg = f"PATCH {manifest['kind']} in {namespace} is not allowed: ask"
        raise ForbiddenError(msg, status=403)


def test_a_run_that_could_not_begin_leaves_nothing(tmp_path: Path) -> None:
    """Without the right to create, no run directory is left, nor its folder."""
    with pytest.raises(ForbiddenError, match="is not allowed"):
        collect(Forbidding(SETTINGS), Plan(pods=1), out=tmp_path / "deep" / "runs")

    assert list(tmp_path.iterdir()) == []


class NeverReady(ModelCluster):
    """A cluster whose pods do not start."""

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List pods whose image is not there."""
        waiting = {"reason": "ErrImagePull", "message": "no such image"}
        found, version = super().list(kind, namespace=namespace, labels=labels)
        if kind == POD:
            for one in found:
                one["status"] = {"containerStatuses": [{"state": {"waiting": waiting}}]}
        return found, version


def test_pods_that_do_not_start_are_explained(tmp_path: Path) -> None:
    """The error says how many, and what the last one waits for."""
    cluster = NeverReady(SETTINGS)

    with pytest.raises(
        ClusterError, match=r"only 0 of 2 .* ErrImagePull no such image"
    ):
        collect(cluster, Plan(pods=1), out=tmp_path, run_id="r")

    status = json.loads((tmp_path / "r" / "run.json").read_text())["status"]
    assert status == "interrupted"


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    """Phases come in order, and the last call has all trials and a delay."""
    seen: list[Progress] = []

    collect(
        ModelCluster(SETTINGS),
        Plan(pods=2, duration_s=60),
        out=tmp_path,
        progress=seen.append,
    )

    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["pods", "phases", "updates", "drain", "done"]
    assert seen[-1].done == seen[-1].total > 50
    assert seen[-1].last_delay_s is not None


def test_a_dry_run_says_what_it_would_cost() -> None:
    """Writes, events, pods and minutes are known before anything is created."""
    cluster = ModelCluster(SETTINGS)

    cost = estimate_load(cluster, Plan(pods=9, duration_s=120, gap_s=0.5))

    assert (cost.pods, cost.updates_per_s, cost.watch_events_per_s) == (18, 2, 2)
    # burn-in 16.2 s, window 120 s, drain 1.5 · 10 + 2 s
    assert cost.duration_s == pytest.approx(153.2)
    assert cluster.list(POD)[0] == []


def test_the_expected_duration_is_kept(tmp_path: Path) -> None:
    """From the first annotation to the end it takes what was said."""
    cluster = ModelCluster(SETTINGS)
    plan = Plan(pods=2, duration_s=60)
    began = cluster.clock.utc_ns()

    collect(cluster, plan, out=tmp_path)

    took_s = (cluster.clock.utc_ns() - began) / NS_PER_S
    said_s = expected_duration_s(plan, list(SETTINGS))
    # two seconds until the pods are Ready, two of head start, some requests of 5 ms
    assert said_s < took_s < said_s + 4.5
