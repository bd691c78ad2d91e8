"""Who uses an object, what is amiss, and when an update is to be expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot import explain
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.nodes import ObservedNode, observe_settings
from cmhot.cluster.port import NODE
from cmhot.errors import ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.settings import Setting, parse_setting
from cmhot.kubelet.uses import Reference, Role, Use, Way, fate_of
from cmhot.propagation.expectation import expectation, remaining_s, sync_reads
from cmhot.propagation.explain import Survey, explain_survey, forced_by
from cmhot.propagation.workload import (
    Workload,
    owner_of,
    parse_workload,
    workload_uses,
)
from tests.unit.kubelet.pods import ENV, MAP, VOLUME, pod
from tests.unit.living import configmap

if TYPE_CHECKING:
    from tests.unit.kubelet.pods import Dict
    from tests.unit.living import Living


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deployment/x", Workload("Deployment", "x")),
        ("deployments/x", Workload("Deployment", "x")),
        ("deploy/x", Workload("Deployment", "x")),
        ("sts/x", Workload("StatefulSet", "x")),
        ("ds/x", Workload("DaemonSet", "x")),
    ],
)
def test_workloads(text: str, expected: Workload) -> None:
    """As `kubectl` takes them."""
    assert parse_workload(text) == expected


@pytest.mark.parametrize("text", ["x", "job/x", "deployment/"])
def test_no_workload(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(UsageError, match="deployment/NAME"):
        parse_workload(text)


def _owned(kind: str, name: str, **labels: str) -> Dict:
    version = "batch/v1" if kind == "Job" else "apps/v1"
    owner = {"apiVersion": version, "kind": kind, "name": name, "controller": True}
    return {"metadata": {"name": "p", "labels": labels, "ownerReferences": [owner]}}


def test_pods_lead_to_their_workload() -> None:
    """A ReplicaSet to its Deployment, a Job to its CronJob, if there is one."""
    web, nightly = Workload("Deployment", "web"), Workload("CronJob", "nightly")
    known = {web, nightly}.__contains__
    of_web = _owned("ReplicaSet", "web-5f", **{"pod-template-hash": "5f"})

    assert owner_of(of_web, known) == web
    assert owner_of(of_web, set().__contains__) == Workload("ReplicaSet", "web-5f")
    assert owner_of(_owned("Job", "nightly-29401234"), known) == nightly
    assert owner_of(_owned("Job", "once"), known) == Workload("Job", "once")
    assert owner_of({"metadata": {"name": "p"}}, known) == Workload("Pod", "p")


@pytest.mark.parametrize(
    ("kind", "status", "outdated"),
    [
        ("Deployment", {"replicas": 3, "updatedReplicas": 1}, 2),
        ("Deployment", {"replicas": 3, "updatedReplicas": 3}, 0),
        (
            "StatefulSet",
            {"replicas": 3, "currentRevision": "a", "updateRevision": "a"},
            0,
        ),
        (
            "StatefulSet",
            {
                "replicas": 3,
                "updatedReplicas": 1,
                "currentRevision": "a",
                "updateRevision": "b",
            },
            2,
        ),
        (
            "DaemonSet",
            {"currentNumberScheduled": 4, "updatedNumberScheduled": 3},
            1,
        ),
    ],
)
def test_pods_of_an_older_template_are_counted(
    kind: str, status: Dict, outdated: int
) -> None:
    """By the workload's own status."""
    found = {
        "metadata": {"name": "w"},
        "spec": {"template": pod(volume=VOLUME)},
        "status": status,
    }

    workload = workload_uses(found, kind, MAP)

    assert workload.outdated == outdated
    assert len(workload.uses) == 1


def _survey(
    pods: list[Dict], workloads: list[Dict] | None = None, kind: str = "Deployment"
) -> Survey:
    known = [workload_uses(one, kind, MAP) for one in workloads or []]
    survey = Survey(MAP, {one.owner: one for one in known})
    survey.add(pods)
    return survey


