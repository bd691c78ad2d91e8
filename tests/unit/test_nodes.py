"""Settings are observed from the kubelet itself, and nodes grouped by them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.model import ModelCluster
from cmhot.nodes import (
    UNLISTED,
    ObservedNode,
    group_by_setting,
    name_by_pods,
    observe_settings,
    setting_from_configz,
)
from cmhot.placement import make_placement
from cmhot.port.cluster import NODE
from cmhot.settings import Setting, Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.port.cluster import Kind


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


class Guarded(ModelCluster):
    """A model some of whose answers are errors.

    Attributes
    ----------
    refuses_kubelets, refuses_nodes
        What asking a kubelet, or for the nodes, ends with; None: with an answer.
    asked
        How often a kubelet was asked.
    """

    refuses_kubelets: ClusterError | None = None
    refuses_nodes: ClusterError | None = None
    asked = 0

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Answer or refuse."""
        self.asked += 1
        if self.refuses_kubelets is not None:
            raise self.refuses_kubelets
        return super().kubelet_configuration(node)

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Answer or refuse."""
        if kind == NODE and self.refuses_nodes is not None:
            raise self.refuses_nodes
        return super().list(kind, namespace=namespace, labels=labels)


GIVEN = Setting(60, Strategy.GET)
NO = ForbiddenError("not allowed: ask", status=403)


@pytest.mark.parametrize(
    ("refused", "given", "known"),
    [
        (None, GIVEN, (Setting(10), "configz")),
        (NO, GIVEN, (GIVEN, "given")),
        (NO, None, (None, "unknown")),
        (NotFoundError("no configz"), GIVEN, (GIVEN, "given")),
        (ClusterError("a bad gateway", status=502), None, (None, "unknown")),
    ],
    ids=["answers", "refuses", "refuses, none given", "is virtual", "is ill"],
)
def test_a_setting_is_the_kubelets_word_or_the_users(
    refused: ClusterError | None,
    given: Setting | None,
    known: tuple[Setting | None, str],
) -> None:
    """What a kubelet reports counts first, then what is given, then nothing does."""
    cluster = Guarded([Setting(10)])
    cluster.refuses_kubelets = refused

    (node,) = observe_settings(cluster, given=given)

    assert (node.setting, node.source) == known


def test_who_may_not_ask_asks_once() -> None:
    """Rights are the same for each of a thousand kubelets."""
    cluster = Guarded([Setting(10)] * 5)
    cluster.refuses_kubelets = NO

    observe_settings(cluster)

    assert cluster.asked == 1


def test_a_cluster_that_is_gone_is_an_error() -> None:
    """No answer at all is not a setting that is not known."""
    cluster = Guarded([Setting(10)])
    cluster.refuses_kubelets = UnreachableError("gone")

    with pytest.raises(UnreachableError):
        observe_settings(cluster)


def test_nodes_that_may_not_be_listed_are_named_by_their_pods() -> None:
    """One entry stands for all until the probes run; then each node has its own."""
    cluster = Guarded([Setting(10)])
    cluster.refuses_nodes = NO

    observed = observe_settings(cluster, given=GIVEN)
    (group,) = group_by_setting(observed)
    pods = [{"spec": {"nodeName": name}} for name in ("b", "a", "b")]
    named = name_by_pods(observed, pods)

    assert [node.name for node in observed] == [UNLISTED]
    assert (group.setting, group.nodes) == (GIVEN, ())
    assert named == [
        ObservedNode("a", "a", None, None, GIVEN, "given"),
        ObservedNode("b", "b", None, None, GIVEN, "given"),
    ]


def test_listed_nodes_keep_their_names() -> None:
    """Where the pods run changes nothing then."""
    observed = observe_settings(ModelCluster([Setting(10)]))

    assert name_by_pods(observed, [{"spec": {"nodeName": "other"}}]) is observed


def test_nodes_that_take_no_probes_are_left_out() -> None:
    """A taint, a cordon or another label: no probe would run there."""
    cluster = Guarded([Setting(10), Setting(20)])
    nodes, _ = cluster.list(NODE)
    nodes[0]["spec"]["taints"] = [{"key": "gpu", "effect": "NoSchedule"}]
    nodes[1]["metadata"]["labels"]["pool"] = "a"

    class Fixed(Guarded):
        def list(self, *_: object, **__: object) -> tuple[list[dict[str, Any]], str]:
            return nodes, "1"

    fixed = Fixed([Setting(10), Setting(20)])

    def names(**placement: Any) -> list[str]:  # noqa: ANN401 - its arguments
        observed = observe_settings(fixed, placement=make_placement(**placement))
        return [node.name for node in observed]

    assert names() == ["model-2"]
    assert names(tolerations=["gpu"]) == ["model-1", "model-2"]
    assert names(tolerations=["gpu"], node_selector=["pool=a"]) == ["model-2"]
    assert names(node_selector=["pool=b"]) == []


def test_unknown_versions_are_unknown_in_the_record() -> None:
    """What may not be looked at is null, not a guess."""
    entry = replace(node("a", GIVEN), kubelet=None, runtime=None).to_dict()

    assert (entry["kubelet"], entry["runtime"]) == (None, None)
