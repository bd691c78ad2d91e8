"""The probe tells the truth about publications, and costs next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import probe as benchmark

if TYPE_CHECKING:
    from cmhot.cluster import Cluster
    from cmhot.testbed.lifecycle import Status
    from tests.testbed.conftest import Collected

MANY = 100


def test_instants_are_those_of_the_rename(
    collected: Collected, testbed: Status
) -> None:
    """The probe's instant is inotify's IN_MOVED_TO of ``..data``, within 10 ms."""
    published = collected.run.publications
    node = published[published["node"] == testbed.nodes[0].name]
    # the content at the start was there before anybody watched
    found = benchmark.compare(node[node["seq"] > 0], collected.renames)
    print(f"probe against inotify: {found}")  # noqa: T201 - the bias is stated

    assert found.n >= 200
    assert found.unmatched == 0
    # two jiffies of 4 ms (the kernel's coarse clock stamps files), and the reader's
    # own wake-up; on a kernel with fine-grained stamps (6.13) it is 2 ms
    assert found.p99_ms <= 10
    # the stamp is made before the rename: early, never more than a jiffy and a bit
    assert -10 < found.bias_ms < 1


@pytest.fixture(scope="module")
def many(cluster: Cluster, testbed: Status) -> tuple[int, benchmark.Measured]:
    """Run a hundred probes on one node and publish to them; how many were Ready."""
    name, node = testbed.name, testbed.nodes[0].name
    with benchmark.running_probes(cluster, node=node, pods=MANY) as (namespace, pods):
        return len(pods), benchmark.observe(
            cluster, namespace=namespace, name=name, node=node, seconds=12
        )


def test_a_hundred_probes_run_on_one_node(
    many: tuple[int, benchmark.Measured],
) -> None:
    """A hundred probes on one node become Ready, and publications reach them all."""
    ready, measured = many

    assert ready == 100
    # 12 s are four syncs of at most 3 s; every one finds something new
    assert measured.accuracy.n >= 300
    assert measured.accuracy.unmatched == 0


def test_a_probe_costs_two_millicores_at_most(
    many: tuple[int, benchmark.Measured],
) -> None:
    """By its cgroup's account a pod with its probe takes ≤ 2 thousandths of a core."""
    _, measured = many
    print(f"millicores a pod:\n{measured.millicores.describe()}")  # noqa: T201

    assert len(measured.millicores) == MANY
    assert measured.millicores.mean() <= 2
    # not zero either: the accounts that were read are those of running probes
    assert measured.millicores.min() > 0.05
