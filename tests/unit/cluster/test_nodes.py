"""Settings are observed from the kubelet itself, and nodes grouped by them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.nodes import (
    UNLISTED,
    ObservedNode,
    caveats,
    group_by_setting,
    name_by_pods,
    observe_settings,
    setting_from_configz,
)
from cmhot.cluster.port import NODE
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.kubelet.settings import TTL_ANNOTATION, Setting, Strategy
from cmhot.runs.plan import make_placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.kubelet.uses import Kind


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


def test_a_kubelet_before_the_strategies_caches() -> None:
    """The configuration of 1.9 to 1.11 names none; without an annotation, 60 s."""
    said = {"syncFrequency": "1m0s"}

    assert setting_from_configz(said, {}, kubelet="v1.9.6") == Setting(
        60, Strategy.CACHE, 60
    )


WHOLE = {
    "syncFrequency": "1m0s",
    "configMapAndSecretChangeDetectionStrategy": "Watch",
}


@pytest.mark.parametrize(
    ("configz", "ttl", "said"),
    [
        ({"syncFrequency": "1m0s"}, "0", "no configMapAndSecretChangeDetection"),
        ({}, "0", "has no syncFrequency"),
        (WHOLE | {"syncFrequency": 60}, "0", "none that is known"),
        (WHOLE | {"syncFrequency": "0s"}, "0", "none that is known"),
        (WHOLE | {"configMapAndSecretChangeDetectionStrategy": "Push"}, "0", "Push"),
        (WHOLE, "soon", "none that is known"),
        (None, "0", "is no kubelet's"),
    ],
)
def test_a_kubelet_that_answers_otherwise_is_unknown_alone(
    monkeypatch: pytest.MonkeyPatch, configz: object, ttl: str, said: str
) -> None:
    """The other nodes are observed as ever, and the reason is told."""
    cluster = Foreign("v1.37.1")
    monkeypatch.setattr(cluster, "ttl", ttl)

    def ask(node: str) -> object:
        if node == "model-2":
            return WHOLE
        if configz is None:
            raise KeyError("kubeletconfig")
        return configz

    monkeypatch.setattr(cluster, "kubelet_configuration", ask)

    first, second = observe_settings(cluster)

    assert (first.setting, first.source) == (None, "unknown")
    assert said in first.why
    assert second.source == "configz"
    assert caveats([first, second]) == [
        f"model-1: its setting is not known: {first.why}"
    ]


class Foreign(ModelCluster):
    """A cluster of two nodes, the first of another kind."""

    ttl = "0"

    def __init__(self, version: str) -> None:
        super().__init__([Setting(10), Setting(60)])
        self.kubelet = version

    def pages(self, kind: Kind, **chosen: Any) -> Iterator[Sequence[dict[str, Any]]]:  # noqa: ANN401
        """Give its node another version and annotation."""
        for page in super().pages(kind, **chosen):
            found = json.loads(json.dumps(page))
            if kind == NODE:
                found[0]["status"]["nodeInfo"]["kubeletVersion"] = self.kubelet
                found[0]["metadata"]["annotations"] = {TTL_ANNOTATION: self.ttl}
            yield found


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("fake", "no law is known for kubelet fake"),
        ("kwok-v0.7.0", "no law is known"),
        ("v1.11.0-vk", "no law is known for kubelet v1.11.0-vk"),
        ("v1.30.1-vk-azure-aci-1.6.1", "no law is known"),
        ("v1.8.15", "no law is known"),
        ("v1.99.0", "newer than 1.37"),
        ("v1.37.1-gke.100", None),
    ],
)
def test_a_kubelet_without_a_known_law_is_told(version: str, said: str | None) -> None:
    """Before anything is measured there."""
    told = caveats(observe_settings(Foreign(version)))

    assert len(told) == (said is not None)
    assert all(str(said) in one and one.startswith("model-1: ") for one in told)


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


ILL = ClusterError("a bad gateway", status=502)


class Ill(ModelCluster):
    """A model one of whose kubelets does not answer.

    Attributes
    ----------
    fails
        What asking the second one ends with.
    times
        How often it does.
    silent_s
        How long it takes, in seconds.
    asked
        The nodes, in the order in which they were asked.
    """

    fails: ClusterError = ILL
    times = 99
    silent_s = 0.0

    def __init__(self, nodes: int) -> None:
        super().__init__([Setting(10)] * nodes)
        self.asked: list[str] = []

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Answer, or fail."""
        self.asked.append(node)
        if node == "model-2" and self.asked.count(node) <= self.times:
            self.clock.sleep(self.silent_s)
            raise self.fails
        return super().kubelet_configuration(node)


def test_a_kubelet_that_does_not_answer_is_unknown_alone() -> None:
    """Those behind it are asked, and are of one group with those before it."""
    cluster = Ill(5)

    observed = observe_settings(cluster)

    assert [one.source for one in observed] == [
        *("configz", "unknown", "configz", "configz", "configz")
    ]
    assert [len(group.nodes) for group in group_by_setting(observed)] == [4, 1]


def test_a_kubelet_that_fails_is_asked_once_more() -> None:
    """After the others and a second, which is all that it costs; and not again."""
    once, always = Ill(3), Ill(3)
    once.times = 1

    assert {one.source for one in observe_settings(once)} == {"configz"}
    observe_settings(always)

    assert once.asked == ["model-1", "model-2", "model-3", "model-2"]
    assert always.asked == once.asked
    # a request takes the model 5 ms
    assert once.clock.monotonic() == pytest.approx(1.0, abs=0.1)


def test_a_kubelet_that_has_no_such_page_is_asked_once() -> None:
    """A virtual one will not have it in a second either."""
    cluster = Ill(3)
    cluster.fails = NotFoundError("no configz", status=404)

    observe_settings(cluster)

    assert cluster.asked == ["model-1", "model-2", "model-3"]
    # a request takes the model 5 ms, the pause would be 1 s
    assert cluster.clock.monotonic() < 0.1


def test_silent_kubelets_hold_a_run_up_for_a_minute_at_most() -> None:
    """Where no kubelet can be reached, 30 of 2 s each are enough of a thousand."""

    class Mute(Ill):
        def kubelet_configuration(self, node: str) -> dict[str, Any]:
            self.asked.append(node)
            self.clock.sleep(2.0)
            raise ILL

    cluster = Mute(100)

    assert {one.source for one in observe_settings(cluster)} == {"unknown"}
    assert len(cluster.asked) == 30


def test_a_refusal_keeps_what_is_known() -> None:
    """A right that was lost meanwhile takes nothing back."""
    cluster = Ill(3)
    cluster.fails = NO

    assert [one.source for one in observe_settings(cluster)] == [
        *("configz", "unknown", "unknown")
    ]
    assert cluster.asked == ["model-1", "model-2"]


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
