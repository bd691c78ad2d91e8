"""Settings are observed from the kubelet itself, and nodes grouped by them."""

import pytest

from cmhot.errors import UsageError
from cmhot.model import ModelCluster
from cmhot.nodes import (
    ObservedNode,
    group_by_setting,
    observe_settings,
    setting_from_configz,
)
from cmhot.settings import Setting, Strategy


@pytest.mark.parametrize(
    ("annotations", "ttl_s"),
    [({"node.alpha.kubernetes.io/ttl": "15"}, 15.0), ({}, 60.0)],
    ids=["annotated", "the kubelet's default"],
)
def test_configz_and_annotation_make_a_setting(
    annotations: dict[str, str], ttl_s: float
) -> None:
    """Durations are Go's; a node without the TTL annotation has the default."""
    configuration = {
        "syncFrequency": "1m30s",
        "configMapAndSecretChangeDetectionStrategy": "Cache",
    }

    setting = setting_from_configz(configuration, annotations)

    assert setting == Setting(90, Strategy.CACHE, ttl_s)


def test_the_model_is_observed_as_any_cluster() -> None:
    """Every node's setting comes back through configz."""
    observed = observe_settings(ModelCluster([Setting(5), Setting(10, Strategy.GET)]))

    assert [node.setting for node in observed] == [
        Setting(5),
        Setting(10, Strategy.GET),
    ]
    assert {node.source for node in observed} == {"configz"}


def node(name: str, setting: Setting | None) -> ObservedNode:
    """Make an observed node."""
    source = "unknown" if setting is None else "configz"
    return ObservedNode(name, name, "v1.37.1", "containerd://2", setting, source)


def test_nodes_of_one_setting_are_one_group() -> None:
    """Groups come in the order of their settings, the unknown ones last."""
    groups = group_by_setting(
        [
            node("c", None),
            node("a", Setting(60)),
            node("b", Setting(10)),
            node("d", Setting(60)),
        ]
    )

    assert [(group.name, group.nodes) for group in groups] == [
        ("sync-10s.watch.ttl-0", ("b",)),
        ("sync-60s.watch.ttl-0", ("a", "d")),
        ("setting-unknown", ("c",)),
    ]


def test_a_cluster_without_nodes_is_refused() -> None:
    """There is nowhere to measure."""
    with pytest.raises(UsageError, match="no schedulable node"):
        group_by_setting([])
