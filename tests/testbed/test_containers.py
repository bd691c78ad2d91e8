"""What real kubelets give containers is what `cmhot.kubelet.view` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.cluster.targets import connect
from studies.containers import compare

if TYPE_CHECKING:
    from cmhot.cluster.testbed.status import Status

PODS, SEED = 16, 7


def test_containers_hold_what_the_view_says(testbed: Status) -> None:
    """Byte for byte, before and after the objects change; see `make containers`."""
    cluster = connect(f"testbed:{testbed.name}")

    assert testbed.kubeconfig is not None

    first, second = compare(cluster, testbed.kubeconfig, pods=PODS, seed=SEED)

    assert first.running > PODS / 2
    assert second.running > PODS / 4
    assert (first.differences, second.differences) == ([], [])
