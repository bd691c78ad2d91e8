"""Simulated runs: the collector's experiment, without the collector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cmhot.clock import ns
from cmhot.cluster.model import ModelCluster, simulate
from cmhot.cluster.model.virtual_kubelet import History, Kubelet
from cmhot.collector.begin import collect
from cmhot.errors import UsageError
from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import law_for
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.runs.tables import frame

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cmhot.runs.rundir import Run

CACHED = Setting(10, Strategy.CACHE, 60)


def observed(run: Run) -> NDArray[np.float64]:
    """Give the delays of a run, seconds; there are no others."""
    rows = delays(run)
    assert set(rows["status"]) == {"observed"}
    return rows["delay_s"].to_numpy()


def test_tables_are_those_of_a_run_directory(tmp_path: Path) -> None:
    """Columns and dtypes are the schema's, and nothing is null that a collector has."""
    run = simulate(Setting(10), pods=2, duration_s=30)
    read = read_run(
        collect(ModelCluster([Setting(10)]), Plan(pods=2, duration_s=30), out=tmp_path)
    )

    tables = (schema.UPDATES, schema.PUBLICATIONS, schema.CLOCK, schema.EVENTS)
    names = ("updates", "publications", "clock", "events")
    for name, table in zip(names, tables, strict=True):
        simulated, collected = getattr(run, name), getattr(read, name)
        empty = frame([], table)
        pd.testing.assert_series_equal(simulated.dtypes, empty.dtypes)
        pd.testing.assert_series_equal(collected.dtypes, empty.dtypes)
        absent = set(simulated.columns[simulated.isna().any()])
        assert absent <= {"resource_version", "error"}
    assert set(run.meta["pods"][0]) == set(read.meta["pods"][0])


def test_every_trial_is_accounted_for() -> None:
    """Rows are trials times pods times nodes, each observed, within the support."""
    run = simulate(Setting(10), pods=3, nodes=2, duration_s=60)

    trials = (run.updates["purpose"] == "trial").sum()
    rows = observed(run)
    assert trials == run.meta["planned_updates"]
    assert (run.updates["purpose"] == "scramble").sum() == 6
    assert rows.size == 6 * trials
    assert rows.min() >= 0.008
    assert rows.max() < 16.22
    assert sorted(run.meta["settings"]) == ["model-1", "model-2"]
    assert refresh_intervals(run)["pod"].nunique() == 6


def test_what_is_known_of_the_run() -> None:
    """It says modelled wherever a version stands, and of which kubelet."""
    run = simulate(
        CACHED, pods=1, duration_s=30, kubernetes="v1.28.15", seed=9, run_id="r"
    )

    assert run.meta["modelled"] is True
    assert run.meta["kubernetes"] == "modelled v1.28.15"
    assert run.meta["kubelets"] == {"model-1": "modelled v1.28.15"}
    assert (run.meta["run_id"], run.meta["seed"]) == ("r", 9)
    setting = schema.setting_of(run.meta["settings"]["model-1"])
    assert setting == CACHED
    window_ns = run.meta["measure_until_ns"] - run.meta["measure_from_ns"]
    assert window_ns == 30_000_000_000
    drain_ns = run.meta["observed_until_ns"] - run.meta["measure_until_ns"]
    assert drain_ns == 17_000_000_000  # 1.5 · 10 s + 2 s: in 1.28 a TTL does nothing


def test_one_seed_gives_one_run() -> None:
    """The tables follow from the seed; another seed gives others."""
    one, same, other = (
        simulate(CACHED, pods=3, nodes=2, duration_s=120, seed=seed)
        for seed in (4, 4, 5)
    )

    pd.testing.assert_frame_equal(one.publications, same.publications)
    pd.testing.assert_frame_equal(one.updates, same.updates)
    assert one.updates["sent_ns"].to_list() != other.updates["sent_ns"].to_list()
    nodes = dict(list(one.publications.groupby("node")["published_ns"]))
    assert nodes["model-1"].to_list() != nodes["model-2"].to_list()


