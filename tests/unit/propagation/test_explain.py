"""Who uses an object, what is amiss, and when an update is to be expected."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from cmhot import explain
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.nodes import ObservedNode, observe_settings
from cmhot.cluster.port import NODE
from cmhot.errors import ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.settings import Setting, parse_setting
from cmhot.kubelet.uses import Reference, Role, Use, Way, fate_of
from cmhot.kubelet.view import Absent
from cmhot.propagation.expectation import expectation, remaining_s, sync_reads
from cmhot.propagation.explain import Survey, explain_survey, forced_by
from cmhot.propagation.remedies import Shell
from cmhot.propagation.workload import (
    Workload,
    owner_of,
    parse_workload,
    workload_uses,
)
from tests.unit.kubelet.pods import ENV, MAP, VOLUME, pod
from tests.unit.living import configmap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.propagation.explain import Explanation
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


STORED = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
SHELL = Shell("context:c", "x")


def _survey(
    pods: list[Dict],
    workloads: list[Dict] | None = None,
    kind: str = "Deployment",
    *,
    reference: Reference = MAP,
    stored: Dict | Absent = STORED,
    others: Mapping[str, Dict] = MappingProxyType({}),
) -> Survey:
    """Survey a namespace with the object in question and others."""
    objects = {str(reference): stored, **others}
    survey = Survey(reference, lambda one: objects.get(str(one), Absent.MISSING))
    for one in workloads or []:
        survey.declare(one, kind)
    survey.add(pods)
    return survey


def _explained(
    pods: list[Dict],
    workloads: list[Dict] | None = None,
    kind: str = "Deployment",
    *,
    nodes: Mapping[str, ObservedNode] | None = None,
    existing: Sequence[str] = (),
    **survey: Any,  # noqa: ANN401 - as of `_survey`
) -> Explanation:
    """Explain what such a survey finds."""
    return explain_survey(
        _survey(pods, workloads, kind, **survey),
        shell=SHELL,
        nodes=NODES if nodes is None else nodes,
        existing=existing,
    )


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
        ([pod(volume=VOLUME)], pod(volume=VOLUME), Absent.MISSING, {"absent"}),
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
    pods: list[Dict], deployment: Dict, stored: Dict | Absent, expected: set[str]
) -> None:
    """Each is found, with a remedy, and nothing else."""
    named = [_web(f"p{i}", one) for i, one in enumerate(pods)]

    found = _explained(named, [_deployment(deployment)], stored=stored)

    assert {one.kind for one in found.mistakes} == expected
    assert all(one.remedy for one in found.mistakes)


def test_an_older_template_is_told() -> None:
    """So that nobody looks for the update in pods that never had the volume."""
    pods = [_web("p0", pod(volume=VOLUME))]

    found = _explained(pods, [_deployment(pod(volume=VOLUME), updatedReplicas=1)])

    assert [one.kind for one in found.mistakes] == ["older-template"]


def test_a_missing_object_names_the_nearest() -> None:
    """Of those that exist."""
    found = _explained(
        [_web("p0", pod(volume=VOLUME))],
        [_deployment(pod())],
        stored=Absent.MISSING,
        existing=["mm", "other"],
    )

    assert not found.exists
    assert "'mm'" not in found.mistakes[0].remedy  # one letter is too short to tell


def test_a_name_that_is_nearly_this_one() -> None:
    """A pod with a typo waits for what does not exist; the others are told of it."""
    reference = Reference("configmap", "app-config")
    good, bad = ({"configMap": {"name": name}} for name in ("app-config", "app-confg"))
    pods = [_web("p0", pod(volume=good)), _web("p1", pod(volume=bad))]

    found = _explained(pods, reference=reference, existing=["app-config"])

    (near,) = [one for one in found.mistakes if one.kind == "near-name"]
    assert "configmap/app-confg" in near.what


def test_an_explanation_as_json() -> None:
    """The keys on which programs rely; seconds by the law."""
    pods = [_web(f"p{i}", pod(volume=VOLUME)) for i in range(2)]

    answer = _explained(pods, [_deployment(pod(volume=VOLUME))]).to_dict()
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
        "blocked": None,
        "covered": [],
        "forced_by": ["annotate", "rollout", "recreate"],
    }
    # the law of S = 60 s
    assert expected["p50_s"] == pytest.approx(37.75)
    assert expected["p99_s"] == pytest.approx(83.77, abs=0.05)
    assert expected["all_p50_s"] > expected["p50_s"]


def test_an_explanation_for_people() -> None:
    """What never updates, what is amiss, and how the setting is known."""
    pods = [_web("p0", pod(**ENV)), _web("p1", pod(**ENV))]
    found = _explained(pods, [_deployment(pod(**ENV))])

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
    given = [_deployment(pod(volume=VOLUME), replicas=0)]

    (row,) = _explained([], given, nodes={}).rows

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


def _kinds(found: Explanation) -> list[str]:
    return [one.kind for one in found.mistakes]


def _projected(*sources: Dict) -> Dict:
    return {"projected": {"sources": list(sources)}}


OTHER: Dict = {"kind": "ConfigMap", "metadata": {"name": "o"}, "data": {"a": "2"}}


def test_a_key_that_a_later_source_covers_is_told() -> None:
    """Of a projected volume and an environment: nobody waits for what cannot come."""
    sources = _projected(VOLUME, {"configMap": {"name": "o"}})
    all_keys = [{"configMapRef": {"name": name}} for name in ("m", "o")]
    others = {"configmap/o": OTHER}

    volume = _explained([_web("p0", pod(volume=sources))], others=others)
    variables = _explained([_web("p0", pod(envFrom=all_keys))], others=others)

    assert _kinds(volume) == ["covered"]
    assert volume.rows[0].effect.covered == (("a", "configmap/o"),)
    assert _kinds(variables) == ["covered", "env"]
    assert "configmap/o sets it later" in variables.to_text()


def test_a_sub_path_that_names_no_key_is_told() -> None:
    """The kubelet mounts an empty folder, and says nothing."""
    given = pod(volume=VOLUME, mount={"subPath": "site_config.yaml"})

    found = _explained(
        [_web("p0", given)], stored={**STORED, "data": {"site_config.yml": "a: 1"}}
    )

    (absent,) = found.mistakes
    assert (absent.kind, "empty folder" in absent.what) == ("absent-key", True)
    assert "is 'site_config.yml' meant?" in absent.remedy
    assert "absent-key" not in _kinds(
        _explained([_web("p0", pod(volume=VOLUME, mount={"subPath": "./a"}))])
    )


SOME = {"items": [{"key": "b", "path": "b"}]}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            pod(
                volume={
                    "configMap": {"name": "m", "items": [{"key": "b", "path": "b"}]}
                }
            ),
            "absent-key",
        ),
        (pod(volume=_projected(VOLUME, {"configMap": {"name": "trust"}})), "blocked"),
        (
            pod(
                volume=_projected(
                    VOLUME,
                    {"secret": {"name": "s", **SOME}},
                )
            ),
            "blocked",
        ),
    ],
    ids=["a key of its own", "another object", "a key of another object"],
)
def test_no_times_are_promised_of_a_blocked_volume(given: Dict, told: str) -> None:
    """Nothing of it is renewed, and a new pod would not start: nothing forces it."""
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {}}

    found = _explained(
        [_web("p0", given)], [_deployment(given)], others={"secret/s": secret}
    )

    (row,) = found.rows
    assert (row.fate.update, row.fate.pod_restart) == (False, False)
    assert (row.expected, row.forced_by) == (None, ())
    assert _kinds(found) == [told]
    assert "blocked: no volume of the pod is renewed while" in found.to_text()
    assert found.to_dict()["consumers"][0]["blocked"]


def test_a_missing_variable_blocks_no_volume_but_the_next_start() -> None:
    """Files are renewed; what makes new pods would end in pods that do not start."""
    ref = {"configMapKeyRef": {"name": "m", "key": "gone"}}
    given = pod(volume=VOLUME, env=[{"name": "LEVEL", "valueFrom": ref}])

    found = _explained([_web("p0", given)], [_deployment(given)])

    variable, volume = found.rows
    assert (volume.fate.update, volume.forced_by) == (True, ("annotate",))
    assert volume.expected is not None
    assert variable.forced_by == ()


def test_versions_of_one_name_are_no_typing_errors() -> None:
    """Pods of the older template name what a tool has pruned already."""
    old, new = "checkout-settings-5m2k8f7g9d", "checkout-settings-9t4h2c6b8k"
    given = [
        _web(f"p{i}", pod(volume={"configMap": {"name": name}}))
        for i, name in enumerate((old, new))
    ]
    reference = Reference("configmap", new)

    found = _explained(given, reference=reference, existing=[new])

    assert "near-name" not in _kinds(found)


def test_a_base_name_leads_to_its_versions(living: Living) -> None:
    """Which people know, while the objects have a hash in their names."""
    living.put(configmap("web-9t4h2c6b8k", a="1"))
    volume = {"name": "v", "configMap": {"name": "web-9t4h2c6b8k"}}
    living.change(spec={"template": {"spec": {"volumes": [volume]}}})
    living.clock.sleep(60)

    with pytest.raises(NotFoundError, match=r"web-9t4h2c6b8k \(deployment/web\)"):
        explain(living, "configmap/web")


def test_who_is_not_seen_to_use_it_may_still_read_it() -> None:
    """By the API: it is never said that an update changes nothing."""
    controller = pod(args=["--configmap=$(POD_NAMESPACE)/m", "--other=m2"])
    controller["spec"]["imagePullSecrets"] = [{"name": "m"}]
    secret = Reference("secret", "m")
    stored = {"kind": "Secret", "metadata": {"name": "m"}}

    by_name = _explained([_web("p0", controller)], [_deployment(controller)])
    pulled = _explained([_web("p0", controller)], reference=secret, stored=stored)
    unnamed = _explained([_web("p0", pod(args=["--other=m2", "m-1", "x.m"]))])

    (unused,) = by_name.mistakes
    assert (unused.kind, "through the API" in unused.remedy) == ("unused", True)
    assert "the name m in a command line of container c" in by_name.notes[0]
    assert "imagePullSecrets" in pulled.notes[0]
    assert unnamed.notes == ()


def _owned_by(kind: str, name: str, given: Dict, **spec: object) -> Dict:
    meta = _owned(kind, name)["metadata"]
    return {"metadata": meta, "spec": {**given["spec"], **spec}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (_owned_by("Job", "once", pod(**ENV), restartPolicy="Never"), "failed try"),
        (pod(**ENV), "save its manifest"),
    ],
    ids=["job", "bare pod"],
)
def test_nothing_is_deleted_that_nobody_makes_again(given: Dict, words: str) -> None:
    """And no command is advised that does not know such a pod."""
    found = _explained([given])

    assert found.rows[0].forced_by == ()
    assert words in found.mistakes[0].remedy
    assert "cmhot refresh" not in found.mistakes[0].remedy


def test_under_on_delete_no_rollout_is_advised() -> None:
    """Its pods are deleted; to wait for a rollout would be for ever."""
    given = _deployment(pod(**ENV), updatedReplicas=1)
    given["spec"]["updateStrategy"] = {"type": "OnDelete"}

    found = _explained([], [given], "StatefulSet")
    given["status"] = {"replicas": 2, "updatedReplicas": 1, "currentRevision": "a"}
    older = _explained([], [given], "StatefulSet").mistakes[-1]

    assert found.rows[0].forced_by == ("delete", "recreate")
    assert (older.kind, "OnDelete" in older.remedy) == ("older-template", True)
    assert "rollout status" not in older.remedy


def test_who_else_changes_a_workload_is_told() -> None:
    """Its operator, and a controller that restarts its pods after a change."""
    given = _deployment(pod(volume=VOLUME))
    operator: Dict = {"apiVersion": "m.example/v1", "kind": "Prometheus", "name": "k8s"}
    owner = {**operator, "controller": True}
    given["metadata"] |= {
        "annotations": {"reloader.stakater.com/auto": "true"},
        "ownerReferences": [owner],
    }

    found = _explained([], [given])

    assert "reloader.stakater.com/auto" in found.notes[0]
    assert "belongs to prometheus.m.example/k8s" in found.notes[1]


def test_a_sandbox_has_its_own_delay() -> None:
    """What the kubelet has renewed, its runtime class shows when it does."""
    given = _web("p0", pod(volume=VOLUME))
    given["spec"]["runtimeClassName"] = "kata"

    assert "runtime class kata" in _explained([given]).notes[0]


def test_explain_reads_each_object_once(living: Living) -> None:
    """However many pods name it, of which kind, and whether it exists."""
    sources: list[Dict] = [{"configMap": {"name": name}} for name in ("m", "shared")]
    sources += [{"secret": {"name": "s", "optional": True}}]
    living.put(configmap("shared", b="1"))
    volume = {"name": "v", "projected": {"sources": sources}}
    living.change(spec={"template": {"spec": {"volumes": [volume]}}, "replicas": 20})
    living.clock.sleep(60)

    explain(living, "configmap/m")

    assert (living.asked["get", "configmaps"], living.asked["get", "secrets"]) == (2, 1)


def _conditions(ready: str, version: str) -> Dict:
    return {
        "metadata": {"name": f"{version}-{ready}"},
        "status": {
            "nodeInfo": {"kubeletVersion": version},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


@pytest.mark.parametrize("version", ["fake", "kwok-v0.7.0", ""])
def test_what_is_no_kubelet_has_no_law(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither has a node that is not Ready; the others' answer is not hidden by it."""
    cluster = ModelCluster([Setting(10)])
    (real,), _ = cluster.list(NODE)
    nodes = [real, _conditions("True", version), _conditions("False", "v1.37.1")]
    monkeypatch.setattr(cluster, "pages", lambda _: [nodes])
    names = [one["metadata"]["name"] for one in nodes]
    cached = parse_setting("sync=60s,strategy=Cache,ttl=60")

    found = observe_settings(cluster, sample=names, given=cached)

    assert [one.source for one in found] == ["configz", "no-kubelet", "not-ready"]
    assert [one.setting for one in found] == [Setting(10), None, None]


