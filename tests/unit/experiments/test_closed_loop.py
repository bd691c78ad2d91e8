"""Closed loops that are really run, on the model: what they do, find and leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import MANAGED_BY, NAMESPACE
from cmhot.cluster.probe import RUN_LABEL
from cmhot.errors import UsageError
from cmhot.experiments.closed_loop import COLUMNS, closed_loops
from cmhot.kubelet.settings import Setting
from cmhot.law import interval_pmf
from cmhot.statistics.mistakes import closed_loop_mean_s

if TYPE_CHECKING:
    from cmhot.collector.progress import Progress
    from cmhot.kubelet.uses import Kind

TEN = Setting(10)


class Remembering(ModelCluster):
    """A model that remembers what was made and deleted."""

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__([TEN, Setting(20)])
        self.silent = silent
        self.made: list[str] = []
        self.labels: list[dict[str, str]] = []
        self.deleted: list[tuple[str, str]] = []

    def apply(self, manifest: Any, *, namespace: str | None = None) -> dict[str, Any]:  # noqa: ANN401
        """Remember it."""
        self.made.append(f"{manifest['kind']}/{manifest['metadata']['name']}")
        self.labels.append(manifest["metadata"]["labels"])
        return super().apply(manifest, namespace=namespace)

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Remember it."""
        self.deleted.append((kind.plural, name))
        super().delete(kind, name, namespace=namespace, uid=uid)

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Say that any namespace is there."""
        return {} if kind == NAMESPACE else super().get(kind, name, namespace=namespace)

    def log(self, pod: str, **how: Any) -> str:  # noqa: ANN401
        """Say nothing, if so asked."""
        return "" if self.silent else super().log(pod, **how)


def test_it_finds_what_its_pause_says() -> None:
    """With pauses of 0 and 5 s at S = 10 s it finds 12.6 and 7.6 s, not 6.6 s."""
    found = closed_loops(ModelCluster(), TEN, pauses=(0.0, 0.5), pods=6, trials=25)
    trials = found.dropna()
    mean_s = trials.groupby("pause_s")["delay_s"].mean()

    assert tuple(found) == COLUMNS
    assert len(found) == 2 * 6 * 26
    assert len(trials) == 2 * 6 * 25  # the first of each loop follows no sync
    # seen up to 0.5 s late, and the probe's line is 0.1 s late: 0.4 s on the average
    assert (trials["age_s"] - trials["pause_s"]).between(0.1, 0.8).all()
    # 150 intervals of sd 1.41 s: three standard errors are 0.35 s
    assert mean_s.tolist() == pytest.approx([12.6, 7.6], abs=0.35)


def test_the_law_predicts_each_trial() -> None:
    """By its real age each trial's mean is the law's: within three standard errors."""
    found = closed_loops(ModelCluster(seed=3), TEN, pods=3, trials=25).dropna()
    values, weights = interval_pmf(TEN)
    ages = found["age_s"].tolist()

    off = found["delay_s"] - [
        closed_loop_mean_s(values, weights, pause_s=age) for age in ages
    ]

    # 300 trials of sd 1.41 s at most: three standard errors are 0.25 s
    assert abs(off.mean()) < 0.25


def test_it_takes_all_away() -> None:
    """Its own namespace goes at the end, and with it all that is in it."""
    cluster = Remembering()

    closed_loops(cluster, TEN, pods=1, trials=1)

    (namespace,) = (name for name in cluster.made if name.startswith("Namespace/"))
    assert len(cluster.made) == 1 + 2 * 4
    assert cluster.deleted == [("namespaces", namespace.partition("/")[2])]


def test_it_leaves_a_given_namespace() -> None:
    """In a namespace of the user's each object goes by itself."""
    cluster = Remembering()

    closed_loops(cluster, TEN, pauses=(0.0,), pods=2, trials=1, namespace="mine")

    assert not [name for name in cluster.made if name.startswith("Namespace/")]
    kinds = {"ConfigMap": "configmaps", "Deployment": "deployments"}
    made = [one.split("/") for one in cluster.made]
    assert sorted(cluster.deleted) == sorted((kinds[kind], name) for kind, name in made)
    assert len(made) == 4


def test_two_at_once_share_no_name() -> None:
    """In one namespace neither takes over, or removes, what is the other's."""
    first, second = Remembering(), Remembering()
    for one in (first, second):
        closed_loops(one, TEN, pauses=(0.0,), pods=1, trials=1, namespace="mine")

    assert not set(first.made) & set(second.made)
    assert not set(first.deleted) & set(second.deleted)


def test_what_a_killed_one_left_is_found() -> None:
    """Its namespace and all objects carry the labels by which `cmhot clean` looks."""
    cluster = Remembering()

    closed_loops(cluster, TEN, pauses=(0.0,), pods=1, trials=1)

    runs = {labels[RUN_LABEL] for labels in cluster.labels}
    assert len(cluster.labels) == 3
    assert len(runs) == 1
    assert all(MANAGED_BY.items() <= labels.items() for labels in cluster.labels)


def test_waiting_ends() -> None:
    """What never appears is given up after 1.5 S and some seconds, and told as such."""
    cluster = Remembering(silent=True)

    found = closed_loops(cluster, TEN, pauses=(0.0,), pods=1, trials=2)

    assert found["delay_s"].isna().all()
    # three waits of 15 + 1.2 + 5 s, a start within 15 s, looks every half second
    assert 63 < cluster.clock.monotonic() < 81


def test_interrupting_takes_all_away() -> None:
    """Ctrl-C ends it, and nothing stays."""
    cluster = Remembering()

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        closed_loops(cluster, TEN, progress=interrupt)

    assert [kind for kind, _ in cluster.deleted] == ["namespaces"]


def test_progress_counts_trials() -> None:
    """Each trial is told, with its delay and what remains; the last one ends it."""
    told: list[Progress] = []

    closed_loops(ModelCluster(), TEN, pods=1, trials=2, progress=told.append)

    assert [one.done for one in told] == [*range(1, 13), 12]
    assert {one.total for one in told} == {12}
    assert (told[-1].phase, told[-1].remaining_s) == ("done", 0.0)


def test_what_cannot_be_makes_nothing() -> None:
    """A setting that no node has, and numbers below one, are refused first."""
    cluster = Remembering()

    with pytest.raises(
        UsageError, match="no node of model has the setting 60 s, Watch"
    ):
        closed_loops(cluster, Setting(60))
    with pytest.raises(UsageError, match="trials = 0 is not possible"):
        closed_loops(cluster, TEN, trials=0)
    assert cluster.made == []
