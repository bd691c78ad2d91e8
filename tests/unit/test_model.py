"""The model behaves at the port as a cluster does, in virtual time."""

import pytest

from cmhot import probe
from cmhot.cluster import CONFIG_MAP, NODE, POD
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.model import ModelCluster
from cmhot.settings import Setting, Strategy


def start(cluster: ModelCluster, *, replicas: int = 1) -> list[str]:
    """Apply the probes' objects; return the pods' names."""
    nodes, _ = cluster.list(NODE)
    cluster.apply(probe.config_map("c", run_id="r"))
    cluster.apply(
        probe.deployment(
            "p",
            run_id="r",
            group="g",
            configmap="c",
            nodes=[nodes[0]["metadata"]["name"]],
            replicas=replicas,
            image="i",
            pull_policy="Never",
        )
    )
    pods, _ = cluster.list(POD, labels={probe.RUN_LABEL: "r"})
    return [pod["metadata"]["name"] for pod in pods]


def publications(cluster: ModelCluster, pod: str) -> list[tuple[int, int]]:
    """Return (seq, published_ns) of a pod's log."""
    text = cluster.log(pod, namespace="n", container=probe.CONTAINER)
    return [(line.seq or 0, line.published_ns or 0) for line in probe.parse_log(text)]


def test_an_update_appears_within_one_interval() -> None:
    """S = 10 s: the delay is at most 15 s, two ticks and two volume loops."""
    cluster = ModelCluster([Setting(10)])
    (pod,) = start(cluster)
    acked = cluster.clock.utc_ns()
    cluster.patch(CONFIG_MAP, "c", {"data": {"seq": "1"}})

    cluster.clock.sleep(17.3)

    (_, (seq, published)) = publications(cluster, pod)
    assert seq == 1
    assert 0 < (published - acked) / 1e9 < 16.3


def test_syncs_fall_on_one_phase_of_the_second() -> None:
    """Periodic publications of a kubelet share a window of 0.2 s of the second."""
    cluster = ModelCluster([Setting(2)])
    (pod,) = start(cluster)
    for seq in range(1, 40):
        cluster.patch(CONFIG_MAP, "c", {"data": {"seq": str(seq)}})
        cluster.clock.sleep(0.5)

    instants = [published for _, published in publications(cluster, pod)][1:]
    phases = [(instant - instants[0]) % 10**9 for instant in instants]
    assert all(phase < 0.2e9 or phase > 0.8e9 for phase in phases)


def test_an_annotation_syncs_at_once() -> None:
    """Touching the pod publishes within the two volume loops."""
    cluster = ModelCluster([Setting(300)])
    (pod,) = start(cluster)
    cluster.patch(CONFIG_MAP, "c", {"data": {"seq": "1"}})
    touched = cluster.clock.utc_ns()
    cluster.patch(POD, pod, {"metadata": {"annotations": {"a": "b"}}})

    cluster.clock.sleep(1)

    _, (seq, published) = publications(cluster, pod)
    assert seq == 1
    assert 0 <= published - touched < 0.3e9


def test_what_it_does_not_know_it_says() -> None:
    """TTL above 0, processes and other kinds are refused, not invented."""
    with pytest.raises(UsageError, match="does not know"):
        ModelCluster([Setting(10, Strategy.CACHE, 60)])
    cluster = ModelCluster()
    with pytest.raises(NotFoundError):
        cluster.get(CONFIG_MAP, "absent")
    with pytest.raises(ClusterError, match="cannot run"):
        cluster.run_in("p", ["cat"], namespace="n", container="c")