def _web(name: str, given: Dict, *, node: str = "n") -> Dict:
    owned = _owned("ReplicaSet", "web-5f", **{"pod-template-hash": "5f"})
    owned["metadata"]["name"] = name
    return {**owned, "spec": {**given["spec"], "nodeName": node}}


def _deployment(given: Dict, **status: int) -> Dict:
    return {
        "metadata": {"name": "web"},
        "spec": {"template": given},
        "status": {"replicas": 2, "updatedReplicas": 2, **status},
    }


STORED = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}


def node(
    name: str, setting: Setting | None, kubelet: str | None = "v1.37.1"
) -> ObservedNode:
    """Make a node whose kubelet said its setting, or did not."""
    source = "unknown" if setting is None else "configz"
    return ObservedNode(name, name, kubelet, None, setting, source)


NODES = {"n": node("n", Setting(60))}


@pytest.mark.parametrize(
    ("pods", "deployment", "stored", "expected"),
    [
        ([pod(**ENV)], pod(**ENV), STORED, {"env"}),
        (
            [pod(volume=VOLUME, mount={"subPath": "a"})],
            pod(volume=VOLUME),
            STORED,
            {"subPath"},
        ),
        ([pod(volume=VOLUME)], pod(volume=VOLUME), STORED, set()),
        (
            [pod(volume=VOLUME)],
            pod(volume=VOLUME),
            {**STORED, "immutable": True},
            {"immutable"},
        ),
        (
            [pod(volume=VOLUME), pod()],
            pod(volume=VOLUME),
            STORED,
            {"some-replicas"},
        ),
        ([pod(volume=VOLUME)], pod(volume=VOLUME), None, {"absent"}),
        (
            [pod(volume={"configMap": {"name": "n"}})],
            pod(volume={"configMap": {"name": "n"}}),
            STORED,
            {"unused"},
        ),
        (
            [pod(**ENV)],
            pod(**ENV),
            {**STORED, "data": {"b": "1"}},
            {"env", "absent-key"},
        ),
    ],
    ids=[
        *("env", "subPath", "nothing", "immutable", "some replicas", "absent"),
        *("unused", "absent key"),
    ],
)
def test_mistakes(
    pods: list[Dict], deployment: Dict, stored: Dict | None, expected: set[str]
) -> None:
    """Each is found, with a remedy, and nothing else."""
    named = [_web(f"p{i}", one) for i, one in enumerate(pods)]
    survey = _survey(named, [_deployment(deployment)])

    found = explain_survey(survey, namespace="x", stored=stored, nodes=NODES)

    assert {one.kind for one in found.mistakes} == expected
    assert all(one.remedy for one in found.mistakes)


def test_an_older_template_is_told() -> None:
    """So that nobody looks for the update in pods that never had the volume."""
    pods = [_web("p0", pod(volume=VOLUME))]
    survey = _survey(pods, [_deployment(pod(volume=VOLUME), updatedReplicas=1)])

    found = explain_survey(survey, namespace="x", stored=STORED, nodes=NODES)

    assert [one.kind for one in found.mistakes] == ["older-template"]


def test_a_missing_object_names_the_nearest() -> None:
    """Of those that exist."""
    survey = _survey([_web("p0", pod(volume=VOLUME))], [_deployment(pod())])

    found = explain_survey(
        survey, namespace="x", stored=None, nodes=NODES, existing=["mm", "other"]
    )

    assert not found.exists
    assert "'mm'" not in found.mistakes[0].remedy  # one letter is too short to tell


def test_a_name_that_is_nearly_this_one() -> None:
    """A pod with a typo waits for what does not exist; the others are told of it."""
    reference = Reference("configmap", "app-config")
    good, bad = ({"configMap": {"name": name}} for name in ("app-config", "app-confg"))
    survey = Survey(reference, {})
    survey.add([_web("p0", pod(volume=good)), _web("p1", pod(volume=bad))])

    found = explain_survey(
        survey, namespace="x", stored=STORED, nodes=NODES, existing=["app-config"]
    )

    (near,) = [one for one in found.mistakes if one.kind == "near-name"]
    assert "configmap/app-confg" in near.what


