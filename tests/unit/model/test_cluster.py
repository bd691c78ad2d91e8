"""The model behaves at the port as a cluster does, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.cluster import probe
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.nodes import observe_settings
from cmhot.cluster.port import NODE, POD
from cmhot.collector.begin import collect
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.kubelet.eras import era_of
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from pathlib import Path


def start(cluster: ModelCluster, *, replicas: int = 1, configmap: str = "c") -> None:
    """Apply the probes' objects, and let the pods start."""
    nodes, _ = cluster.list(NODE)
    cluster.apply(probe.config_map(configmap, run_id="r"), namespace="n")
    cluster.apply(
        probe.deployment(
            f"p-{configmap}",
            run_id="r",
            group="g",
            configmap=configmap,
            nodes=[node["metadata"]["name"] for node in nodes],
            replicas=replicas,
            image="i",
            pull_policy="Never",
        ),
        namespace="n",
    )
    cluster.clock.sleep(2)


def write(cluster: ModelCluster, seq: int, *, configmap: str = "c") -> int:
    """Write a number; return when it was acknowledged, UTC epoch ns."""
    cluster.patch(CONFIG_MAP, configmap, {"data": {"seq": str(seq)}}, namespace="n")
    return cluster.clock.utc_ns()


def touch(cluster: ModelCluster) -> None:
    """Change the annotations of the first pod."""
    body = {"metadata": {"annotations": {"a": "b"}}}
    cluster.patch(POD, "p-c-0", body, namespace="n")


def log(cluster: ModelCluster, pod: str, since_ns: int | None = None) -> str:
    """Return a pod's log."""
    return cluster.log(pod, namespace="n", container=probe.CONTAINER, since_ns=since_ns)


def publications(cluster: ModelCluster, pod: str) -> list[tuple[int, int]]:
    """Return (seq, published_ns) of a pod's log."""
    lines = probe.parse_log(log(cluster, pod))
    return [(line.seq or 0, line.published_ns or 0) for line in lines]


def test_an_update_appears_within_one_interval() -> None:
    """S = 10 s: the delay is at most 15 s, two ticks and two volume loops."""
    cluster = ModelCluster([Setting(10)])
    start(cluster)
    acked = write(cluster, 1)

    cluster.clock.sleep(17.3)

    (_, (seq, published)) = publications(cluster, "p-c-0")
    assert seq == 1
    assert 0 < (published - acked) / 1e9 < 16.3


def test_syncs_fall_on_one_phase_of_the_second() -> None:
    """Periodic publications of a kubelet share a window of 0.2 s of the second."""
    cluster = ModelCluster([Setting(2)])
    start(cluster)
    for seq in range(1, 80):
        write(cluster, seq)
        cluster.clock.sleep(0.5)

    # the first three are of the start
    instants = [published for _, published in publications(cluster, "p-c-0")][3:]
    phases = [(instant - instants[0]) % 10**9 for instant in instants]
    assert len(phases) > 8
    assert all(phase < 0.2e9 or phase > 0.8e9 for phase in phases)


def test_an_annotation_syncs_at_once() -> None:
    """Touching the pod publishes within the watch, two volume loops and the write."""
    cluster = ModelCluster([Setting(300)])
    start(cluster)
    write(cluster, 1)
    touched = cluster.clock.utc_ns()
    touch(cluster)

    cluster.clock.sleep(1)

    _, (seq, published) = publications(cluster, "p-c-0")
    assert seq == 1
    # a request of 5 ms, 5 ms of watch, 0.2 s of loops and 3 ms of writing
    assert 0.01e9 < published - touched < 0.214e9


def test_every_setting_is_known() -> None:
    """Settings come back as given; without a TTL the node has no annotation."""
    given = [
        Setting(5),
        Setting(60, Strategy.GET),
        Setting(10, Strategy.CACHE, 60),
        Setting(10, Strategy.CACHE, None),
    ]

    observed = observe_settings(ModelCluster(given))

    assert [node.setting for node in observed] == [
        Setting(5),
        Setting(60, Strategy.GET),
        Setting(10, Strategy.CACHE, 60),
        Setting(10, Strategy.CACHE, 60),
    ]


def test_kubelets_differ_by_node_and_seed() -> None:
    """Four kubelets of two seeds have four phases; a seed repeats its own."""
    phases = [
        [
            node.kubelet._phase_ns
            for node in ModelCluster([Setting(5), Setting(5)], seed=seed)._nodes
        ]
        for seed in (1, 2, 1)
    ]

    assert len({*phases[0], *phases[1]}) == 4
    assert phases[2] == phases[0]


@pytest.mark.parametrize(
    ("kubernetes", "text"),
    [(None, "modelled"), ("v1.28.15", "modelled v1.28.15")],
)
def test_it_says_that_it_is_modelled(kubernetes: str | None, text: str) -> None:
    """Both versions begin with the word, and tell the law which kubelet is meant."""
    cluster = ModelCluster([Setting(5)], kubernetes=kubernetes)

    (node,) = observe_settings(cluster)
    assert cluster.version() == node.kubelet == text
    assert era_of(text) is era_of(kubernetes)


def test_an_older_version_than_is_known_is_refused() -> None:
    """The error is the law's: nothing is known before 1.9."""
    with pytest.raises(UsageError, match=r"begins with 1\.9"):
        ModelCluster(kubernetes="v1.8.15")


