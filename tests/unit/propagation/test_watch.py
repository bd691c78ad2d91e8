"""Where `observe` and `wait` differ, although they watch the same containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot import observe, wait
from cmhot.cluster.port import POD
from tests.unit.living import Living
from tests.unit.propagation.clocks import Interrupted

if TYPE_CHECKING:
    from cmhot.kubelet.uses import Kind
    from tests.unit.living import Object


def test_observe_has_a_row_per_way_and_wait_one_entry_per_container() -> None:
    """A table is about ways of consuming, a verdict about containers."""
    cluster = Living()
    sources = {"sources": [{"configMap": {"name": "m"}}]}
    volumes = [
        {"name": "v", "configMap": {"name": "m"}},
        {"name": "w", "projected": sources},
    ]
    mounts = [{"name": name, "mountPath": f"/etc/{name}"} for name in "vw"]
    container = cluster.container(volumeMounts=mounts)
    cluster.deploy(1, containers=[container], volumes=volumes)
    cluster.update("2")

    table = observe(cluster, "m")
    waited = wait(cluster, "configmap/m", timeout_s=1)

    assert table["consumer"].tolist() == ["volume", "projected"]
    (laggard,) = waited.stale
    assert laggard.consumer == "volume, projected"
    assert laggard.where == "/etc/v, /etc/w"


class Starting(Living):
    """The only pod is not running yet."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Leave out that it runs."""
        return {**one, "status": {"phase": "Pending"}} if kind == POD else one


def test_a_pod_that_does_not_run_yet_is_waited_for_but_not_observed() -> None:
    """There is nothing to be seen in it, but an update is yet to reach it."""
    cluster = Starting()
    cluster.deploy(1)

    waited = wait(cluster, "configmap/m", timeout_s=2)

    assert observe(cluster, "m").empty
    assert not waited.landed
    assert waited.unknown[0].why == "it is not running (the pod is Pending)"


def test_observe_and_wait_inspect_every_half_second() -> None:
    """So well is the instant known, and so soon the verdict."""
    inspections = {}
    for verb in (observe, wait):
        cluster = Living(every_s=10)
        cluster.deploy(1)
        cluster.update("2")
        if verb is observe:
            table = observe(cluster, "m", live=True)
            assert table["turned_s"].tolist() == [10.0]
        else:
            assert wait(cluster, "configmap/m").seconds == 10.0
        inspections[verb.__name__] = cluster.asked["get", "pods/exec"]

    # what is stale is read once more, to show it
    assert inspections == {"observe": 2 * 20 + 1, "wait": 20 + 1}


def test_an_interrupted_wait_has_no_verdict() -> None:
    """A live table is worth keeping; half a wait must not pass for an answer."""
    cluster = Living(clock=Interrupted())
    cluster.deploy(1)
    cluster.update("2")

    with pytest.raises(KeyboardInterrupt):
        wait(cluster, "configmap/m")


def test_what_no_update_reaches_ends_the_wait_and_not_the_observation() -> None:
    """A wait that cannot succeed ends at once; a live table goes on with the others."""
    for verb in (observe, wait):
        cluster = Living(env=True, every_s=3)
        cluster.deploy(1)
        cluster.update("2")
        if verb is observe:
            table = observe(cluster, "m", live=True)
            assert table.attrs["seconds"] == 3.0
        else:
            assert wait(cluster, "configmap/m").seconds == 0.0