def test_an_explanation_as_json() -> None:
    """The keys on which programs rely; seconds by the law."""
    pods = [_web(f"p{i}", pod(volume=VOLUME)) for i in range(2)]
    survey = _survey(pods, [_deployment(pod(volume=VOLUME))])

    answer = explain_survey(survey, namespace="x", stored=STORED, nodes=NODES).to_dict()
    (row,) = answer["consumers"]
    expected = row.pop("expected")

    assert answer["object"] == "configmap/m"
    assert row == {
        "kind": "Deployment",
        "name": "web",
        "namespace": "x",
        "pods": 2,
        "pod_names": ["p0", "p1"],
        "container": "c",
        "role": "container",
        "consumer": "volume",
        "key_or_path": "/etc/v",
        "optional": False,
        "updates": True,
        "after_container_restart": True,
        "after_pod_restart": True,
        "why": "the kubelet renews the files when it next syncs the pod",
        "forced_by": ["annotate", "rollout", "recreate"],
    }
    # the law of S = 60 s
    assert expected["p50_s"] == pytest.approx(37.75)
    assert expected["p99_s"] == pytest.approx(83.77, abs=0.05)
    assert expected["all_p50_s"] > expected["p50_s"]


def test_an_explanation_for_people() -> None:
    """What never updates, what is amiss, and how the setting is known."""
    pods = [_web("p0", pod(**ENV)), _web("p1", pod(**ENV))]
    found = explain_survey(
        _survey(pods, [_deployment(pod(**ENV))]),
        namespace="x",
        stored=STORED,
        nodes=NODES,
    )

    text = found.to_text()

    assert text.startswith("configmap/m in x: used by 1 workload, 2 pods\n")
    assert "NEVER" in text
    assert "! deployment/web, container c takes LEVEL by env" in text
    assert "when: 1 node at 60 s, Watch, as the kubelet itself reports" in text
    assert "<table" in found._repr_html_()


def test_pods_that_have_ended_do_not_count() -> None:
    """Neither those that are about to."""
    ended, leaving = _web("p0", pod(volume=VOLUME)), _web("p1", pod(volume=VOLUME))
    ended["status"] = {"phase": "Succeeded"}
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    survey = _survey([ended, leaving], [_deployment(pod())])

    assert (survey.total, survey.consumers) == (2, {})


def test_a_workload_without_pods_is_a_row() -> None:
    """Its template uses the object all the same."""
    survey = _survey([], [_deployment(pod(volume=VOLUME), replicas=0)])

    (row,) = explain_survey(survey, namespace="x", stored=STORED, nodes={}).rows

    assert (row.owner.name, row.pods, row.expected) == ("web", (), None)


def test_nothing_is_expected_of_an_unknown_setting() -> None:
    """Absent knowledge is None."""
    nodes = {"n": node("n", None)}

    assert expectation({"n": 1}, nodes, sharers={"n": 1}) is None
    assert expectation({"elsewhere": 1}, nodes, sharers={}) is None


def test_all_pods_take_longer_than_one() -> None:
    """Ten pods on one node and ten on another: the last of twenty."""
    nodes = {name: node(name, Setting(60)) for name in "nm"}
    pods = {"n": 10, "m": 10}

    found = expectation(pods, nodes, sharers=pods)

    assert found is not None
    assert found.p50_s == pytest.approx(37.75)
    # P(all of 20 by t) = 0.5 where F(t) = 0.5^(1/20) = 0.966
    assert found.all_p50_s == pytest.approx(77.7, abs=0.7)


@pytest.mark.parametrize(
    ("waited", "expected"),
    [(0.0, 83.8), (40.0, 45.9), (95.0, 0.0)],
    ids=["just now", "for 40 s", "longer than the law allows"],
)
def test_what_is_left_of_the_wait(waited: float, expected: float) -> None:
    """A pod that has waited has less before it."""
    left = remaining_s({"n": 1}, NODES, sharers={"n": 1}, waited_s=waited)

    assert left == pytest.approx(expected, abs=0.2)


