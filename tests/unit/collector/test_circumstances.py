"""Only what changed under the probes is a change; what could not be read is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.collector.circumstances import differences
from cmhot.errors import ClusterError, ForbiddenError
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from pathlib import Path


def entry(
    sync_s: float | None = 60.0, source: str = "configz", **other: str
) -> dict[str, Any]:
    """Give a node's entry in run.json's ``settings``."""
    return {
        "sync_frequency_s": sync_s,
        "strategy": None if sync_s is None else "Watch",
        "ttl_s": None if sync_s is None else 0.0,
        "source": source,
        "kubelet": "v1.37.1",
        "runtime": "containerd://2",
        **other,
    }


UNKNOWN = entry(None, "unknown")
GIVEN = entry(10.0, "given")


def met(**settings: dict[str, Any]) -> dict[str, Any]:
    """Give circumstances with these nodes; there are probes on ``a`` and ``b``."""
    return {
        "target": "t",
        "kubernetes": "v1.37.1",
        "kubelets": {name: one["kubelet"] for name, one in settings.items()},
        "settings": settings,
        "pods": [{"node": "a"}, {"node": "a"}, {"node": "b"}],
    }


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (entry(), UNKNOWN),
        (entry(), GIVEN),
        (UNKNOWN, entry()),
        (entry(10.0, "given"), entry(10.0)),
    ],
    ids=["unread now", "told instead", "unread then", "confirmed"],
)
def test_a_setting_that_was_not_read_has_not_changed(
    was: dict[str, Any], now: dict[str, Any]
) -> None:
    """Nothing is known to be different, at the end or where a run is resumed."""
    assert differences(met(a=was, b=entry()), met(a=now, b=entry())) == []


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (entry(), entry(10.0)),
        (entry(), entry(strategy="Get")),
        (entry(), entry(runtime="containerd://3")),
        (entry(), entry(None, "unknown", runtime="containerd://3")),
        (GIVEN, entry(60.0)),
    ],
    ids=["S", "strategy", "runtime", "runtime, unread", "told wrongly"],
)
def test_what_was_read_twice_and_differs_has_changed(
    was: dict[str, Any], now: dict[str, Any]
) -> None:
    """A node's own words count, those of the Node object also without a setting."""
    found = differences(met(a=was, b=entry()), met(a=now, b=entry()))

    assert found == ["settings of a"]


def test_a_kubelet_that_was_upgraded_has_changed() -> None:
    """Versions come from the Node, whether the kubelet answers or not."""
    now = met(a=entry(None, "unknown", kubelet="v1.38.0"), b=entry())

    assert differences(met(a=entry(), b=entry()), now) == [
        "kubelets of a",
        "settings of a",
    ]


def test_nodes_without_probes_may_change() -> None:
    """So may those that went away, which is an incident, or came."""
    before = met(a=entry(), b=entry(), idle=entry())
    now = met(a=entry(), idle=entry(10.0, kubelet="v1.38.0"), new=entry(10.0))

    assert differences(before, now) == []


def test_another_cluster_is_a_change() -> None:
    """What is of no node is compared as a whole, in words."""
    now = met(a=entry()) | {"target": "u"}

    assert differences(met(a=entry()), now) == ["target (was t, is u)"]


@pytest.mark.parametrize(
    "error",
    [
        ClusterError("GET configz failed (503)", status=503),
        ForbiddenError("the token has run out", status=401),
    ],
    ids=["ill", "refused"],
)
def test_a_complete_run_stays_valid_when_a_kubelet_is_not_read_at_its_end(
    tmp_path: Path, error: ClusterError
) -> None:
    """What was measured is not worse for it."""

    class Silent(ModelCluster):
        def kubelet_configuration(self, node: str) -> dict[str, Any]:
            if node == "model-2" and self.clock.monotonic() > 60:
                raise error
            return super().kubelet_configuration(node)

    path = collect(
        Silent([Setting(5)] * 3), Plan(pods=6, duration_s=60, seed=7), out=tmp_path
    )

    meta = read_run(path).meta
    assert meta["status"] == "complete"
    assert meta["checks"]["settings"]["passed"] is True