@pytest.mark.parametrize(
    ("kubernetes", "expected_s"), [("v1.28.15", 16.3), ("v1.29.0", 76.3)]
)
def test_a_ttl_delays_where_it_has_an_effect(
    tmp_path: Path, kubernetes: str, expected_s: float
) -> None:
    """S = 10 s, TTL 60 s: up to 1.28 at most 16 s, from 1.29 on up to 76 s."""
    cluster = ModelCluster([Setting(10, Strategy.CACHE, 60)], kubernetes=kubernetes)

    path = collect(cluster, Plan(pods=5, duration_s=300, gap_s=2), out=tmp_path)

    run = read_run(path)
    assert run.meta["kubernetes"] == f"modelled {kubernetes}"
    last = run.publications.sort_values("published_ns").groupby("pod").tail(1)
    assert (last["seq"] == run.updates["seq"].max()).all()
    acked = run.updates.set_index("seq")["acked_ns"]
    newest = run.publications[run.publications["seq"] > 0]
    late = (newest["published_ns"] - newest["seq"].map(acked)).max() / 1e9
    assert expected_s / 3 < late < expected_s


def test_configmaps_are_told_apart() -> None:
    """A write to one of two ConfigMaps appears in its own pods only."""
    cluster = ModelCluster([Setting(5)])
    start(cluster, configmap="a")
    start(cluster, configmap="b")
    write(cluster, 7, configmap="b")

    cluster.clock.sleep(10)

    assert [seq for seq, _ in publications(cluster, "p-a-0")] == [0]
    assert [seq for seq, _ in publications(cluster, "p-b-0")] == [0, 7]
    assert cluster.get(CONFIG_MAP, "b", namespace="n")["data"] == {"seq": "7"}


def test_replicas_are_spread_over_the_nodes() -> None:
    """Five pods on two nodes are three and two; each name is there once."""
    cluster = ModelCluster([Setting(5), Setting(10)])
    start(cluster, replicas=5)

    pods, _ = cluster.list(POD, labels={probe.RUN_LABEL: "r"})
    hosts = sorted(pod["spec"]["nodeName"] for pod in pods)
    assert hosts == ["model-1"] * 3 + ["model-2"] * 2
    assert len({pod["metadata"]["name"] for pod in pods}) == 5


def test_a_log_begins_at_the_second_asked_for() -> None:
    """As a kubelet cuts it: lines from the whole second below on, and no others."""
    cluster = ModelCluster([Setting(2)])
    start(cluster)
    for seq in range(1, 100):
        write(cluster, seq)
        cluster.clock.sleep(0.5)
    whole = log(cluster, "p-c-0").splitlines()
    stamp = list(probe.parse_log(whole[5]))[0].read_ns  # noqa: RUF015 - one line

    assert len(whole) > 15
    assert log(cluster, "p-c-0", stamp).splitlines() == whole[5:]
    assert log(cluster, "p-c-0", stamp + 1).splitlines() == whole[5:]
    assert log(cluster, "p-c-0", stamp // 10**9 * 10**9).splitlines() == whole[5:]
    assert log(cluster, "p-c-0", stamp + 10**9).splitlines() == whole[6:]
    assert log(cluster, "p-c-0", cluster.clock.utc_ns() + 10**9) == ""


def test_a_log_ends_with_what_the_probe_has_seen() -> None:
    """A line appears 0.1 s after the publication, not before."""
    cluster = ModelCluster([Setting(300)])
    start(cluster)
    write(cluster, 1)
    touch(cluster)
    cluster.clock.sleep(5)
    _, (_, published) = publications(cluster, "p-c-0")

    again = ModelCluster([Setting(300)])
    start(again)
    write(again, 1)
    touch(again)
    # a request for the log takes 5 ms
    again.clock.sleep((published - again.clock.utc_ns()) / 1e9 + 0.09)
    assert [seq for seq, _ in publications(again, "p-c-0")] == [0]
    assert [seq for seq, _ in publications(again, "p-c-0")] == [0, 1]


def test_a_deleted_configmap_stays_in_its_pods() -> None:
    """The files of a volume outlive the object; made again, it is seen again."""
    cluster = ModelCluster([Setting(5)])
    start(cluster)
    write(cluster, 1)
    cluster.clock.sleep(10)
    cluster.delete(CONFIG_MAP, "c", namespace="n")

    with pytest.raises(NotFoundError, match="no configmaps/c in n"):
        cluster.get(CONFIG_MAP, "c", namespace="n")
    cluster.clock.sleep(10)
    assert [seq for seq, _ in publications(cluster, "p-c-0")] == [0, 1]

    cluster.apply(probe.config_map("c", run_id="r"), namespace="n")
    cluster.clock.sleep(10)
    assert [seq for seq, _ in publications(cluster, "p-c-0")] == [0, 1, 0]


def test_what_it_does_not_have_it_says() -> None:
    """Absent objects, processes and other kinds are refused, not invented."""
    cluster = ModelCluster()

    with pytest.raises(NotFoundError, match="no configmaps/absent"):
        cluster.get(CONFIG_MAP, "absent")
    with pytest.raises(NotFoundError, match="no configmaps/absent"):
        write(cluster, 1, configmap="absent")
    with pytest.raises(NotFoundError, match="no pods/absent"):
        cluster.patch(POD, "absent", {})
    with pytest.raises(NotFoundError, match="no pods/absent"):
        log(cluster, "absent")
    with pytest.raises(UsageError, match="knows no DaemonSet"):
        cluster.apply({"kind": "DaemonSet", "metadata": {"name": "d"}})
    start(cluster)
    with pytest.raises(ClusterError, match="the model cannot run 'sh'"):
        cluster.run_in("p-c-0", ["sh"], namespace="n", container=probe.CONTAINER)