def test_no_touch_is_offered_where_there_is_no_kubelet() -> None:
    """What is there syncs nothing; a new pod goes where there is one."""
    virtual = ObservedNode("v", "v", "kwok-v0.7.0", None, None, "no-kubelet")
    pods = [_web("p0", pod(volume=VOLUME), node="v")]

    found = _explained(pods, nodes={"v": virtual})

    assert "annotate" not in found.rows[0].forced_by


def test_a_node_that_is_not_ready_hides_no_times() -> None:
    """It is named, and the times are those of the others."""
    dead = ObservedNode("dead", "dead", "v1.37.1", None, None, "not-ready")
    given = pod(volume=VOLUME)
    pods = [_web("p0", given), _web("p1", given, node="dead")]

    found = _explained(pods, nodes={**NODES, "dead": dead})
    alone = _explained([pods[1]], nodes={"dead": dead})

    assert found.rows[0].expected is not None
    assert "1 node not Ready (dead): nothing is renewed there" in found.to_text()
    assert alone.rows[0].expected is None


def test_only_pods_that_are_made_alike_share_a_row() -> None:
    """Not one that misses another object; the token's volume has a name of its own."""
    pods = [_web(f"p{i}", pod(volume=VOLUME)) for i in range(3)]
    for i, one in enumerate(pods):
        spec = one["spec"]
        more = f"kube-api-access-{i}xyz" if i < 2 else "more"
        source = {"secret": {"secretName": "none"}} if i == 2 else {"projected": {}}
        spec["volumes"] = [*spec["volumes"], {"name": more, **source}]
        (container,) = spec["containers"]
        mounts = [*container["volumeMounts"], {"name": more, "mountPath": "/more"}]
        spec["containers"] = [{**container, "volumeMounts": mounts}]

    found = _survey(pods)

    assert {one.stuck: len(of) for one, of in found.effects(WEB).items()} == {
        "": 2,
        "secret/none does not exist": 1,
    }
    assert len(found._alike) == 2


WEB = Workload("ReplicaSet", "web-5f")