def sync_rates(run: Run, *, from_ns: int) -> NDArray[np.float64]:
    """Give the rate of syncs in four spans of 5 s, over 1/μ (13.01 s per pod)."""
    at = (run.publications["published_ns"].to_numpy() - from_ns) / 1e9
    counts, _ = np.histogram(at, bins=[0, 5, 10, 15, 20])
    return np.asarray(counts / len(run.meta["pods"]) / 5 * 13.01)


def test_a_scrambled_start_is_stationary() -> None:
    """From T0 + b on, pods are synced at a rate of 1/μ in each part of the interval.

    36,000 pods: a standard error of a rate is 0.7 %.
    """
    run = simulate(Setting(10), pods=36_000, duration_s=20, gap_s=0.2)

    rates = sync_rates(run, from_ns=run.meta["measure_from_ns"])
    assert rates == pytest.approx(1, abs=0.02)


def test_an_unscrambled_start_is_not() -> None:
    """Pods created together are synced together: nearly all of them in 5 s of 13."""
    run = simulate(Setting(10), pods=2000, duration_s=40, gap_s=0.2, scrambled=False)

    rates = sync_rates(run, from_ns=run.meta["measure_from_ns"])
    assert (run.updates["purpose"] == "trial").all()
    assert rates.max() > 1.5
    assert rates.min() < 0.05


@pytest.mark.parametrize(
    ("setting", "pods", "nodes", "mean_s", "p95_s"),
    [
        (Setting(10), 20, 10, 6.59, 12.94),
        (Setting(60), 20, 10, 38.26, 75.47),
        (CACHED, 1, 200, 32.99, 62.74),
    ],
    ids=["10 s", "60 s", "lone pods with a cache"],
)
def test_delays_follow_the_law(
    setting: Setting, pods: int, nodes: int, mean_s: float, p95_s: float
) -> None:
    """Mean and 95 % quantile are the law's, to two percent."""
    run = simulate(
        setting, pods=pods, nodes=nodes, duration_s=100 * setting.sync_frequency_s
    )

    found = observed(run)
    law = law_for(setting, timing=TYPICAL)
    assert law is not None
    assert (law.mean_s, law.quantile(0.95)) == pytest.approx((mean_s, p95_s), abs=0.01)
    assert found.mean() == pytest.approx(mean_s, rel=0.02)
    assert np.quantile(found, 0.95) == pytest.approx(p95_s, rel=0.02)


def test_the_collector_sees_the_same(tmp_path: Path) -> None:
    """A run through port, requests and logs has the delays of a simulated one."""
    plan = Plan(pods=40, duration_s=300, seed=3)
    path = collect(ModelCluster([Setting(5)], seed=8), plan, out=tmp_path)
    collected = observed(read_run(path))

    simulated = observed(simulate(Setting(5), pods=40, duration_s=300, seed=3))

    t = np.linspace(0, 8.5, 200)
    shares = [
        np.searchsorted(np.sort(rows), t, "right") / rows.size
        for rows in (collected, simulated)
    ]
    # 1,800 intervals each: a standard error of a share is at most 0.012, less in effect
    assert np.abs(shares[0] - shares[1]).max() < 0.03
    assert collected.mean() == pytest.approx(simulated.mean(), abs=0.1)


def test_a_publication_takes_sixteen_bytes() -> None:
    """An instant and a number, in arrays that grow by an eighth at most."""
    history = History()
    for number in range(6000):
        history.write(number, at_ns=number * ns(1))
    kubelet = Kubelet(Setting(2), np.random.default_rng(1))
    (pod,) = kubelet.add([[history]], at_ns=0)
    kubelet.run(ns(6000))

    (volume,) = pod.volumes
    size = sys.getsizeof(volume.numbers) + sys.getsizeof(volume.instants_ns)
    assert len(volume.numbers) > 1900
    assert size / len(volume.numbers) < 18.5
    assert len(kubelet._schedule) <= 2
    assert len(kubelet._bins) == 1


@pytest.mark.parametrize("wrong", [{"nodes": 0}, {"pods": 0}, {"duration_s": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    """Nodes, pods and the window are there at least once."""
    given = {"nodes": 1, "pods": 1, "duration_s": 1} | wrong

    with pytest.raises(UsageError, match=r"0 s is empty|0 pods|0 nodes"):
        simulate(Setting(10), **given)  # type: ignore[arg-type]