def test_nodes_that_were_not_asked_are_like_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only if those agree; and it is said."""
    monkeypatch.setattr("cmhot.cluster.nodes.MOST_ASKED", 2)
    alike = ModelCluster([Setting(10), Setting(10), Setting(20)])
    mixed = ModelCluster([Setting(10), Setting(60), Setting(10)])
    names = [one["metadata"]["name"] for one in alike.list(NODE)[0]]

    (*_, like_others) = observe_settings(alike, sample=names)
    (*_, unknown) = observe_settings(mixed, sample=names)

    assert (like_others.setting, like_others.source) == (Setting(10), "sampled")
    assert (unknown.setting, unknown.source) == (None, "unknown")


@pytest.mark.parametrize(
    ("setting", "kubelet", "expected"),
    [
        ("sync=60s", "v1.37.1", True),
        ("sync=60s,strategy=Cache,ttl=0", "v1.37.1", True),
        ("sync=60s,strategy=Cache,ttl=60", "v1.37.1", False),
        ("sync=60s,strategy=Cache,ttl=60", "v1.28.15", True),
    ],
)
def test_whether_a_forced_sync_reads(
    setting: str,
    kubelet: str,
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Under a TTL from 1.29 on it may not."""
    assert sync_reads(node("n", parse_setting(setting), kubelet)) is expected


@pytest.mark.parametrize(
    ("kind", "way", "reads", "expected"),
    [
        ("Deployment", Way.VOLUME, True, ("annotate", "rollout", "recreate")),
        ("Deployment", Way.VOLUME, False, ("rollout", "recreate")),
        ("Deployment", Way.ENV, True, ("rollout", "recreate")),
        ("DaemonSet", Way.ENV, True, ("rollout",)),
        ("Pod", Way.VOLUME, True, ("annotate",)),
        ("Job", Way.ENV, True, ()),
    ],
)
def test_what_forces_it(
    kind: str,
    way: Way,
    reads: bool,  # noqa: FBT001 - a column of the table
    expected: tuple[str, ...],
) -> None:
    """A sync helps volumes only, and only where it reads anew."""
    use = Use("c", Role.CONTAINER, way, "/v")

    fate = fate_of(use, immutable=False)
    owner = Workload(kind, "x")

    assert forced_by(owner, None, use, fate, annotate_reads=reads) == expected


def test_explain_reads_each_kind_once(living: Living) -> None:
    """And writes nothing; the law is that of the kubelet's own setting."""
    found = explain(living, "configmap/m")

    (row,) = found.rows
    assert (str(row.owner), len(row.pods)) == ("deployment/web", 3)
    assert row.expected is not None
    assert row.expected.p50_s == pytest.approx(37.75)
    assert found.nodes[0].source == "configz"
    assert living.writes == 0
    assert living.asked == {
        ("get", "configmaps"): 1,
        ("list", "deployments"): 1,
        ("list", "statefulsets"): 1,
        ("list", "daemonsets"): 1,
        ("list", "cronjobs"): 1,
        ("list", "pods"): 1,
        ("list", "nodes"): 1,
        ("get", "nodes/proxy"): 1,
    }


def test_explain_goes_on_without_what_may_not_be_listed(living: Living) -> None:
    """It says so."""
    for resource in ("cronjobs", "nodes"):
        living.failing["list", resource] = ForbiddenError(f"no right to {resource}")

    found = explain(living, "configmap/m")

    assert len(found.rows) == 1
    assert "cronjobs may not be listed" in found.to_text()


def test_explain_of_a_typo_names_the_nearest(living: Living) -> None:
    """The object's name is in the message."""
    living.put(configmap("app-config", a="1"))

    with pytest.raises(NotFoundError, match="is 'app-config' meant"):
        explain(living, "configmap/app-confg")
